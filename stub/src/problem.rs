//! What the stub itself reports to the caller when no outcome came from the developer's machine.

use std::time::Duration;

use serde_json::json;

/// Why an invocation got no outcome. Every text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// Nobody is registered for the function, or who is does not answer.
    #[error(
        "`sst start` is not running for stage `{stage}`: {why}. Run `sst start --stage {stage}` to run the function on your \
         machine, or `sst restore --stage {stage}` to give it its own code back"
    )]
    NotRunning {
        /// The stage.
        stage: String,
        /// What was found.
        why: String,
    },
    /// The two sides speak different versions.
    #[error(
        "redeploy: the deployed stub speaks protocol version {ours}, `sst start` speaks {theirs}. \
         Stop `sst start` and start it again, so that it deploys its own stub"
    )]
    Version {
        /// The stub's version.
        ours: u32,
        /// The client's version.
        theirs: u32,
    },
    /// The developer's machine would not take the request.
    #[error("redeploy: `sst start` refused the request: {reason}. Stop `sst start` and start it again")]
    Refused {
        /// In the client's words.
        reason: String,
    },
    /// The client that took the request, or may have taken it, has gone.
    #[error(
        "the `sst start` of {owner} for stage `{stage}` ended before it had answered the request. The function may have \
         run, in part or as a whole; nobody knows. Send the event again if it may run twice"
    )]
    Ended {
        /// The stage.
        stage: String,
        /// Who ran it.
        owner: String,
    },
    /// The client that took the request was not heard of when the function's time was over.
    #[error(
        "the `sst start` of {owner} for stage `{stage}` took the request, and was not heard of in the last {silent} s of the \
         stub's {seconds} s: it was killed, its machine is asleep, or there is no network. The function may have run, in part \
         or as a whole; nobody knows. Send the event again if it may run twice"
    )]
    Silent {
        /// The stage.
        stage: String,
        /// Who ran it.
        owner: String,
        /// For how many seconds.
        silent: u64,
        /// The stub's timeout.
        seconds: u64,
    },
    /// The debug stack is gone.
    #[error(
        "the debug stack of stage `{stage}` does not exist any more, but the function is still a stub. Run `sst start \
         --stage {stage}` to deploy it again, or `sst restore --stage {stage}` to give the function its own code back"
    )]
    Removed {
        /// The stage.
        stage: String,
    },
    /// The role lacks a permission.
    #[error(
        "the function's role may not {action}: {detail}. Run `sst start` again to update the role; if the role is \
         not part of the app, attach the policy that `sst start` prints"
    )]
    Denied {
        /// What was tried.
        action: String,
        /// The answer.
        detail: String,
    },
    /// A part of the debug stack could not be used.
    #[error(
        "the stub could not {action}: {detail}. If it stays so, run `sst start` again to update the debug stack"
    )]
    Cloud {
        /// What was tried.
        action: String,
        /// The answer.
        detail: String,
    },
    /// There are more requests than the account may make.
    #[error(
        "the stub could not {action}, because there are more requests than the account's quota of API Gateway allows: \
         {detail}. All APIs of the account in the region share it"
    )]
    Throttled {
        /// What was tried.
        action: String,
        /// The answer.
        detail: String,
        /// How soon it is worth another attempt.
        wait: Duration,
    },
    /// The function's time ran out. The text is Lambda's own.
    #[error("RequestId: {request_id} Error: Task timed out after {seconds}.00 seconds")]
    TimedOut {
        /// The request.
        request_id: String,
        /// The function's timeout.
        seconds: u64,
    },
}

impl Problem {
    /// The value of `errorType`.
    pub(crate) fn error_type(&self) -> &'static str {
        match self {
            Self::NotRunning { .. } => "Sst.NotRunning",
            Self::Version { .. } | Self::Refused { .. } => "Sst.VersionMismatch",
            Self::Ended { .. } => "Sst.Ended",
            Self::Silent { .. } => "Sst.Silent",
            Self::Removed { .. } => "Sst.NotDeployed",
            Self::Denied { .. } => "Sst.AccessDenied",
            Self::Cloud { .. } => "Sst.Unreachable",
            Self::Throttled { .. } => "Sst.Throttled",
            Self::TimedOut { .. } => "Sandbox.Timedout",
        }
    }

    /// The body for Lambda's `/error`.
    pub(crate) fn error_body(&self) -> Vec<u8> {
        json!({ "errorType": self.error_type(), "errorMessage": self.to_string() }).to_string().into_bytes()
    }

    /// The response to an HTTP event, so that whoever called sees the text instead of "Internal Server Error".
    /// `None` when the event is no HTTP event, or when the problem must look as it does without the stub.
    pub(crate) fn http_response(&self, event: &[u8]) -> Option<Vec<u8>> {
        if matches!(self, Self::TimedOut { .. }) || !is_http_event(event) {
            return None;
        }
        let response = json!({
            "statusCode": 503,
            "headers": { "content-type": "text/plain; charset=utf-8" },
            "body": self.to_string(),
        });
        Some(response.to_string().into_bytes())
    }
}

/// Whether the event expects a response with a status code.
pub(crate) fn is_http_event(event: &[u8]) -> bool {
    let Ok(event) = serde_json::from_slice::<serde_json::Value>(event) else { return false };
    // A Lambda authorizer gets nearly the same event, but answers with a policy: it has to fail instead.
    let authorizer = event.get("methodArn").is_some() || event.get("routeArn").is_some();
    let context = event.get("requestContext");
    let has = |name| context.is_some_and(|context| context.get(name).is_some());
    !authorizer && (has("http") || has("httpMethod") || event.get("httpMethod").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Problem {
        Problem::NotRunning { stage: "dev".into(), why: "nobody is registered".into() }
    }

    #[test]
    fn http_events_get_a_503_with_the_text() {
        for event in [
            &br#"{"requestContext":{"http":{"method":"GET"}}}"#[..],
            br#"{"requestContext":{"httpMethod":"GET"}}"#,
            br#"{"httpMethod":"GET","requestContext":{"elb":{}}}"#,
        ] {
            let response: serde_json::Value =
                serde_json::from_slice(&problem().http_response(event).unwrap()).unwrap();
            assert_eq!(response["statusCode"], 503);
            assert_eq!(
                response["body"],
                "`sst start` is not running for stage `dev`: nobody is registered. Run `sst start --stage dev` to run the \
                 function on your machine, or `sst restore --stage dev` to give it its own code back"
            );
        }
    }

    #[test]
    fn other_events_fail_so_that_queues_keep_them() {
        for event in [
            &br#"{"Records":[]}"#[..],
            b"not json",
            br#"{"requestContext":{"routeKey":"$default","connectionId":"x"}}"#,
            br#"{"type":"REQUEST","methodArn":"arn:x","httpMethod":"GET"}"#,
        ] {
            assert_eq!(problem().http_response(event), None);
        }
        let body: serde_json::Value = serde_json::from_slice(&problem().error_body()).unwrap();
        assert_eq!(body["errorType"], "Sst.NotRunning");
    }

    #[test]
    fn a_timeout_looks_like_lambdas() {
        let problem = Problem::TimedOut { request_id: "r".into(), seconds: 3 };
        let body: serde_json::Value = serde_json::from_slice(&problem.error_body()).unwrap();
        assert_eq!(
            body,
            json!({
                "errorType": "Sandbox.Timedout",
                "errorMessage": "RequestId: r Error: Task timed out after 3.00 seconds",
            })
        );
        assert_eq!(problem.http_response(br#"{"httpMethod":"GET"}"#), None);
    }
}
