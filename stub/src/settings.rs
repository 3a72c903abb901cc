//! What the stub learns from its environment, read once.

use std::collections::BTreeMap;

use hyper::Uri;
use sst_wire::{CONFIG_VARIABLE, StubConfig, VERSION};

use crate::{problem::Problem, signing::Credentials};

/// Where a function finds its timeout.
const TIMEOUT: &str = "AWS_LAMBDA_FUNCTION_TIMEOUT";

/// Where an environment finds why it is initialised.
const INITIALISATION: &str = "AWS_LAMBDA_INITIALIZATION_TYPE";

/// Everything that stays the same for the life of an execution environment.
pub(crate) struct Settings {
    /// The deployed settings.
    pub config: StubConfig,
    /// The role's credentials. They do not change during an environment's life.
    pub credentials: Credentials,
    /// DynamoDB's endpoint.
    pub dynamodb: Uri,
    /// The bucket's URL, without a trailing slash.
    pub bucket: String,
    /// What is sent along with every request: the whole environment but the stub's own setting.
    pub environment: BTreeMap<String, String>,
}

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// With an error type and a text, when the deployed setting is missing, damaged, or of another version.
    pub(crate) fn read(mut environment: BTreeMap<String, String>) -> Result<Self, (&'static str, String)> {
        let damaged = |why: String| {
            let text = format!(
                "redeploy: the variable `{CONFIG_VARIABLE}` of the function {why}. Run `sst start` again, or \
                 `sst restore` to give the function its own code back"
            );
            ("Sst.DamagedSettings", text)
        };
        let text = environment.remove(CONFIG_VARIABLE).ok_or_else(|| damaged("is missing".into()))?;
        let version =
            serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|value| value.get("v")?.as_u64());
        match version {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => {
                let theirs = u32::try_from(version).unwrap_or(u32::MAX);
                let problem = Problem::Version { ours: VERSION, theirs };
                return Err((problem.error_type(), problem.to_string()));
            }
            None => return Err(damaged("is damaged".into())),
        }
        let config: StubConfig =
            serde_json::from_str(&text).map_err(|error| damaged(format!("is damaged ({error})")))?;
        // The function's own, like everything else that it is sent.
        if let (Some(declared), Some(timeout)) = (config.timeout_s, environment.get_mut(TIMEOUT)) {
            *timeout = declared.to_string();
        }
        let setting = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
        let credentials = Credentials {
            access_key: setting("AWS_ACCESS_KEY_ID").unwrap_or_default(),
            secret_key: setting("AWS_SECRET_ACCESS_KEY").unwrap_or_default(),
            session_token: setting("AWS_SESSION_TOKEN"),
        };
        let (region, bucket) = (&config.region, &config.bucket);
        let suffix = sst_wire::partition(region).suffix;
        let endpoint = |service: &str| {
            setting(&format!("AWS_ENDPOINT_URL_{service}"))
                .or_else(|| setting("AWS_ENDPOINT_URL"))
                .map(|url| url.trim_end_matches('/').to_owned())
        };
        let dynamodb = endpoint("DYNAMODB").unwrap_or_else(|| format!("https://dynamodb.{region}.{suffix}"));
        let bucket = match endpoint("S3") {
            Some(url) => format!("{url}/{bucket}"),
            // The certificate of S3 covers one label in front of its name, so a name with dots goes into the path.
            None if bucket.contains('.') => format!("https://s3.{region}.{suffix}/{bucket}"),
            None => format!("https://{bucket}.s3.{region}.{suffix}"),
        };
        let dynamodb = format!("{dynamodb}/")
            .parse()
            .map_err(|_| damaged(format!("cannot be used, because `{dynamodb}` is not a URL")))?;
        Ok(Self { config, credentials, dynamodb, bucket, environment })
    }

    /// Whether the environment is initialised because there is a call for it. Others are made long before, as many as a function is to
    /// have, or are copied when they are ready: a connection would be closed by then, or be everybody's.
    pub(crate) fn soon_called(&self) -> bool {
        self.environment.get(INITIALISATION).is_some_and(|why| why == "on-demand")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"v":2,"f":"F","s":"dev","e":"wss://a/dev","m":"https://a/dev","t":"T","b":"B",
        "r":"eu-central-1"}"#;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_own_setting_is_not_sent_along() {
        let settings = Settings::read(environment(&[("SST_STUB", CONFIG), ("A", "1")])).ok().unwrap();
        assert_eq!(settings.environment, environment(&[("A", "1")]));
        assert_eq!(settings.bucket, "https://B.s3.eu-central-1.amazonaws.com");
        assert_eq!(settings.dynamodb, "https://dynamodb.eu-central-1.amazonaws.com/");
    }

    #[test]
    fn a_function_is_told_its_own_timeout() {
        let sent = |config: &str| {
            let variables = [("SST_STUB", config), ("AWS_LAMBDA_FUNCTION_TIMEOUT", "13")];
            let settings = Settings::read(environment(&variables)).ok().unwrap();
            (settings.config.timeout_s, settings.environment["AWS_LAMBDA_FUNCTION_TIMEOUT"].clone())
        };
        assert_eq!(sent(CONFIG), (None, "13".to_owned()));
        assert_eq!(sent(&CONFIG.replace("\"T\"", "\"T\",\"d\":3")), (Some(3), "3".to_owned()));
    }

    #[test]
    fn only_an_environment_for_a_call_is_soon_called() {
        let soon = |why: &[(&str, &str)]| {
            let variables = [&[("SST_STUB", CONFIG)][..], why].concat();
            Settings::read(environment(&variables)).ok().unwrap().soon_called()
        };
        assert!(soon(&[(INITIALISATION, "on-demand")]));
        for other in ["provisioned-concurrency", "snap-start", "lambda-managed-instances"] {
            assert!(!soon(&[(INITIALISATION, other)]), "{other}");
        }
        assert!(!soon(&[]));
    }

    #[test]
    fn an_empty_token_is_none() {
        for token in ["", "to/ken+=="] {
            let variables = [("SST_STUB", CONFIG), ("AWS_SESSION_TOKEN", token)];
            let settings = Settings::read(environment(&variables)).ok().unwrap();
            let expected = (!token.is_empty()).then(|| token.to_owned());
            assert_eq!(settings.credentials.session_token, expected);
        }
    }

    #[test]
    fn an_endpoint_of_a_local_cloud_is_used() {
        let settings = Settings::read(environment(&[
            ("SST_STUB", CONFIG),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566/"),
            ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000"),
        ]))
        .ok()
        .unwrap();
        assert_eq!(settings.dynamodb, "http://127.0.0.1:4566/");
        assert_eq!(settings.bucket, "http://127.0.0.1:9000/B");
    }

    #[test]
    fn a_missing_damaged_or_foreign_setting_is_told_apart() {
        let error = |pairs: &[(&str, &str)]| Settings::read(environment(pairs)).err().unwrap();
        assert!(error(&[]).1.contains("is missing"));
        assert!(error(&[("SST_STUB", "{}")]).1.contains("is damaged"));
        assert!(error(&[("SST_STUB", r#"{"v":2}"#)]).1.contains("is damaged"));
        assert_eq!(error(&[("SST_STUB", r#"{"v":7,"x":1}"#)]).0, "Sst.VersionMismatch");
    }
}
