//! How this program reaches AWS: region, credentials, endpoints, proxies, and trusted certificates, for the SDK and for WebSockets.

mod clients;
mod clock;
mod connector;
mod credentials;
mod download;
mod failure;
mod identity;
mod profile;
mod proxy;
mod regions;
mod resources;
mod tunnel;
mod upload;

use std::{ffi::OsString, sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, Region, identity::IdentityCache};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use aws_smithy_types::retry::RetryConfig;
use aws_types::sdk_config::SharedTimeSource;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::sync::watch;

#[cfg(test)]
pub(crate) use self::clock::fake::Fake;
pub(crate) use self::resources::physical_id;
pub use self::{
    clock::Clock,
    credentials::{CredentialsState, tell},
    failure::explain,
    tunnel::Stream,
};
use self::{
    clock::Steady,
    credentials::{Keeper, signed_with},
    failure::words,
    identity::{Asked, not_known},
    profile::Source,
    proxy::Proxies,
};
use crate::error::{Error, Kind, Result};

/// The variable that names a file with further trusted certificates, PEM. The SDK for Rust does not know it.
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// What is said where a command has to know the region.
const NO_REGION: &str = "no AWS region is known";

/// The account of the local cloud.
const NOBODY: &str = "000000000000";

/// How long a signed WebSocket URL may be used.
const PRESIGNED_FOR: Duration = Duration::from_secs(60);

/// Everything that a client of AWS needs here. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Aws {
    /// Configuration for the SDK's clients, with credentials, region, endpoint, clock, limits, and HTTP client set.
    sdk: aws_config::SdkConfig,
    /// What connections are made with.
    network: Network,
    /// What gives the credentials.
    keeper: Keeper,
    /// The region.
    pub region: String,
    /// The account number, from `sts:GetCallerIdentity`.
    pub account: String,
    /// The caller's ARN.
    pub caller_arn: String,
    /// The endpoint of a local cloud (or of any other that was asked for), e.g. `http://127.0.0.1:4566`; none on AWS.
    pub endpoint: Option<String>,
    /// The role that CloudFormation is handed for what it changes; without one it uses the caller's own permissions.
    pub deployer: Option<String>,
    /// AWS's time, and how this machine's clock compares with it.
    pub clock: Clock,
}

/// What connections are made with. Cheap to clone.
#[derive(Debug, Clone)]
struct Network {
    /// The certificates that the SDK's clients trust: the system's and those of `AWS_CA_BUNDLE`.
    trust: TlsContext,
    /// The same for other connections.
    tls: Arc<rustls::ClientConfig>,
    proxies: Proxies,
}

/// How AWS is to be reached.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The region; else the environment or the profile tells.
    pub region: Option<String>,
    /// The profile; else the environment tells.
    pub profile: Option<String>,
    /// Another endpoint than AWS's own, without a path.
    pub endpoint: Option<String>,
    /// Whether it is the local cloud, which has its own credentials and a default region.
    pub local: bool,
    /// See [`Aws::deployer`].
    pub deployer: Option<String>,
}

impl Options {
    /// The region of the local cloud.
    #[must_use]
    pub fn local_region(&self) -> String {
        self.region.clone().unwrap_or("us-east-1".to_owned())
    }
}

impl Aws {
    /// Finds region and credentials, and asks whose they are.
    ///
    /// # Errors
    /// [`Kind::Cloud`] when there are none, when they are refused, or when nothing answers;
    /// [`Kind::Environment`] when the certificates of `AWS_CA_BUNDLE` cannot be read; [`Kind::Usage`] when no region is known, and for an
    /// endpoint in the environment that is none.
    pub async fn connect(options: Options) -> Result<Self> {
        Self::connect_at(options, Clock::default()).await
    }

    /// The same, by another clock.
    async fn connect_at(options: Options, clock: Clock) -> Result<Self> {
        check_endpoints(std::env::vars_os())?;
        // The local cloud is on this machine, so what proxies there are does not matter.
        let proxies = if options.local { Proxies::default() } else { Proxies::from_environment()? };
        Self::connect_by(options, clock, Network::new(proxies)?).await
    }

    async fn connect_by(options: Options, clock: Clock, network: Network) -> Result<Self> {
        let aws = Self::unknown(options, clock, network).await?;
        let asked = Asked {
            region: &aws.region,
            endpoint: aws.endpoint.as_deref(),
            clock: &aws.clock,
            keeper: &aws.keeper,
        };
        let identity = asked.identity(&aws.sdk).await?;
        Ok(Self {
            account: identity.account.unwrap_or_default(),
            caller_arn: identity.arn.unwrap_or_default(),
            ..aws
        })
    }

