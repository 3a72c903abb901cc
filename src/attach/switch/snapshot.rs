//! What a function was before it was attached: in the bucket of the debug stack, for whoever gives it back.

use std::collections::BTreeMap;

use aws_sdk_s3::primitives::ByteStream;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    configuration::{Settings, text},
    lambda::CodeAt,
    refused::{Refused, patiently},
};
use crate::{
    attach::{Deployed, TAG},
    aws::Aws,
    error::{Error, Kind, Result},
};

/// Lambda takes no larger code: 250 MB, unzipped.
const MOST_BYTES: u64 = 300 * 1024 * 1024;

/// The version of what is kept here. The janitor of the debug stack reads it as well, which may be of another version of this program.
const VERSION: u32 = 1;

/// What is kept of a function.
pub(super) const CODE: &str = "code.zip";
pub(super) const SNAPSHOT: &str = "snapshot.json";
const FILES: [&str; 2] = [SNAPSHOT, CODE];

/// Where all of it is.
const PREFIX: &str = "attach";

/// A function as it was. The names of its fields are read by `infra/attach-janitor.py`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Snapshot {
    /// See [`VERSION`].
    version: u32,
    /// The function's name.
    pub function: String,
    /// Its ARN.
    pub arn: String,
    /// Its configuration, whole, as Lambda tells it.
    pub configuration: Value,
    /// Its tags.
    pub tags: Value,
    /// Its reserved concurrency.
    concurrency: Value,
    /// How its asynchronous events are handled.
    event_invoke_config: Value,
    /// Those of its settings that its stub has otherwise.
    pub own: Settings,
    /// The same as the stub has them.
    pub stub: Settings,
    /// The SHA-256 of its code, as Lambda writes it.
    pub own_code: String,
    /// The SHA-256 of the stub's code.
    pub stub_code: String,
    /// Where its code is kept.
    pub code: CodeAt,
    /// The policy of the stubs.
    pub policy: String,
}

/// What a snapshot is made of, besides what Lambda says of the function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    /// See [`Snapshot::stub`].
    pub stub: &'a Settings,
    /// See [`Snapshot::stub_code`].
    pub stub_code: &'a str,
    /// See [`Snapshot::policy`].
    pub policy: &'a str,
    /// How asynchronous events are handled.
    pub event_invoke_config: Option<&'a Value>,
    /// Where the code is kept.
    pub code: &'a CodeAt,
}

impl Snapshot {
    /// The snapshot of what Lambda says of a function.
    pub(super) fn new(look: &Value, own: Settings, parts: Parts<'_>) -> Self {
        let configuration = look.get("Configuration").cloned().unwrap_or_default();
        let part = |name: &str| look.get(name).cloned().unwrap_or_default();
        Self {
            version: VERSION,
            function: text(&configuration, "FunctionName").to_owned(),
            arn: text(&configuration, "FunctionArn").to_owned(),
            own_code: text(&configuration, "CodeSha256").to_owned(),
            configuration,
            tags: part("Tags"),
            concurrency: part("Concurrency"),
            event_invoke_config: parts.event_invoke_config.cloned().unwrap_or_default(),
            own,
            stub: parts.stub.clone(),
            stub_code: parts.stub_code.to_owned(),
            code: parts.code.clone(),
            policy: parts.policy.to_owned(),
        }
    }

    /// Whether the tags of a function are others, but for ours.
    pub(super) fn differs_in_tags(&self, look: &Value) -> bool {
        let of = |tags: &Value| {
            let mut tags = texts(tags);
            tags.remove(TAG);
            tags
        };
        of(&self.tags) != of(look.get("Tags").unwrap_or(&Value::Null))
    }

    /// Whether a function has another reserved concurrency.
    pub(super) fn differs_in_concurrency(&self, look: &Value) -> bool {
        self.concurrency != *look.get("Concurrency").unwrap_or(&Value::Null)
    }

