//! Why a request came to nothing, in words for people: where it was sent to, and what that place, or the way there, has against it. The SDK's
//! errors say neither.

use std::io;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::result::ConnectorError;
use http::Uri;

use super::{
    causes, chain,
    proxy::{is_secure, place},
    tunnel::Refusal,
};

/// What is said where nothing gives credentials.
pub(super) const NO_CREDENTIALS: &str = "neither the environment nor a profile has any";

/// No answer came from a place.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(super) struct NoAnswer {
    what: String,
    /// Whether the name of the place is not known.
    pub unresolved: bool,
    /// Whether its certificate is not trusted.
    pub untrusted: bool,
    #[source]
    error: ConnectorError,
}

impl NoAnswer {
    /// An error of the kind that it was, of which it is known where the request was sent to. `by` is a fragment that says what is in between.
    pub(super) fn to(target: &str, by: &str, error: ConnectorError) -> ConnectorError {
        if causes(&error).any(|cause| cause.is::<Refusal>() || cause.is::<Self>()) {
            return error;
        }
        let kind = match (error.is_timeout(), error.is_io()) {
            (true, _) => ConnectorError::timeout,
            (_, true) => ConnectorError::io,
            _ => return error,
        };
        let Some((host, port)) = target.parse::<Uri>().ok().as_ref().and_then(place) else { return error };
        let usual = if target.parse::<Uri>().is_ok_and(|uri| is_secure(&uri)) { 443 } else { 80 };
        let place = if port == usual { host } else { format!("{host}:{port}") };
        let text = chain(&error);
        let unresolved = text.contains("dns error");
        let certificate = causes(&error).find_map(|cause| match cause.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::InvalidCertificate(why)) => Some(why.to_string()),
            _ => None,
        });
        let refused = causes(&error)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|cause| cause.kind() == io::ErrorKind::ConnectionRefused);
        let what = if let Some(why) = &certificate {
            format!("the certificate of `{place}` is not trusted ({why})")
        } else if unresolved {
            format!("there is no address for the name `{place}`")
        } else if refused {
            format!("nothing listens at `{place}`")
        } else if error.is_timeout() {
            format!("`{place}` has not answered in time")
        } else {
            format!("the connection to `{place}` has failed ({})", last(&error))
        };
        let untrusted = certificate.is_some();
        kind(Self { what: what + by, unresolved, untrusted, error }.into())
    }

    /// The one that an error has come of.
    pub(super) fn behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        causes(error).find_map(|cause| cause.downcast_ref())
    }
}

/// Why there are no credentials.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub(super) struct NoCredentials {
    pub reason: String,
    /// Whether whoever gives them could not be asked, by which nothing is known of them.
    pub out_of_reach: bool,
}

/// What an error of the SDK says, without the whole request and response that its own text goes into.
#[must_use]
pub fn explain<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => words(error),
    }
}

/// What is behind an error in which AWS itself has said nothing.
pub(super) fn words(error: &(dyn std::error::Error + 'static)) -> String {
    // The service that machines of AWS's have is asked last, when nothing else has given any.
    if chain(error).contains("IMDS") {
        return NO_CREDENTIALS.to_owned();
    }
    if let Some(no_answer) = NoAnswer::behind(error) {
        return no_answer.to_string();
    }
    if let Some(refusal) = causes(error).find(|cause| cause.is::<Refusal>()) {
        return refusal.to_string();
    }
    // One provider of credentials may have asked others.
    match causes(error).filter_map(|cause| cause.downcast_ref::<CredentialsError>()).last() {
        Some(CredentialsError::CredentialsNotLoaded(_)) => NO_CREDENTIALS.to_owned(),
        Some(CredentialsError::ProviderTimedOut(_)) => {
            "what gives the credentials has not answered in time".to_owned()
        }
        Some(error) => std::error::Error::source(error).map(chain).unwrap_or_default(),
        None => chain(error),
    }
}

/// Whether whoever was to be asked for credentials, or by them, could not be, by which nothing is known of them.
pub(super) fn is_out_of_reach(error: &(dyn std::error::Error + 'static)) -> bool {
    let is = |cause: &(dyn std::error::Error + 'static)| {
        let no_credentials = cause.downcast_ref::<NoCredentials>();
        cause.is::<Refusal>()
            || cause.is::<NoAnswer>()
            || no_credentials.is_some_and(|refusal| refusal.out_of_reach)
    };
    causes(error).any(is)
}

/// What an error goes back to.
fn last(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}