    /// An account that nobody asks anything: that of the local cloud.
    ///
    /// # Errors
    /// As [`Aws::connect`], but that there are no credentials, and no region.
    pub async fn offline(options: Options) -> Result<Self> {
        check_endpoints(std::env::vars_os())?;
        let by_environment = || {
            let of = |name| std::env::var(name).ok().filter(|region| !region.is_empty());
            ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(of)
        };
        let region = options.region.or_else(by_environment);
        let options = Options { local: true, region, ..options };
        let aws = Self::unknown(options, Clock::default(), Network::new(Proxies::default())?).await?;
        Ok(Self {
            account: NOBODY.to_owned(),
            caller_arn: format!("arn:aws:iam::{NOBODY}:root"),
            endpoint: None,
            ..aws
        })
    }

    /// With all but whose the credentials are.
    async fn unknown(options: Options, clock: Clock, network: Network) -> Result<Self> {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(connector::client(&network, &clock))
            .timeout_config(clients::usual_limits())
            .time_source(SharedTimeSource::new(Steady::new(clock.clone())))
            .identity_cache(IdentityCache::no_cache())
            // They are found below, and kept there.
            .no_credentials();
        if options.local {
            let region = options.local_region();
            loader = loader.region(Region::new(region));
        } else {
            profile::check(options.profile.as_deref()).await?;
            if let Some(region) = options.region.clone() {
                loader = loader.region(Region::new(region));
            }
            if let Some(profile) = &options.profile {
                loader = loader.profile_name(profile);
            }
        }
        if let Some(endpoint) = &options.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        // What was loaded keeps the steady time; signatures are made at the one that is put right.
        let mut sdk =
            loader.load().await.to_builder().time_source(SharedTimeSource::new(clock.clone())).build();
        let region = sdk.region().map(ToString::to_string).ok_or_else(|| {
            Error::new(Kind::Usage, NO_REGION)
                .hint("give `--region`, set `AWS_REGION`, or put `region` into `sst.json`")
        })?;
        let endpoint = options.endpoint.or_else(|| sdk.endpoint_url().map(str::to_owned));
        if endpoint.is_none() {
            regions::check(&region)?;
        }
        if endpoint.is_some() {
            // Where everything is at one endpoint, there is no other kind of it.
            sdk = sdk.to_builder().use_fips(false).use_dual_stack(false).build();
        }
        let source = match options.local {
            true => Source::local(network.clone()),
            false => Source::find(options.profile.as_deref(), &sdk, &network, &clock).await?,
        };
        let keeper = Keeper::new(source, clock.clone());
        sdk = sdk.to_builder().credentials_provider(SharedCredentialsProvider::new(keeper.clone())).build();
        Ok(Self {
            account: String::new(),
            caller_arn: String::new(),
            sdk,
            network,
            keeper,
            region,
            endpoint,
            deployer: options.deployer,
            clock,
        })
    }

    /// The partition that ARNs begin with, e.g. `aws` or `aws-cn`.
    #[must_use]
    pub fn partition(&self) -> &str {
        self.caller_arn.split(':').nth(1).filter(|partition| !partition.is_empty()).unwrap_or("aws")
    }

    /// The same account by the same credentials, without any connection that is open. After a change of the network the pooled ones may
    /// be dead, and would only be found so one by one. Cheap, but not for each request.
    #[must_use]
    pub fn fresh(&self) -> Self {
        let client = connector::client(&self.network, &self.clock);
        Self { sdk: self.sdk.to_builder().http_client(client).build(), ..self.clone() }
    }

    /// The same, for who decides himself what is tried again, and when.
    #[must_use]
    pub fn without_retries(&self) -> Self {
        let sdk = self.sdk.to_builder().retry_config(RetryConfig::disabled()).build();
        Self { sdk, ..self.clone() }
    }

    /// The credentials, for programs that are started with them in their environment.
    ///
    /// # Errors
    /// [`Kind::Cloud`] when they have expired and cannot be renewed.
    pub async fn credentials(&self) -> Result<Credentials> {
        let credentials = self.keeper.provide_credentials().await;
        credentials.map_err(|error| not_known(&words(&error), &self.keeper))
    }

    /// Whether there are valid credentials, and when that changes. When there are none any more, it is looked for others all the time, and
    /// every client uses what is found. So whatever has failed for want of them is only to be tried again.
    #[must_use]
    pub fn credentials_state(&self) -> watch::Receiver<CredentialsState> {
        self.keeper.state()
    }

