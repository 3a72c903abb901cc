//! Tasks by name: those that the session cannot do without, and what is done when any of them panics.
//!
//! The async runtime keeps a panic to itself until somebody asks how the task ended, which for most tasks nobody does. So a panic is
//! told where it happens, by a hook; what it leaves undone is seen to by whoever has started the task, with [`caught`] or
//! [`on_panic`].

use std::{any::Any, collections::HashMap, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use tokio::task::{AbortHandle, Id, JoinSet};

use crate::{
    error::{Error, Kind, Result},
    ui::{Ui, UiEvent},
};

tokio::task_local! {
    static NAME: String;
}

/// What is said of each fault of our own.
const HINT: &str = "this is a fault of `sst`, not of your app; please report it";

/// The tasks that a session cannot do without. None of them ends before the session does; when one does, the session is over. Dropping
/// this ends them all.
#[derive(Debug, Default)]
pub struct Tasks {
    set: JoinSet<Result<()>>,
    names: HashMap<Id, &'static str>,
    handles: HashMap<&'static str, AbortHandle>,
}

impl Tasks {
    /// Starts one.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_fallible(name, async {
            task.await;
            Ok(())
        });
    }

    /// Starts one that may end the session with words of its own.
    pub fn spawn_fallible(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<()>> + Send + 'static,
    ) {
        let handle = self.set.spawn(named(name, task));
        self.names.insert(handle.id(), name);
        self.handles.insert(name, handle);
    }

    /// Waits until one of them has ended, and says what that means.
    pub async fn failed(&mut self) -> Error {
        loop {
            match self.next().await {
                Some((_, Err(error))) => return error,
                Some((name, Ok(reason))) => {
                    let message = format!("{name} has ended, without which nothing can be served");
                    return Error::new(Kind::Other, message).detail(reason).hint(HINT);
                }
                None => std::future::pending::<()>().await,
            }
        }
    }

    /// Waits until one, which is about to end, has ended.
    pub async fn until_ended(&mut self, name: &str) {
        while self.names.values().any(|running| *running == name) && self.next().await.is_some() {}
    }

    /// Ends one.
    pub fn abort(&mut self, name: &str) {
        if let Some(handle) = self.handles.remove(name) {
            handle.abort();
        }
    }

    /// The next one that ends: its name, and how, or what it has to say itself.
    async fn next(&mut self) -> Option<(&'static str, Result<String>)> {
        let (id, reason) = match self.set.join_next_with_id().await? {
            Ok((id, Ok(()))) => (id, Ok("it has come to its end".to_owned())),
            Ok((id, Err(error))) => (id, Err(error)),
            Err(error) => {
                (error.id(), Ok(error.try_into_panic().map_or_else(|error| error.to_string(), words)))
            }
        };
        Some((self.names.remove(&id).unwrap_or("a task"), reason))
    }
}

/// The task under a name, by which its panic is told.
pub fn named<F: Future>(name: impl Into<String>, task: F) -> impl Future<Output = F::Output> {
    NAME.scope(name.into(), task)
}

/// What a task has to say, or the words of its panic.
///
/// # Errors
/// When it panics.
pub async fn caught<T>(task: impl Future<Output = T>) -> std::result::Result<T, String> {
    AssertUnwindSafe(task).catch_unwind().await.map_err(words)
}

/// Does something when the task panics that holds the result.
#[must_use]
pub fn on_panic<F: FnMut()>(act: F) -> OnPanic<F> {
    OnPanic(act)
}

/// See [`on_panic`].
#[derive(Debug)]
pub struct OnPanic<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

/// Takes those out of a set that have ended. A panic has been told already.
pub fn reap<T: 'static>(set: &mut JoinSet<T>) {
    while let Some(ended) = set.try_join_next() {
        if let Err(error) = ended {
            tracing::warn!(%error, "a task");
        }
    }
}

/// Has each panic told in the terminal, in a line that says what has failed.
pub fn tell_panics(ui: &Ui) {
    let ui = ui.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let thread = match thread.name() {
            Some("main") => "the command",
            // The threads of the runtime say nothing by their names.
            Some(name) if !name.starts_with("tokio") => name,
            _ => "a task",
        };
        let name = NAME.try_with(Clone::clone).unwrap_or_else(|_| thread.to_owned());
        let reason = panic.payload_as_str().unwrap_or(NO_REASON);
        let place = panic.location().map(|place| format!(" ({place})")).unwrap_or_default();
        let trace = std::backtrace::Backtrace::capture();
        tracing::error!(%name, reason, %trace, "panic");
        ui.send(UiEvent::Error {
            message: format!("{name} has failed: {reason}{place}"),
            hint: Some(HINT.to_owned()),
        });
    }));
}

/// Why a process is given up whose task has failed.
pub const LOST: &str = "it was lost by a fault of `sst` itself";

const NO_REASON: &str = "it gives no reason";

/// The error of a command that has panicked.
#[must_use]
pub fn fault(reason: String) -> Error {
    Error::new(Kind::Other, "the command was given up").detail(reason).hint(HINT)
}

/// The words of a panic.
fn words(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| NO_REASON.to_owned())
}
