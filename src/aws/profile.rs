//! Profiles of the AWS configuration that the SDK for Rust does not serve by itself: one that was asked for although the environment
//! has credentials as well, and one whose role wants a code of a device (`mfa_serial`).

use aws_config::{
    SdkConfig,
    profile::{ProfileFileCredentialsProvider, ProfileSet},
    provider_config::ProviderConfig,
    sts::AssumeRoleProvider,
};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};

use super::{Clock, chain, clock::Steady, explain};
use crate::{
    error::{Error, Kind, Result},
    ui::prompt,
};

/// How long the session lasts that a code begins, in seconds. The role's own credentials are renewed within it without another code.
const SESSION_S: i32 = 12 * 3600;

/// How often a code may be mistyped.
const ATTEMPTS: usize = 3;

/// Credentials that the SDK's own chain would not find; none when it would.
///
/// # Errors
/// [`Kind::Cloud`] when AWS refuses the code; [`Kind::Usage`] when there is nobody to give one, or the profile is incomplete.
pub(super) async fn credentials(
    asked_for: Option<&str>,
    sdk: &SdkConfig,
    clock: &Clock,
) -> Result<Option<SharedCredentialsProvider>> {
    // Then no profile counts, whatever is in it.
    if asked_for.is_none() && std::env::var_os("AWS_ACCESS_KEY_ID").is_some() {
        return Ok(None);
    }
    let fs = Fs::real();
    let asked_for_name = asked_for.map(|name| name.to_owned().into());
    let profiles =
        aws_config::profile::load(&fs, &Env::real(), &EnvConfigFiles::default(), asked_for_name).await;
    let profiles = profiles.map_err(|error| {
        Error::new(Kind::Usage, "the AWS configuration cannot be read").detail(chain(&error))
    })?;
    if let Some(device) = Device::of(&profiles)? {
        return device.provider(sdk, clock).await.map(Some);
    }
    Ok(asked_for.map(|name| SharedCredentialsProvider::new(of_profile(name, sdk, clock))))
}

/// The credentials of a profile, whatever the environment has.
fn of_profile(name: &str, sdk: &SdkConfig, clock: &Clock) -> ProfileFileCredentialsProvider {
    let mut config = ProviderConfig::without_region()
        .with_region(sdk.region().cloned())
        .with_time_source(Steady::new(clock.clone()));
    if let Some(client) = sdk.http_client() {
        config = config.with_http_client(client.clone());
    }
    ProfileFileCredentialsProvider::builder().configure(&config).profile_name(name).build()
}

/// What a profile says of its role and the device that has to confirm it.
struct Device<'a> {
    profile: &'a str,
    serial: &'a str,
    role: &'a str,
    /// The profile with the credentials of the user who has the device.
    source: &'a str,
    session_name: Option<&'a str>,
    external_id: Option<&'a str>,
}

impl<'a> Device<'a> {
    fn of(profiles: &'a ProfileSet) -> Result<Option<Self>> {
        let (Some(serial), Some(role)) = (profiles.get("mfa_serial"), profiles.get("role_arn")) else {
            return Ok(None);
        };
        let profile = profiles.selected_profile();
        let source = profiles.get("source_profile").ok_or_else(|| {
            Error::new(
                Kind::Usage,
                format!("the profile `{profile}` has an `mfa_serial`, but no `source_profile`"),
            )
            .hint("name the profile with the user's own credentials as `source_profile`")
        })?;
        Ok(Some(Self {
            profile,
            serial,
            role,
            source,
            session_name: profiles.get("role_session_name"),
            external_id: profiles.get("external_id"),
        }))
    }

    async fn provider(&self, sdk: &SdkConfig, clock: &Clock) -> Result<SharedCredentialsProvider> {
        let session = self.session(sdk, clock).await?;
        let mut role = AssumeRoleProvider::builder(self.role)
            .session_name(self.session_name.unwrap_or("sst"))
            .configure(sdk);
        if let Some(id) = self.external_id {
            role = role.external_id(id);
        }
        Ok(SharedCredentialsProvider::new(role.build_from_provider(session).await))
    }

    /// A session that a code has begun. Roles can be assumed with it as often as need be, so that one code lasts for a day's work.
    async fn session(&self, sdk: &SdkConfig, clock: &Clock) -> Result<Credentials> {
        let Self { profile, serial, .. } = *self;
        if !prompt::is_interactive() {
            let message = format!(
                "the profile `{profile}` wants a code of `{serial}`, and there is no terminal to ask"
            );
            return Err(Error::new(Kind::Usage, message)
                .hint("run it in a terminal, or put the credentials of a session into the environment"));
        }
        let source = SharedCredentialsProvider::new(of_profile(self.source, sdk, clock));
        let sts = aws_sdk_sts::Client::new(&sdk.to_builder().credentials_provider(source).build());
        let mut refused = String::new();
        for _ in 0..ATTEMPTS {
            let again = if refused.is_empty() { "" } else { "That was not it. " };
            let question = format!("{again}Code of the MFA device {serial}:");
            let answer = tokio::task::spawn_blocking(move || prompt::ask(&question)).await;
            let code = answer.ok().and_then(std::result::Result::ok).ok_or_else(|| {
                Error::new(Kind::Usage, format!("no code of the MFA device `{serial}` was given"))
            })?;
            let session = sts.get_session_token().serial_number(serial).token_code(code);
            match session.duration_seconds(SESSION_S).send().await {
                Ok(answer) => {
                    return answer
                        .credentials
                        .as_ref()
                        .map(credentials_of)
                        .ok_or_else(|| self.failed("no session"));
                }
                Err(error) => refused = explain(&error),
            }
            // Anything else than a wrong code will not be better the next time.
            if !refused.contains("MFA") && !refused.contains("MultiFactorAuthentication") {
                break;
            }
        }
        Err(self.failed(&refused))
    }

    fn failed(&self, detail: &str) -> Error {
        let message =
            format!("the profile `{}` cannot be used with the MFA device `{}`", self.profile, self.serial);
        Error::new(Kind::Cloud, message).detail(detail)
    }
}

fn credentials_of(credentials: &aws_sdk_sts::types::Credentials) -> Credentials {
    Credentials::new(
        credentials.access_key_id(),
        credentials.secret_access_key(),
        Some(credentials.session_token().to_owned()),
        std::time::SystemTime::try_from(*credentials.expiration()).ok(),
        "a session with MFA",
    )
}
