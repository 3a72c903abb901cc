//! Where credentials come from. Of profiles the SDK for Rust does not serve two by itself: one that was asked for although the environment
//! has credentials as well, and one whose role wants a code of a device (`mfa_serial`).

use aws_config::{
    Region, SdkConfig,
    default_provider::credentials::DefaultCredentialsChain,
    profile::{ProfileFileCredentialsProvider, ProfileSet},
    provider_config::ProviderConfig,
    sts::AssumeRoleProvider,
};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::{
    os_shim_internal::{Env, Fs},
    sdk_config::SharedTimeSource,
};

use super::{Clock, Network, chain, clock::Steady, connector, explain};
use crate::{
    error::{Error, Kind, Result},
    ui::prompt,
};

/// How long the session lasts that a code begins, in seconds. The role's own credentials are renewed within it without another code.
const SESSION_S: i32 = 12 * 3600;

/// How often a code may be mistyped.
const ATTEMPTS: usize = 3;

/// How many profiles are followed from one to the next.
const MAX_SOURCES: usize = 10;

/// Where credentials come from. A provider keeps what it has read; another one is made when that is of no use any more.
#[derive(Debug)]
pub(super) struct Source {
    from: Origin,
    region: Option<Region>,
    network: Network,
    fix: String,
}

#[derive(Debug)]
enum Origin {
    /// They are given.
    Fixed(Credentials),
    /// The SDK's own chain: the environment, the profile, and what there is on machines of AWS's.
    Chain,
    /// A profile, whatever the environment has.
    Profile(String),
    /// A session that a code has begun, and the role that is assumed in it.
    Role {
        session: Credentials,
        role: String,
        session_name: String,
        external_id: Option<String>,
        sdk: Box<SdkConfig>,
    },
}

impl Source {
    /// Those of the local cloud.
    pub(super) fn local(network: Network) -> Self {
        let credentials = Credentials::new("test", "test", None, None, "the local cloud");
        Self { from: Origin::Fixed(credentials), region: None, network, fix: String::new() }
    }

    /// Those that a test gives.
    #[cfg(test)]
    pub(super) fn fixed(credentials: Credentials, network: Network) -> Self {
        Self { from: Origin::Fixed(credentials), region: None, network, fix: String::new() }
    }

    /// What the profile that was asked for says, or else the environment.
    ///
    /// # Errors
    /// [`Kind::Cloud`] when AWS refuses the code of a device; [`Kind::Usage`] when there is nobody to give one, or the profile is incomplete.
    pub(super) async fn find(
        asked_for: Option<&str>,
        sdk: &SdkConfig,
        network: &Network,
        clock: &Clock,
    ) -> Result<Self> {
        let source = |from, fix| Self { from, region: sdk.region().cloned(), network: network.clone(), fix };
        // Then no profile counts, whatever is in it.
        if asked_for.is_none() && std::env::var_os("AWS_ACCESS_KEY_ID").is_some() {
            let fix = "they are in the environment of this program; start it again with others";
            return Ok(source(Origin::Chain, fix.to_owned()));
        }
        let profiles = load(asked_for).await?;
        if let Some(device) = Device::of(&profiles)? {
            let user = source(Origin::Profile(device.source.to_owned()), String::new());
            let session = device.session(sdk, user.provider(clock).await).await?;
            let from = Origin::Role {
                session,
                role: device.role.to_owned(),
                session_name: device.session_name.unwrap_or("sst").to_owned(),
                external_id: device.external_id.map(str::to_owned),
                sdk: Box::new(sdk.clone()),
            };
            let fix = format!(
                "the session that the code of `{}` has begun is over; start this program again for another code",
                device.serial
            );
            return Ok(source(from, fix));
        }
        let from = asked_for.map_or(Origin::Chain, |name| Origin::Profile(name.to_owned()));
        Ok(source(from, fix(&profiles)))
    }

    /// What the user can do when they have expired, as a sentence.
    pub(super) fn fix(&self) -> &str {
        &self.fix
    }

    /// A provider that has read nothing yet, without any open connection.
    pub(super) async fn provider(&self, clock: &Clock) -> SharedCredentialsProvider {
        let config = ProviderConfig::default()
            .with_region(self.region.clone())
            .with_http_client(connector::client(&self.network, clock))
            .with_time_source(Steady::new(clock.clone()));
        match &self.from {
            Origin::Fixed(credentials) => SharedCredentialsProvider::new(credentials.clone()),
            Origin::Chain => {
                let mut chain = DefaultCredentialsChain::builder().configure(config);
                chain.set_region(self.region.clone());
                SharedCredentialsProvider::new(chain.build().await)
            }
            Origin::Profile(name) => {
                let profile = ProfileFileCredentialsProvider::builder().configure(&config);
                SharedCredentialsProvider::new(profile.profile_name(name).build())
            }
            Origin::Role { session, role, session_name, external_id, sdk } => {
                let sdk = sdk
                    .to_builder()
                    .http_client(connector::client(&self.network, clock))
                    .time_source(SharedTimeSource::new(Steady::new(clock.clone())));
                let mut role = AssumeRoleProvider::builder(role)
                    .session_name(session_name.as_str())
                    .configure(&sdk.build());
                if let Some(id) = external_id {
                    role = role.external_id(id);
                }
                SharedCredentialsProvider::new(role.build_from_provider(session.clone()).await)
            }
        }
    }
}

