//! The developer's own credentials for as long as a session lasts. They expire while it runs; then they are asked for again and again,
//! each time from a provider that has kept nothing, so that what `aws sso login` has written is found without a restart.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, Result, SharedCredentialsProvider, error::CredentialsError, future},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef},
            dyn_dispatch_hint,
        },
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    Clock,
    failure::{NO_CREDENTIALS, NoCredentials, is_out_of_reach, words},
    profile::Source,
};
use crate::{tasks, ui::Ui};

/// How long a provider may take. It may be a program that asks its user.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long before their end credentials are renewed.
const AHEAD: Duration = Duration::from_secs(10);

/// How long credentials are kept that do not say when they end: those of a file may be replaced.
const KEPT: Duration = Duration::from_secs(300);

/// How long a refusal counts. Who asks within it gets the same one, so that many who ask do not start many programs.
const REFUSED: Duration = Duration::from_secs(2);

/// How often it is looked whether there are credentials again: at first, and in the end.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(20));

/// Whether there are credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialsState {
    /// As far as is known, there are.
    Valid,
    /// They have expired, or cannot be had for another reason than the network. It is looked for others until there are some.
    Missing {
        /// Why, as the provider or AWS says it.
        reason: String,
        /// What the user can do, as a sentence.
        fix: String,
    },
}

/// The one provider that all clients use. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Keeper(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    clock: Clock,
    state: watch::Sender<CredentialsState>,
    kept: Mutex<Kept>,
    /// Held by whoever asks the provider. Others wait for what it says.
    asking: tokio::sync::Mutex<Option<Provider>>,
    /// Somebody looks for others.
    looking: AtomicBool,
}

#[derive(Debug, Default)]
struct Kept {
    credentials: Option<(Credentials, SystemTime)>,
    /// The last refusal, and how often the time had been put right before it.
    refusal: Option<(NoCredentials, Instant, u64)>,
    /// What AWS has said no to: whatever they say themselves, they have expired.
    expired: Option<Credentials>,
}

/// A provider, and how often the time had been put right when it was made. It may have compared times.
#[derive(Debug)]
struct Provider {
    provider: SharedCredentialsProvider,
    corrections: u64,
}

impl Keeper {
    pub(super) fn new(source: Source, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            source,
            clock,
            state: watch::Sender::new(CredentialsState::Valid),
            kept: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            looking: AtomicBool::new(false),
        }))
    }

    /// Whether there are credentials, and when that changes.
    pub(super) fn state(&self) -> watch::Receiver<CredentialsState> {
        self.0.state.subscribe()
    }

    /// What the user can do about credentials that have expired.
    pub(super) fn fix(&self) -> &str {
        self.0.source.fix()
    }

    /// AWS says that the credentials have expired that it was asked with. By now there may be others.
    pub(super) fn expired(&self, access_key_id: &str) {
        let mut kept = self.0.kept();
        let asked_with =
            |(credentials, _): &mut (Credentials, _)| credentials.access_key_id() == access_key_id;
        if let Some((credentials, _)) = kept.credentials.take_if(asked_with) {
            kept.expired = Some(credentials);
        }
    }
}

impl ProvideCredentials for Keeper {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            if let Some(known) = self.0.known() {
                return known;
            }
            // Whoever asks may give up earlier than the provider needs, and gets what it says the next time.
            let asking = tokio::spawn(tasks::named("the credentials", Inner::ask(self.0.clone())));
            asking.await.unwrap_or_else(|error| Err(CredentialsError::unhandled(error)))
        })
    }
}

impl Inner {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What can be said without asking the provider.
    fn known(&self) -> Option<Result> {
        let kept = self.kept();
        if let Some((credentials, until)) = &kept.credentials
            && self.clock.now() < *until
        {
            return Some(Ok(credentials.clone()));
        }
        let (refusal, since, corrections) = kept.refusal.as_ref()?;
        let counts = since.elapsed() < REFUSED && *corrections == self.clock.corrections();
        counts.then(|| Err(CredentialsError::provider_error(refusal.clone())))
    }

    async fn ask(self: Arc<Self>) -> Result {
        let mut provider = self.asking.lock().await;
        // It has been asked meanwhile.
        if let Some(known) = self.known() {
            return known;
        }
        let usable = provider.take().filter(|provider| provider.corrections == self.clock.corrections());
        let usable = match usable {
            Some(usable) => usable,
            None => Provider {
                corrections: self.clock.corrections(),
                provider: self.source.provider(&self.clock).await,
            },
        };
        let answer = match timeout(PATIENCE, usable.provider.provide_credentials()).await {
            // A program's words may have several lines.
            Ok(answer) => answer.map_err(|error| NoCredentials {
                out_of_reach: is_out_of_reach(&error) && words(&error) != NO_CREDENTIALS,
                reason: words(&error).split_whitespace().collect::<Vec<&str>>().join(" "),
            }),
            Err(_) => {
                let reason = format!("no credentials were given within {} s", PATIENCE.as_secs());
                Err(NoCredentials { reason, out_of_reach: false })
            }
        };
        let expired = |reason| NoCredentials { reason, out_of_reach: false };
        match answer.and_then(|credentials| self.check(credentials).map_err(expired)) {
            Ok(credentials) => {
                // What does not say when it ends is read anew the next time.
                *provider = credentials.expiry().map(|_| usable);
                drop(provider);
                self.have(credentials.clone());
                Ok(credentials)
            }
            Err(refusal) => {
                drop(provider);
                self.miss(refusal.clone());
                Err(CredentialsError::provider_error(refusal))
            }
        }
    }

