//! The extensions of one execution environment: which there are, what they are told, and when they are ready.
//!
//! It follows the developer guide's "Using the Lambda Extensions API" and, where that is silent, AWS's own emulator
//! (<https://github.com/aws/aws-lambda-runtime-interface-emulator>). Their processes are the worker room's, their requests the Runtime
//! API's; both share this.

mod destination;
mod telemetry;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) use self::telemetry::{Category, Telemetry};
use crate::{core::effect::Delivery, project::manifest::FunctionSpec};

/// How many a function can have.
const MOST: usize = 10;

/// How long extensions may take to end after they were told of it, as on Lambda.
pub(crate) const SHUTDOWN: Duration = Duration::from_secs(2);

/// The extensions of one execution environment.
#[derive(Debug, Default)]
pub(crate) struct Extensions {
    /// The executables that are started beside the runtime.
    pub programs: Vec<Utf8PathBuf>,
    /// What is told of the environment to who has subscribed to it.
    pub telemetry: Telemetry,
    function: Function,
    state: Mutex<State>,
    /// Counts the changes of the state.
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Function {
    name: String,
    version: String,
    handler: String,
}

#[derive(Debug, Default)]
struct State {
    registered: Vec<Extension>,
    /// The runtime has asked for its first call, after which none can register any more.
    closed: bool,
    /// What an extension has said of its own end.
    fatal: Option<&'static str>,
}

#[derive(Debug)]
struct Extension {
    id: String,
    name: String,
    invoke: bool,
    shutdown: bool,
    /// It waits for its next event, or would if its connection had lasted.
    ready: bool,
    events: VecDeque<Value>,
}

/// Why a request of an extension is refused: the type of the error, and what is said of it.
pub(crate) type Refusal = (&'static str, String);

/// Why an environment ends with all that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It is not needed any more.
    Spindown,
    /// The time of its call is over.
    Timeout,
    /// Something in it has failed.
    Failure,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Spindown => "SPINDOWN",
            Self::Timeout => "TIMEOUT",
            Self::Failure => "FAILURE",
        }
    }
}

impl Extensions {
    /// For a worker of `spec` with the layers in `opt`, and the variables of its function.
    pub(crate) fn new(
        spec: &FunctionSpec,
        opt: Option<&Utf8Path>,
        variables: &BTreeMap<String, String>,
    ) -> Self {
        let variable = |name: &str| variables.get(name).cloned();
        let function = Function {
            name: variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|| spec.id.to_string()),
            version: variable("AWS_LAMBDA_FUNCTION_VERSION").unwrap_or_else(|| "$LATEST".to_owned()),
            handler: spec.handler.clone(),
        };
        let memory_mb = spec.memory_mb.or_else(|| variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")?.parse().ok());
        let telemetry = Telemetry::new(memory_mb.unwrap_or_default(), &function.version);
        telemetry.platform("initStart", || {
            json!({
                "initializationType": "on-demand",
                "phase": "init",
                "functionName": function.name,
                "functionVersion": function.version,
            })
        });
        Self {
            programs: opt.map(programs).unwrap_or_default(),
            telemetry,
            function,
            state: Mutex::default(),
            changed: watch::Sender::default(),
        }
    }

    /// The executables by their names, which are what extensions register with.
    pub(crate) fn external(&self) -> impl Iterator<Item = (&str, &Utf8Path)> {
        self.programs.iter().filter_map(|path| Some((path.file_name()?, path.as_path())))
    }