/// Looks whether there is a profile, if one was asked for, by the environment or otherwise.
///
/// # Errors
/// [`Kind::Usage`] with those that there are.
pub(super) async fn check(asked_for: Option<&str>) -> Result<()> {
    // Then no profile counts, whatever is in it.
    let by_environment = || match std::env::var_os("AWS_ACCESS_KEY_ID") {
        Some(_) => None,
        None => std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty()),
    };
    let Some(name) = asked_for.map(str::to_owned).or_else(by_environment) else { return Ok(()) };
    let profiles = load(asked_for).await?;
    if profiles.get_profile(&name).is_some() {
        return Ok(());
    }
    let there: Vec<String> = profiles.profiles().map(|name| format!("`{name}`")).collect();
    let hint = match there.as_slice() {
        [] => format!("there are none; `aws configure --profile {name}` makes one"),
        _ => {
            let nearest = profiles.profiles().find(|other| strsim::damerau_levenshtein(other, &name) < 3);
            match nearest {
                Some(nearest) => format!("did you mean `{nearest}`? There are {}", sorted(there)),
                None => format!("there are {}", sorted(there)),
            }
        }
    };
    let file = std::env::var("AWS_CONFIG_FILE").unwrap_or_else(|_| "~/.aws/config".to_owned());
    Err(Error::new(Kind::Usage, format!("there is no profile `{name}` in `{file}`")).hint(hint))
}

fn sorted(mut names: Vec<String>) -> String {
    names.sort();
    names.join(", ")
}

async fn load(asked_for: Option<&str>) -> Result<ProfileSet> {
    let name = asked_for.map(|name| name.to_owned().into());
    aws_config::profile::load(&Fs::real(), &Env::real(), &EnvConfigFiles::default(), name).await.map_err(
        |error| Error::new(Kind::Usage, "the AWS configuration cannot be read").detail(chain(&error)),
    )
}

/// What renews the credentials of the profile that is used: what it says itself, or the profile that its role is assumed from.
fn fix(profiles: &ProfileSet) -> String {
    let used = profiles.selected_profile();
    let mut name = used;
    // A profile may name itself as its source.
    for _ in 0..MAX_SOURCES {
        match profiles.get_profile(name).and_then(|profile| profile.get("source_profile")) {
            Some(source) if source != name => name = source,
            _ => break,
        }
    }
    let has = |key: &str| profiles.get_profile(name).is_some_and(|profile| profile.get(key).is_some());
    let option = if name == "default" { String::new() } else { format!(" --profile {name}") };
    if has("sso_session") || has("sso_start_url") {
        format!("run `aws sso login{option}`")
    } else if has("login_session") {
        format!("run `aws login{option}`")
    } else {
        format!("renew those of the profile `{name}`")
    }
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

    /// A session that a code has begun. Roles can be assumed with it as often as need be, so that one code lasts for a day's work.
    async fn session(&self, sdk: &SdkConfig, user: SharedCredentialsProvider) -> Result<Credentials> {
        let Self { profile, serial, .. } = *self;
        if !prompt::is_interactive() {
            let message = format!(
                "the profile `{profile}` wants a code of `{serial}`, and there is no terminal to ask"
            );
            return Err(Error::new(Kind::Usage, message)
                .hint("run it in a terminal, or put the credentials of a session into the environment"));
        }
        let sts = aws_sdk_sts::Client::new(&sdk.to_builder().credentials_provider(user).build());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_renews_credentials_is_named_with_its_profile() {
        let config = "[default]\nlogin_session = arn:aws:iam::1:user/a\n\
            [profile sso]\nsso_session = s\n[sso-session s]\nsso_start_url = https://x\n\
            [profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = sso\n\
            [profile itself]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = itself\naws_access_key_id = a\n\
            [profile old]\nsso_start_url = https://x\n";
        for (profile, wanted) in [
            ("default", "run `aws login`"),
            ("sso", "run `aws sso login --profile sso`"),
            ("role", "run `aws sso login --profile sso`"),
            ("old", "run `aws sso login --profile old`"),
            ("itself", "renew those of the profile `itself`"),
        ] {
            let fs = Fs::from_slice(&[("/config", config)]);
            let env = Env::from_slice(&[("AWS_CONFIG_FILE", "/config"), ("HOME", "/")]);
            let name = Some(profile.to_owned().into());
            let profiles = aws_config::profile::load(&fs, &env, &EnvConfigFiles::default(), name).await;
            assert_eq!(fix(&profiles.unwrap()), wanted, "{profile}");
        }
    }
}
