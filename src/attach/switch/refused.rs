//! What becomes of a request that was refused, or that nobody has answered.

use std::time::Duration;

use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use backon::BackoffBuilder;

use crate::{
    aws::explain,
    error::{Error, Kind},
};

/// How often something is tried again. With the pauses it takes some twenty seconds, which is longer than AWS needs for what passes.
const TRIES: usize = 8;

/// How often a request is made that nobody answers. Each takes a while to be given up.
pub(super) const UNANSWERED: usize = 3;

/// What a request has come to instead of an answer.
#[derive(Debug)]
pub(super) struct Refused {
    /// What AWS calls the error; empty when it has not answered.
    pub code: String,
    /// The error in words.
    pub text: String,
    /// The action of IAM that the request needs.
    action: String,
    /// Whether it may be answered otherwise in a moment.
    pub may_pass: bool,
}

impl Refused {
    /// What is behind an error of the SDK. `action` is what IAM calls the request.
    pub(super) fn of<E, R>(action: &str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let code = error.as_service_error().and_then(|error| error.code()).unwrap_or_default().to_owned();
        let message = error.message().unwrap_or_default();
        // It may be another action that is missing: the one that puts a layer back, e.g.
        let missing = message.split("perform: ").nth(1).and_then(|rest| rest.split_whitespace().next());
        Self {
            may_pass: may_pass(&code),
            text: explain(error),
            action: missing.unwrap_or(action).trim_end_matches([',', '.']).to_owned(),
            code,
        }
    }

    /// Whether it is for want of a permission.
    pub(super) fn is_denied(&self) -> bool {
        self.code.starts_with("AccessDenied")
    }

    /// Whether there is no such thing (any more).
    pub(super) fn is_missing(&self) -> bool {
        const MISSING: [&str; 5] = [
            "NoSuchEntity",
            "NoSuchKey",
            "NotFound",
            "ProvisionedConcurrencyConfigNotFoundException",
            "ResourceNotFoundException",
        ];
        MISSING.contains(&self.code.as_str())
    }

    /// The error that ends what has asked for it; `what` has happened.
    pub(super) fn because(self, what: impl Into<String>) -> Error {
        let hint = self.hint();
        let error = Error::new(Kind::Cloud, what).detail(&self.text);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    fn hint(&self) -> Option<String> {
        if self.is_denied() {
            return Some(format!(
                "allow `{}` to the credentials that are used; the documentation of `sst attach` has the whole policy",
                self.action
            ));
        }
        self.may_pass.then(|| "try again in a moment".to_owned())
    }
}

/// Whether an error of this name passes. Without one nobody has answered.
fn may_pass(code: &str) -> bool {
    const PASSING: [&str; 9] = [
        "InternalFailure",
        "InternalServerError",
        "PreconditionFailedException",
        "RequestLimitExceeded",
        "ResourceConflictException",
        "ServiceException",
        "ServiceUnavailableException",
        "Throttling",
        "TooManyRequestsException",
    ];
    code.is_empty() || PASSING.contains(&code)
}

/// Asks until there is an answer, or a refusal that does not pass.
pub(super) async fn patiently<T, E, R, F>(
    action: &str,
    mut ask: impl FnMut() -> F,
) -> std::result::Result<T, Refused>
where
    F: Future<Output = std::result::Result<T, SdkError<E, R>>>,
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let (mut pauses, mut unanswered) = (pauses(), 0);
    loop {
        let refused = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => Refused::of(action, &error),
        };
        unanswered += usize::from(refused.code.is_empty());
        match pauses.next().filter(|_| refused.may_pass && unanswered < UNANSWERED) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return Err(refused),
        }
    }
}

/// The pauses between attempts.
pub(super) fn pauses() -> impl Iterator<Item = Duration> + Send {
    backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .with_max_times(TRIES)
        .with_jitter()
        .build()
}