    /// Takes in an extension: an executable beside the runtime, or a part of the function's own process. Returns its id, and what it is
    /// told of the function.
    pub(crate) fn register(&self, name: &str, body: &[u8]) -> Result<(String, Value), Refusal> {
        if name.is_empty() {
            return Err(("Extension.InvalidExtensionName", "Empty extension name".to_owned()));
        }
        let invalid = |problem: String| ("InvalidRequestFormat", problem);
        let body: Value = serde_json::from_slice(body).map_err(|error| invalid(error.to_string()))?;
        let events = body.get("events").and_then(Value::as_array).into_iter().flatten();
        let events: Vec<&str> = events.filter_map(Value::as_str).collect();
        let is_external = self.external().any(|(known, _)| known == name);
        let known = if is_external { &["INVOKE", "SHUTDOWN"][..] } else { &["INVOKE"] };
        if let Some(other) = events.iter().find(|event| !known.contains(event)) {
            return Err(("Extension.InvalidEventType", format!("{other}: event is not supported")));
        }
        let extension = Extension {
            id: uuid::Uuid::new_v4().to_string(),
            name: name.to_owned(),
            invoke: events.contains(&"INVOKE"),
            shutdown: events.contains(&"SHUTDOWN"),
            ready: false,
            events: VecDeque::new(),
        };
        let id = extension.id.clone();
        {
            let mut state = self.lock();
            if state.closed {
                return Err((
                    "Extension.RegistrationClosed",
                    "Extension registration closed already".to_owned(),
                ));
            }
            if state.registered.iter().any(|one| one.name == name) {
                let problem = "Extension with this name already registered".to_owned();
                return Err(("Extension.InvalidExtensionState", problem));
            }
            if state.registered.len() >= MOST {
                return Err(("Extension.TooManyExtensions", format!("Extension limit ({MOST}) reached")));
            }
            state.registered.push(extension);
        }
        self.tell_of_change();
        let Function { name, version, handler } = &self.function;
        Ok((id, json!({ "functionName": name, "functionVersion": version, "handler": handler })))
    }

    /// The next event for the extension `id`, however long it takes. Nothing is lost when it is not waited for to the end.
    pub(crate) async fn next(&self, id: &str) -> Result<Value, Refusal> {
        let mut changes = self.changed.subscribe();
        self.with(id, |extension| extension.ready = true)?;
        self.tell_of_change();
        loop {
            changes.mark_unchanged();
            let event = self.with(id, |extension| {
                let event = extension.events.pop_front();
                extension.ready = event.is_none();
                event
            })?;
            if let Some(event) = event {
                return Ok(event);
            }
            // The sender is `self`.
            let _ = changes.changed().await;
        }
    }

    /// An extension says that it is about to end because of an error, and of which.
    pub(crate) fn fails(&self, id: &str, initialising: bool) -> Result<(), Refusal> {
        let fatal = if initialising { "Extension.InitError" } else { "Extension.ExitError" };
        self.with(id, |_| ())?;
        self.lock().fatal.get_or_insert(fatal);
        Ok(())
    }

