//! What answers `$connect` and `hello` in a debug stack. It is a parameter of the template, and stays what it was deployed with.

use aws_sdk_cloudformation::types::Stack;

/// The name of the parameter.
pub(super) const PARAMETER: &str = "Answers";

/// What answers `$connect` and `hello`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// API Gateway itself, by integrations of type `MOCK`.
    Mock,
    /// A Lambda function, because the mocks did not answer.
    Function,
    /// A Lambda function, in a cloud whose CloudFormation does not know the responses of routes and integrations, and that answers without.
    Bare,
}

impl Answers {
    /// What a stack was deployed with; the mocks when it comes from a template that had no choice, or is not there.
    pub(super) fn of(stack: Option<&Stack>) -> Self {
        let is_it = |value: &str| [Self::Function, Self::Bare].into_iter().find(|one| one.value() == value);
        let parameters = stack.map(Stack::parameters).unwrap_or_default();
        let found = parameters.iter().find(|one| one.parameter_key() == Some(PARAMETER));
        found.and_then(|found| is_it(found.parameter_value()?)).unwrap_or(Self::Mock)
    }

    /// The parameter's value.
    pub(super) fn value(self) -> &'static str {
        match self {
            Self::Mock => "mock",
            Self::Function => "function",
            Self::Bare => "bare",
        }
    }
}