    /// The function as it was, as far as it matters for running it here.
    pub(super) fn deployed(&self) -> Deployed {
        let known = &self.configuration;
        let number = |name: &str, default| known.get(name).and_then(Value::as_u64).unwrap_or(default);
        let logging = known.get("LoggingConfig").cloned().unwrap_or_default();
        let level = Some(text(&logging, "ApplicationLogLevel")).filter(|level| !level.is_empty());
        let layers = known.get("Layers").and_then(Value::as_array).into_iter().flatten();
        let mut tags = texts(&self.tags);
        tags.remove(TAG);
        Deployed {
            name: self.function.clone(),
            arn: self.arn.clone(),
            runtime: text(known, "Runtime").to_owned(),
            handler: text(known, "Handler").to_owned(),
            role: text(known, "Role").to_owned(),
            timeout_s: number("Timeout", 3),
            memory_mb: number("MemorySize", 128),
            environment: known.pointer("/Environment/Variables").map(texts).unwrap_or_default(),
            layers: layers.map(|layer| text(layer, "Arn").to_owned()).collect(),
            architecture: architecture(known).to_owned(),
            json_log: (text(&logging, "LogFormat") == "JSON").then(|| level.unwrap_or("INFO").to_owned()),
            is_image: text(known, "PackageType") == "Image",
            tags,
        }
    }
}

/// The architecture in a configuration, as Lambda calls it.
pub(super) fn architecture(configuration: &Value) -> &str {
    configuration.pointer("/Architectures/0").and_then(Value::as_str).unwrap_or("x86_64")
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let all = value.as_object().into_iter().flatten();
    all.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// The bucket of a debug stack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket<'a> {
    /// How it is reached.
    pub aws: &'a Aws,
    /// Its name.
    pub name: &'a str,
}

impl Bucket<'_> {
    /// Keeps the code of a function, of which Lambda says where it is and what its SHA-256 is.
    ///
    /// # Errors
    /// When it cannot be had, or kept, or is not what Lambda says it is.
    pub(super) async fn keep_code(
        &self,
        function: &str,
        location: &str,
        sha256: &str,
        key: &str,
    ) -> Result<()> {
        let cannot = |why: &str| {
            Error::new(Kind::Cloud, format!("the code of `{function}` cannot be kept")).detail(why)
        };
        let mut bytes = Vec::new();
        let downloaded = self.aws.download(location, &mut bytes, MOST_BYTES).await;
        downloaded.map_err(|why| cannot(&format!("its download has failed: {why}")))?;
        if lambda_sha256(&sst_wire::sha256_hex(&bytes)) != sha256 {
            return Err(cannot("what Lambda hands out is not what it says it is (SHA-256)"));
        }
        let kept = self.put(key, bytes).await;
        kept.map_err(|refused| refused.because(format!("the code of `{function}` cannot be kept")))
    }

    /// Keeps a snapshot.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(super) async fn keep(&self, key: &str, snapshot: &Snapshot) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(snapshot).unwrap_or_default();
        let kept = self.put(key, bytes).await;
        kept.map_err(|refused| {
            refused.because(format!("the snapshot of `{}` cannot be kept", snapshot.function))
        })
    }

    /// A snapshot; none when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn snapshot(&self, function: &str, key: &str) -> Result<Option<Snapshot>> {
        let what = || format!("the snapshot of `{function}` cannot be read");
        let client = self.aws.s3();
        let asked = patiently("s3:GetObject", || client.get_object().bucket(self.name).key(key).send()).await;
        let object = match asked {
            Ok(object) => object,
            Err(refused) if refused.is_missing() => return Ok(None),
            Err(refused) => return Err(refused.because(what())),
        };
        let bytes =
            object.body.collect().await.map_err(|error| Error::new(Kind::Cloud, what()).detail(error))?;
        let snapshot: Snapshot = serde_json::from_slice(&bytes.into_bytes())
            .map_err(|error| Error::new(Kind::Cloud, what()).detail(error))?;
        if snapshot.version > VERSION {
            return Err(Error::new(Kind::Cloud, what())
                .detail("another version of `sst` has written it")
                .hint("use the newest version of `sst`"));
        }
        Ok(Some(snapshot))
    }

    /// Removes what is kept of a function by a session.
    pub(super) async fn remove(&self, function: &str, session: &str) -> Result<(), Refused> {
        let client = self.aws.s3();
        for file in FILES {
            let key = key(function, session, file);
            patiently("s3:DeleteObject", || client.delete_object().bucket(self.name).key(&key).send())
                .await?;
        }
        Ok(())
    }

    /// Whether there is such an object, as far as that may be asked.
    pub(super) async fn has(&self, key: &str) -> bool {
        self.aws.s3().head_object().bucket(self.name).key(key).send().await.is_ok()
    }

    /// Writes an object.
    pub(super) async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Refused> {
        let client = self.aws.s3();
        let bytes = Bytes::from(bytes);
        let put =
            || client.put_object().bucket(self.name).key(key).body(ByteStream::from(bytes.clone())).send();
        patiently("s3:PutObject", put).await.map(drop)
    }
}

