//! Handlers of monitoring services, behind which the function's own one is. Each is told in a variable which one that is:
//!
//! | service | documented at | variable |
//! |---|---|---|
//! | New Relic | <https://github.com/newrelic/newrelic-lambda-layers> | `NEW_RELIC_LAMBDA_HANDLER` |
//! | Datadog | <https://docs.datadoghq.com/serverless/guide/handler_wrapper/> | `DD_LAMBDA_HANDLER` |
//! | Lumigo | <https://github.com/lumigo-io/serverless-lumigo-plugin> | `LUMIGO_ORIGINAL_HANDLER` |
//! | Sentry (Python) | <https://docs.sentry.io/platforms/python/integrations/aws-lambda/> | `SENTRY_INITIAL_HANDLER` |

use std::collections::BTreeMap;

/// A service that wraps handlers.
struct Service {
    name: &'static str,
    variable: &'static str,
    /// Its handlers, without the directory in which a layer or a package has them.
    handlers: &'static [&'static str],
}

const SERVICES: [Service; 4] = [
    Service {
        name: "New Relic",
        variable: "NEW_RELIC_LAMBDA_HANDLER",
        handlers: &[
            "newrelic-lambda-wrapper.handler",
            "newrelic-lambda-wrapper/index.handler",
            "newrelic-esm-lambda-wrapper.handler",
            "newrelic-esm-lambda-wrapper/index.handler",
            "newrelic_lambda_wrapper.handler",
            "com.newrelic.java.HandlerWrapper::handleRequest",
            "com.newrelic.java.HandlerWrapper::handleStreamsRequest",
        ],
    },
    Service {
        name: "Datadog",
        variable: "DD_LAMBDA_HANDLER",
        handlers: &[
            "datadog-lambda-js/handler.handler",
            "datadog-lambda-js/dist/handler.handler",
            "datadog_lambda.handler.handler",
        ],
    },
    Service {
        name: "Lumigo",
        variable: "LUMIGO_ORIGINAL_HANDLER",
        handlers: &["lumigo-auto-instrument.handler", "lumigo_tracer._handler"],
    },
    Service {
        name: "Sentry",
        variable: "SENTRY_INITIAL_HANDLER",
        handlers: &["sentry_sdk.integrations.init_serverless_sdk.sentry_lambda_handler"],
    },
];

/// The handler behind a wrapper; the same one where it is none.
///
/// # Errors
/// Why that is not known, as a fragment that fits after "left alone: ".
pub(super) fn unwrapped(handler: &str, environment: &BTreeMap<String, String>) -> Result<String, String> {
    let Some(service) = SERVICES.iter().find(|service| service.wraps(handler)) else {
        return Ok(handler.to_owned());
    };
    let real = environment.get(service.variable).filter(|real| !real.is_empty() && !service.wraps(real));
    real.cloned().ok_or_else(|| {
        format!(
            "its handler, `{handler}`, is that of {}, and its variable `{}` does not say which one is behind it",
            service.name, service.variable
        )
    })
}

impl Service {
    fn wraps(&self, handler: &str) -> bool {
        self.handlers.iter().any(|own| {
            handler.strip_suffix(own).is_some_and(|before| before.is_empty() || before.ends_with('/'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapper_is_followed_to_the_real_handler() {
        for (wrapper, variable) in [
            ("newrelic-lambda-wrapper.handler", "NEW_RELIC_LAMBDA_HANDLER"),
            (
                "/opt/nodejs/node_modules/newrelic-esm-lambda-wrapper/index.handler",
                "NEW_RELIC_LAMBDA_HANDLER",
            ),
            ("newrelic_lambda_wrapper.handler", "NEW_RELIC_LAMBDA_HANDLER"),
            ("com.newrelic.java.HandlerWrapper::handleRequest", "NEW_RELIC_LAMBDA_HANDLER"),
            ("/opt/nodejs/node_modules/datadog-lambda-js/handler.handler", "DD_LAMBDA_HANDLER"),
            ("node_modules/datadog-lambda-js/dist/handler.handler", "DD_LAMBDA_HANDLER"),
            ("datadog_lambda.handler.handler", "DD_LAMBDA_HANDLER"),
            ("lumigo-auto-instrument.handler", "LUMIGO_ORIGINAL_HANDLER"),
            ("/opt/python/lumigo_tracer._handler", "LUMIGO_ORIGINAL_HANDLER"),
            ("sentry_sdk.integrations.init_serverless_sdk.sentry_lambda_handler", "SENTRY_INITIAL_HANDLER"),
        ] {
            let environment = [(variable.to_owned(), "src/create.handler".to_owned())].into();
            assert_eq!(unwrapped(wrapper, &environment).as_deref(), Ok("src/create.handler"), "{wrapper}");
            let reason = unwrapped(wrapper, &BTreeMap::new()).unwrap_err();
            assert!(reason.contains(variable) && reason.contains(wrapper), "{reason}");
        }
    }

    #[test]
    fn any_other_handler_is_the_real_one() {
        let environment = [("DD_LAMBDA_HANDLER".to_owned(), "other.handler".to_owned())].into();
        for handler in ["src/create.handler", "my-newrelic-lambda-wrapper.handler", "bootstrap"] {
            assert_eq!(unwrapped(handler, &environment).as_deref(), Ok(handler));
        }
    }

    #[test]
    fn a_wrapper_behind_itself_is_no_handler() {
        let name = "datadog_lambda.handler.handler";
        assert!(unwrapped(name, &[("DD_LAMBDA_HANDLER".to_owned(), name.to_owned())].into()).is_err());
    }
}
