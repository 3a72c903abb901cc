//! Whose the credentials are; and when that is not known, whether it is for want of a network, of a service, or of credentials.

use aws_sdk_sts::{
    error::{ProvideErrorMetadata, SdkError},
    operation::get_caller_identity::GetCallerIdentityOutput,
};

use super::{
    Clock,
    credentials::Keeper,
    failure::{self, NO_CREDENTIALS, NoAnswer, explain},
    regions,
};
use crate::error::{Error, Kind, Result};

/// What AWS is asked with whose the credentials are.
pub(super) struct Asked<'a> {
    pub region: &'a str,
    pub endpoint: Option<&'a str>,
    pub clock: &'a Clock,
    pub keeper: &'a Keeper,
}

impl Asked<'_> {
    /// Asks. The answer also tells what time it is, even where it is no; then the question is asked once more.
    ///
    /// # Errors
    /// [`Kind::Cloud`].
    pub(super) async fn identity(&self, sdk: &aws_config::SdkConfig) -> Result<GetCallerIdentityOutput> {
        let sts = aws_sdk_sts::Client::new(sdk);
        let before = self.clock.corrections();
        let mut answer = sts.get_caller_identity().send().await;
        if answer.is_err() && self.clock.corrections() != before {
            answer = sts.get_caller_identity().send().await;
        }
        answer.map_err(|error| self.failed(&error))
    }

    /// What has failed: the way there, whoever is there, or the credentials.
    fn failed<E>(&self, error: &SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let said = explain(error);
        if is_out_of_reach(error) {
            return self.out_of_reach(&said, NoAnswer::behind(error));
        }
        let answered = error.raw_response().map(|response| response.status().as_u16());
        match (answered, error.code(), self.endpoint) {
            // A server of something else says what it likes.
            (Some(status), None, Some(endpoint)) => {
                return Error::new(Kind::Cloud, format!("`{endpoint}` does not answer as AWS does"))
                    .detail(format!(
                        "it was asked for `GetCallerIdentity`, and has answered with status {status}"
                    ))
                    .hint(NAMED_BY);
            }
            (Some(429 | 500..), ..) => {
                return Error::new(Kind::Cloud, "AWS has not said who you are")
                    .detail(said)
                    .hint("this is not about your credentials: try again in a moment");
            }
            (_, Some(code), _) if code.contains("Throttl") => {
                return Error::new(Kind::Cloud, "AWS has not said who you are")
                    .detail(said)
                    .hint("the account's requests are throttled: try again in a moment");
            }
            _ => {}
        }
        match self.clock.fault() {
            Some(fault) => {
                not_known(&format!("{said}; this machine's clock is {fault} as well"), self.keeper)
            }
            None => not_known(&said, self.keeper),
        }
    }

    fn out_of_reach(&self, said: &str, no_answer: Option<&NoAnswer>) -> Error {
        let hint = match (no_answer, self.endpoint) {
            (Some(NoAnswer { untrusted: true, .. }), _) => {
                "`AWS_CA_BUNDLE` names a file of the certificates that are trusted beside the system's, in PEM form"
                    .to_owned()
            }
            (Some(_), Some(_)) => NAMED_BY.to_owned(),
            (Some(NoAnswer { unresolved: true, .. }), _) if let Some(doubt) = regions::doubt(self.region) => {
                doubt
            }
            _ => NETWORK.to_owned(),
        };
        let message = match self.endpoint {
            Some(endpoint) => format!("`{endpoint}` cannot be reached"),
            None => "AWS cannot be reached".to_owned(),
        };
        Error::new(Kind::Cloud, message).detail(said).hint(hint)
    }
}

/// What to do about an endpoint that was asked for.
const NAMED_BY: &str =
    "`--endpoint-url` or `AWS_ENDPOINT_URL` names it: see that a local cloud is there, or leave it out";

/// What to do where no answer comes.
const NETWORK: &str = "check the network; behind a company's proxy `HTTPS_PROXY` names it, and `AWS_CA_BUNDLE` its certificates";

/// Whether a request has come nowhere, by which nothing is known of the credentials.
fn is_out_of_reach<E: std::error::Error + 'static, R: std::fmt::Debug + 'static>(
    error: &SdkError<E, R>,
) -> bool {
    match error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => true,
        _ => failure::is_out_of_reach(error),
    }
}

/// What is said where AWS is reached, and there are no credentials that it takes.
pub(super) fn not_known(detail: &str, keeper: &Keeper) -> Error {
    const LOG_IN: &str = "log in with `aws login`, `aws sso login` or `aws configure`, or choose a profile with `--profile`; `--local` needs none";
    if detail == NO_CREDENTIALS {
        return Error::new(Kind::Cloud, format!("there are no AWS credentials: {NO_CREDENTIALS}"))
            .hint(LOG_IN);
    }
    let hint = match (detail.contains("xpired"), keeper.fix()) {
        (true, fix) if !fix.is_empty() => format!("the credentials have expired: {fix}"),
        _ => LOG_IN.to_owned(),
    };
    Error::new(Kind::Cloud, "AWS does not know who you are").detail(detail).hint(hint)
}
