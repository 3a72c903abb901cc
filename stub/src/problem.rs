//! What the stub itself reports to the caller when no outcome came from the developer's machine.

use std::time::Duration;

use serde_json::json;
use sst_wire::StubConfig;

/// What has made the function a stub, and so what is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Maker {
    /// `sst start`, for a stage.
    Start {
        /// The stage.
        stage: String,
    },
    /// `sst attach`.
    Attach {
        /// The function's name.
        function: String,
    },
}

impl Maker {
    /// The one of a stub's settings.
    pub(crate) fn of(config: &StubConfig) -> Self {
        match config.attached {
            true => Self::Attach { function: config.function.clone() },
            false => Self::Start { stage: config.stage.clone() },
        }
    }

    /// The command.
    fn command(&self) -> &'static str {
        match self {
            Self::Start { .. } => "`sst start`",
            Self::Attach { .. } => "`sst attach`",
        }
    }

    /// What it is for.
    fn subject(&self) -> String {
        match self {
            Self::Start { stage } => format!("stage `{stage}`"),
            Self::Attach { function } => format!("`{function}`"),
        }
    }

    /// What has the function run again.
    fn again(&self) -> String {
        match self {
            Self::Start { stage } => format!("Run `sst start --stage {stage}`"),
            Self::Attach { function } => format!("Run `sst attach --function {function}`"),
        }
    }

    /// What gives the function its own code back.
    fn back(&self) -> String {
        match self {
            Self::Start { stage } => format!("`sst restore --stage {stage}`"),
            Self::Attach { .. } => "`sst attach --restore`".to_owned(),
        }
    }
}

/// Why an invocation got no outcome. Every text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// Nobody is registered for the function, or who is does not answer.
    #[error(
        "{} is not running for {}: {why}. {} to run the function on your machine, or {} to give it its own code back",
        maker.command(), maker.subject(), maker.again(), maker.back()
    )]
    NotRunning {
        /// What has made the stub.
        maker: Maker,
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
        "the {} of {owner} for {} ended before it had answered the request. The function may have run, in part or as a \
         whole; nobody knows. Send the event again if it may run twice",
        maker.command(), maker.subject()
    )]
    Ended {
        /// What has made the stub.
        maker: Maker,
        /// Who ran it.
        owner: String,
    },
    /// The client that took the request was not heard of when the function's time was over.
    #[error(
        "the {} of {owner} for {} took the request, and was not heard of in the last {silent} s of the stub's {seconds} s: \
         it was killed, its machine is asleep, or there is no network. The function may have run, in part or as a whole; \
         nobody knows. Send the event again if it may run twice",
        maker.command(), maker.subject()
    )]
    Silent {
        /// What has made the stub.
        maker: Maker,
        /// Who ran it.
        owner: String,
        /// For how many seconds.
        silent: u64,
        /// The stub's timeout.
        seconds: u64,
    },
    /// The debug stack is gone.
    #[error(
        "the debug stack of {} does not exist any more, but the function is still a stub. {} to deploy it again, or {} to \
         give the function its own code back",
        maker.subject(), maker.again(), maker.back()
    )]
    Removed {
        /// What has made the stub.
        maker: Maker,
    },
    /// The role lacks a permission.
    #[error(
        "the function's role may not {action}: {detail}. Run {command} again to update the role; if the role is not part of \
         the app, attach the policy that {command} prints",
        command = maker.command()
    )]
    Denied {
        /// What has made the stub.
        maker: Maker,
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
        Problem::NotRunning {
            maker: Maker::Start { stage: "dev".into() },
            why: "nobody is registered".into(),
        }
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
    fn who_is_attached_to_a_function_is_told_of_that() {
        let config = r#"{"v":1,"f":"orders-list","s":"dev","e":"","m":"","t":"","b":"","r":"","a":true}"#;
        let maker = Maker::of(&serde_json::from_str(config).unwrap());
        assert_eq!(
            Problem::NotRunning { maker: maker.clone(), why: "nobody is registered".into() }.to_string(),
            "`sst attach` is not running for `orders-list`: nobody is registered. Run `sst attach --function orders-list` to run \
             the function on your machine, or `sst attach --restore` to give it its own code back"
        );
        for problem in [
            Problem::Ended { maker: maker.clone(), owner: "alice".into() },
            Problem::Removed { maker: maker.clone() },
            Problem::Denied { maker, action: "a".into(), detail: "d".into() },
        ] {
            assert!(!problem.to_string().contains("sst start"), "{problem}");
        }
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