/// A SHA-256 as Lambda writes it, of the same in hexadecimal.
pub(super) fn lambda_sha256(hex: &str) -> String {
    let byte = |at: usize| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    STANDARD.encode((0..hex.len()).step_by(2).filter_map(byte).collect::<Vec<u8>>())
}

/// The keys of what is kept for one function by one session.
pub(super) fn key(function: &str, session: &str, file: &str) -> String {
    format!("{PREFIX}/{function}/{session}/{file}")
}

/// The key of a stub's code.
pub(super) fn stub_key(sha256: &str) -> String {
    // What Lambda calls it has slashes in it.
    format!("{PREFIX}/stubs/{}.zip", sha256.replace('/', "_"))
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::{
        operation::get_function::GetFunctionOutput,
        types::{
            Architecture, EnvironmentResponse, FunctionConfiguration, Layer, LogFormat, LoggingConfig,
            Runtime,
        },
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn a_function_of_a_snapshot_is_what_lambda_tells() {
        let variables = [("A".to_owned(), "1".to_owned())];
        let configuration = FunctionConfiguration::builder()
            .function_name("f")
            .function_arn("arn:f")
            .runtime(Runtime::Providedal2023)
            .handler("h")
            .role("arn:r")
            .timeout(7)
            .memory_size(256)
            .environment(EnvironmentResponse::builder().set_variables(Some(variables.into())).build())
            .layers(Layer::builder().arn("arn:l").build())
            .architectures(Architecture::Arm64)
            .logging_config(LoggingConfig::builder().log_format(LogFormat::Json).build())
            .build();
        let told = GetFunctionOutput::builder().configuration(configuration).tags("team", "t").build();
        let look = json!({
            "Configuration": {
                "FunctionName": "f", "FunctionArn": "arn:f", "Runtime": "provided.al2023", "Handler": "h", "Role": "arn:r", "Timeout": 7,
                "MemorySize": 256, "Environment": { "Variables": { "A": "1" } }, "Layers": [{ "Arn": "arn:l", "CodeSize": 1 }],
                "Architectures": ["arm64"], "LoggingConfig": { "LogFormat": "JSON" },
            },
            "Tags": { "team": "t", TAG: "s3://bucket/key" },
        });
        let code = CodeAt { bucket: String::new(), key: String::new(), source_kms_key_arn: None };
        let empty = Settings::new();
        let parts = Parts { stub: &empty, stub_code: "", policy: "", event_invoke_config: None, code: &code };
        let snapshot = Snapshot::new(&look, Settings::new(), parts);
        assert_eq!(Some(snapshot.deployed()), Deployed::read(&told));
    }

    #[test]
    fn a_hash_is_as_lambda_writes_it() {
        // That of nothing.
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(lambda_sha256(hex), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