    /// AWS has said elsewhere than to the SDK that the credentials have expired that a URL was signed with. So whoever needs some gets
    /// others.
    pub fn credentials_expired(&self, signed: &str) {
        if let Some(access_key_id) = signed_with(signed) {
            self.keeper.expired(access_key_id);
        }
    }

    /// Signs the URL of a WebSocket endpoint (`wss://…` or `ws://…`), in the query as Signature Version 4 has it.
    ///
    /// # Errors
    /// [`Kind::Cloud`] when there are no valid credentials or the URL is none.
    pub async fn presign_websocket(&self, endpoint: &str) -> Result<String> {
        let identity = self.credentials().await?.into();
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(PRESIGNED_FOR);
        let failed = |error: &dyn std::fmt::Display| {
            Error::new(Kind::Cloud, format!("cannot sign `{endpoint}`")).detail(error)
        };
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("execute-api")
            .time(self.clock.now())
            .settings(settings)
            .build()
            .map_err(|error| failed(&error))?;
        // The handshake is an HTTP request, and is signed as one.
        let url = match endpoint.split_once("://") {
            Some(("wss", rest)) => format!("https://{rest}"),
            Some(("ws", rest)) => format!("http://{rest}"),
            _ => return Err(failed(&"it is not a WebSocket URL")),
        };
        let signable = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(&[]))
            .map_err(|error| failed(&error))?;
        let (instructions, _) =
            sign(signable, &parameters.into()).map_err(|error| failed(&error))?.into_parts();
        let mut request = http::Request::builder().uri(&url).body(()).map_err(|error| failed(&error))?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request.uri().to_string().replacen("http", "ws", 1))
    }
}

/// Whether an error says that no region is known.
#[must_use]
pub fn is_without_region(error: &Error) -> bool {
    error.message == NO_REGION
}

/// Whether CloudFormation says that there is no such stack, for which it has no error of its own.
#[must_use]
pub fn stack_is_missing<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    error.message().is_some_and(|message| message.contains("does not exist"))
}

/// An error, what caused it, what caused that, and so on.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Refuses endpoints in the environment that the SDK would end the program over, e.g. empty ones.
fn check_endpoints(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<()> {
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("AWS_ENDPOINT_URL")) else { continue };
        let uri = value.to_str().and_then(|value| value.parse::<http::Uri>().ok());
        let usable =
            uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
        if !usable {
            return Err(Error::new(
                Kind::Usage,
                format!("`{name}` is `{}`, which is not an endpoint", value.display()),
            )
            .hint("unset it, or set it to a URL such as `http://127.0.0.1:4566`"));
        }
    }
    Ok(())
}

fn ca_bundle() -> Result<Option<Vec<u8>>> {
    let Some(path) = std::env::var_os(CA_BUNDLE).filter(|path| !path.is_empty()) else { return Ok(None) };
    let unusable = |detail: String| {
        Error::new(
            Kind::Environment,
            format!("`{CA_BUNDLE}` names `{}`, which cannot be used", path.display()),
        )
        .detail(detail)
        .hint("it has to be a file of certificates in PEM form")
    };
    let pem = fs_err::read(&path).map_err(|error| unusable(error.to_string()))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates.iter().find_map(|certificate| certificate.as_ref().err()) {
        Some(error) => Err(unusable(error.to_string())),
        None if certificates.is_empty() => Err(unusable("there is no certificate in it".to_owned())),
        None => Ok(Some(pem)),
    }
}

impl Network {
    /// What is made of `AWS_CA_BUNDLE` and the system's certificates.
    fn new(proxies: Proxies) -> Result<Self> {
        let bundle = ca_bundle()?;
        let mut trust = TrustStore::default();
        if let Some(pem) = &bundle {
            trust = trust.with_pem_certificate(pem.as_slice());
        }
        let trust = TlsContext::builder().with_trust_store(trust).build().map_err(|error| {
            Error::new(Kind::Environment, "the trusted certificates cannot be used").detail(error)
        })?;
        Ok(Self { trust, tls: Arc::new(websocket_tls(bundle.as_deref())?), proxies })
    }
}

fn websocket_tls(bundle: Option<&[u8]>) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let own = bundle.map(|pem| CertificateDer::pem_slice_iter(pem).flatten()).into_iter().flatten();
    roots.add_parsable_certificates(own);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder =
        builder.map_err(|error| Error::new(Kind::Environment, "TLS cannot be set up").detail(error))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod signatures;
#[cfg(test)]
mod tests;