    /// Credentials that AWS will take.
    fn check(&self, credentials: Credentials) -> std::result::Result<Credentials, String> {
        let kept = self.kept();
        let over = credentials.expiry().is_some_and(|expiry| expiry <= self.clock.now());
        let refused = kept.expired.as_ref().is_some_and(|expired| {
            expired.access_key_id() == credentials.access_key_id()
                && expired.session_token() == credentials.session_token()
        });
        if over || refused { Err("the credentials have expired".to_owned()) } else { Ok(credentials) }
    }

    fn have(&self, credentials: Credentials) {
        let until = credentials.expiry().map_or_else(|| self.clock.now() + KEPT, |expiry| expiry - AHEAD);
        *self.kept() = Kept { credentials: Some((credentials, until)), ..Kept::default() };
        self.state.send_if_modified(|state| {
            let was = std::mem::replace(state, CredentialsState::Valid);
            was != CredentialsState::Valid
        });
    }

    fn miss(self: &Arc<Self>, refusal: NoCredentials) {
        tracing::debug!(refusal.reason, "credentials");
        let mut kept = self.kept();
        kept.credentials = None;
        kept.refusal = Some((refusal.clone(), Instant::now(), self.clock.corrections()));
        drop(kept);
        // Without a network there is nothing to log in with, and whoever needs it says so.
        if refusal.out_of_reach {
            return;
        }
        let missing = CredentialsState::Missing { reason: refusal.reason, fix: self.source.fix().to_owned() };
        self.state.send_if_modified(|state| {
            let had = *state == CredentialsState::Valid;
            *state = missing;
            had
        });
        if !self.looking.swap(true, Ordering::Relaxed) {
            tokio::spawn(tasks::named("the look-out for credentials", look(Arc::downgrade(self))));
        }
    }
}

/// Looks for credentials until there are some. Nothing else may need any for a while, and the user waits for a word.
async fn look(keeper: Weak<Inner>) {
    let (mut pause, longest) = LOOK_AGAIN;
    loop {
        sleep(pause).await;
        pause = (pause * 5 / 4).min(longest);
        let Some(keeper) = keeper.upgrade() else { return };
        let found = Inner::ask(keeper.clone()).await.is_ok();
        if found {
            keeper.looking.store(false, Ordering::Relaxed);
            return;
        }
    }
}

/// Tells the user when there are no credentials any more, and when there are again. Never returns.
pub async fn tell(state: watch::Receiver<CredentialsState>, ui: Ui) {
    tell_changes(state, ui).await;
    // Whoever gave them has gone, and nobody needs any.
    std::future::pending().await
}

async fn tell_changes(mut state: watch::Receiver<CredentialsState>, ui: Ui) {
    loop {
        let missing = match &*state.borrow_and_update() {
            CredentialsState::Valid => None,
            CredentialsState::Missing { reason, fix } => Some(format!("{reason}: {fix}")),
        };
        if let Some(what) = missing {
            ui.warning(format!(
                "there are no valid AWS credentials any more; what needs them waits until there are ({what})"
            ));
            if state.wait_for(|state| *state == CredentialsState::Valid).await.is_err() {
                return;
            }
            ui.info("The AWS credentials are valid again");
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// The access key that a signature names, in a header or in a query.
pub(super) fn signed_with(text: &str) -> Option<&str> {
    let (_, credential) = text.split_once("Credential=")?;
    credential.split(['/', '%']).next()
}

/// What a request was signed with.
#[derive(Debug)]
struct SignedWith(String);

impl Storable for SignedWith {
    type Storer = StoreReplace<Self>;
}

/// Notices that AWS does not take the credentials any more, of which some do not say themselves when that will be.
#[dyn_dispatch_hint]
impl Intercept for Keeper {
    fn name(&self) -> &'static str {
        "Keeper"
    }

    fn read_after_signing(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        if let Some(access_key_id) = context.request().headers().get("authorization").and_then(signed_with) {
            config.interceptor_state().store_put(SignedWith(access_key_id.to_owned()));
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let answer = context.response();
        // API Gateway says it in a header only.
        let head = answer.headers().get("x-amzn-errortype").unwrap_or_default();
        let body = String::from_utf8_lossy(answer.body().bytes().unwrap_or_default());
        if [400, 401, 403].contains(&answer.status().as_u16())
            && [head, &body].iter().any(|text| text.contains("ExpiredToken"))
            && let Some(SignedWith(access_key_id)) = config.load::<SignedWith>()
        {
            self.expired(access_key_id);
        }
        Ok(())
    }
}