    /// The type of the error when an extension has ended that was not told to.
    pub(crate) fn fatal(&self) -> &'static str {
        self.lock().fatal.unwrap_or("Extension.Crash")
    }

    /// The name of the extension `id`.
    pub(crate) fn name(&self, id: &str) -> Result<String, Refusal> {
        self.with(id, |extension| extension.name.clone())
    }

    /// Waits until all executables have registered, before which the runtime is not started.
    pub(crate) async fn registered(&self) {
        self.until(|state| {
            self.external().all(|(name, _)| state.registered.iter().any(|extension| extension.name == name))
        })
        .await;
    }

    /// Waits until no extension has anything to do with the last call, or with its start, any more. From now on none can register.
    pub(crate) async fn ready(&self) {
        self.lock().closed = true;
        self.until(|state| {
            state.registered.iter().all(|extension| extension.ready && extension.events.is_empty())
        })
        .await;
    }

    /// Those that have registered, each with the events that it wants to hear of.
    pub(crate) fn states(&self) -> Vec<(String, Vec<&'static str>)> {
        let state = self.lock();
        let events = |extension: &Extension| {
            let all = [(extension.invoke, "INVOKE"), (extension.shutdown, "SHUTDOWN")];
            all.into_iter().filter_map(|(has, name)| has.then_some(name)).collect()
        };
        state.registered.iter().map(|extension| (extension.name.clone(), events(extension))).collect()
    }

    /// Tells those who want to know that a call is about to be served.
    pub(crate) fn invoke(&self, delivery: &Delivery, deadline_ms: u128) {
        let event = || {
            let context = &delivery.context;
            let mut event = json!({
                "eventType": "INVOKE",
                "deadlineMs": u64::try_from(deadline_ms).unwrap_or(u64::MAX),
                "requestId": delivery.request.as_str(),
                "invokedFunctionArn": context.invoked_function_arn,
            });
            if let Some(trace) = &context.trace_id {
                event["tracing"] = json!({ "type": "X-Amzn-Trace-Id", "value": trace });
            }
            event
        };
        self.tell(event, |extension| extension.invoke);
    }

    /// Tells those who want to know that the environment ends, and by when they have to have ended. Whether there is anybody.
    pub(crate) fn shut_down(&self, reason: Reason) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let event = || {
            json!({
                "eventType": "SHUTDOWN",
                "shutdownReason": reason.name(),
                "deadlineMs": u64::try_from((now + SHUTDOWN).as_millis()).unwrap_or(u64::MAX),
            })
        };
        self.tell(event, |extension| extension.shutdown)
    }

    fn tell(&self, event: impl Fn() -> Value, wants: impl Fn(&Extension) -> bool) -> bool {
        let mut any = false;
        for extension in self.lock().registered.iter_mut().filter(|extension| wants(extension)) {
            extension.events.push_back(event());
            any = true;
        }
        if any {
            self.tell_of_change();
        }
        any
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        let mut changes = self.changed.subscribe();
        loop {
            changes.mark_unchanged();
            if holds(&self.lock()) {
                return;
            }
            // The sender is `self`.
            let _ = changes.changed().await;
        }
    }

    fn with<T>(&self, id: &str, action: impl FnOnce(&mut Extension) -> T) -> Result<T, Refusal> {
        let mut state = self.lock();
        match state.registered.iter_mut().find(|extension| extension.id == id) {
            Some(extension) => Ok(action(extension)),
            None => Err(("Extension.UnknownExtensionIdentifier", format!("Unknown extension {id}"))),
        }
    }

    fn tell_of_change(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The guarded value is whole at every point at which a panic could happen.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The files of `/opt/extensions`, in order. Whether they can be run is found when they are.
fn programs(opt: &Utf8Path) -> Vec<Utf8PathBuf> {
    let entries = opt.join("extensions").read_dir_utf8().into_iter().flatten().flatten();
    let mut programs: Vec<_> =
        entries.map(camino::Utf8DirEntry::into_path).filter(|path| path.is_file()).collect();
    programs.sort();
    programs
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use bytes::Bytes;

    use super::*;
    use crate::project::manifest::Source;

    fn extensions(external: &[&str]) -> Arc<Extensions> {
        let spec = FunctionSpec {
            id: "a".into(),
            stack: "s".into(),
            logical_id: "A".into(),
            language: "scripted".into(),
            runtime: "scripted".into(),
            handler: "index.handler".into(),
            source: Source::Directory { path: "/app".into() },
            timeout_s: Some(3),
            memory_mb: Some(512),
            environment: Vec::new(),
            json_log: None,
            layers: Vec::new(),
        };
        let mut extensions = Extensions::new(&spec, None, &BTreeMap::new());
        extensions.programs = external.iter().map(|name| format!("/opt/extensions/{name}").into()).collect();
        Arc::new(extensions)
    }

    fn delivery(request: &str) -> Delivery {
        Delivery {
            request: request.into(),
            payload: Bytes::new(),
            context: sst_wire::Context::default(),
            deadline: Instant::now(),
            credentials: BTreeMap::new(),
            debugged: false,
            stops: false,
        }
    }

    fn is_waiting<T>(task: &tokio::task::JoinHandle<T>) -> bool {
        !task.is_finished()
    }

    #[test]
    fn a_registration_is_refused_as_lambda_refuses_it() {
        let extensions = extensions(&["outside"]);
        let register = |name: &str, body: &str| extensions.register(name, body.as_bytes());
        for (name, body, error) in [
            ("", "{}", "Extension.InvalidExtensionName"),
            ("outside", "{", "InvalidRequestFormat"),
            ("outside", r#"{"events":["OTHER"]}"#, "Extension.InvalidEventType"),
            ("inside", r#"{"events":["INVOKE","SHUTDOWN"]}"#, "Extension.InvalidEventType"),
        ] {
            assert_eq!(register(name, body).expect_err(body).0, error, "{name} {body}");
        }
        let (id, told) = register("outside", r#"{"events":["INVOKE","SHUTDOWN"]}"#).expect("it is taken");
        assert_eq!(
            told,
            json!({ "functionName": "a", "functionVersion": "$LATEST", "handler": "index.handler" })
        );
        assert_eq!(extensions.name(&id).expect("it is known"), "outside");
        assert_eq!(register("outside", "{}").expect_err("twice").0, "Extension.InvalidExtensionState");
        for index in 1..MOST {
            register(&format!("inside{index}"), "{}").expect("it is taken");
        }
        assert_eq!(register("more", "{}").expect_err("too many").0, "Extension.TooManyExtensions");
        assert_eq!(extensions.name("x").expect_err("unknown").0, "Extension.UnknownExtensionIdentifier");
    }

    #[tokio::test]
    async fn the_runtime_waits_for_extensions_and_these_for_events() {
        let extensions = extensions(&["outside"]);
        let registered = tokio::spawn({
            let extensions = extensions.clone();
            async move { extensions.registered().await }
        });
        tokio::task::yield_now().await;
        assert!(is_waiting(&registered));
        let (id, _) =
            extensions.register("outside", br#"{"events":["INVOKE","SHUTDOWN"]}"#).expect("it is taken");
        let (inside, _) = extensions.register("inside", br#"{"events":[]}"#).expect("it is taken");
        registered.await.expect("all have registered");
        let ready = || {
            let extensions = extensions.clone();
            tokio::spawn(async move { extensions.ready().await })
        };
        let next = |id: &str| {
            let (extensions, id) = (extensions.clone(), id.to_owned());
            tokio::spawn(async move { extensions.next(&id).await })
        };
        let first = ready();
        let outside_waits = next(&id);
        tokio::task::yield_now().await;
        assert!(is_waiting(&first), "one has not asked for its first event yet");
        let _inside_waits = next(&inside);
        first.await.expect("all are ready");
        assert_eq!(extensions.register("late", b"{}").expect_err("late").0, "Extension.RegistrationClosed");

        extensions.invoke(&delivery("r1"), 7);
        let event = outside_waits.await.expect("it ends").expect("it is an event");
        assert_eq!(
            (&event["eventType"], &event["requestId"], &event["deadlineMs"]),
            (&json!("INVOKE"), &json!("r1"), &json!(7))
        );
        let second = ready();
        tokio::task::yield_now().await;
        assert!(is_waiting(&second), "it works on the call");
        // Its connection is lost, but not the event that comes next.
        let lost = next(&id);
        second.await.expect("all are ready");
        lost.abort();
        let _ = lost.await;
        assert!(extensions.shut_down(Reason::Spindown));
        let event = extensions.next(&id).await.expect("it is an event");
        assert_eq!((&event["eventType"], &event["shutdownReason"]), (&json!("SHUTDOWN"), &json!("SPINDOWN")));
    }

    #[test]
    fn what_an_extension_says_of_its_end_is_the_type_of_the_error() {
        let extensions = extensions(&["outside"]);
        assert_eq!(extensions.fatal(), "Extension.Crash");
        let (id, _) = extensions.register("outside", b"{}").expect("it is taken");
        extensions.fails(&id, true).expect("it is heard");
        extensions.fails(&id, false).expect("it is heard");
        assert_eq!(extensions.fatal(), "Extension.InitError", "the first word counts");
        assert!(!extensions.shut_down(Reason::Failure), "it has not asked for that event");
    }
}
