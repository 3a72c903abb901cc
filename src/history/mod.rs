//! What has been called, with what, and what came of it: for `sst history`, `sst show` and `sst replay`, and whoever else asks the
//! session.
//!
//! The loop tells a task of this room what it hears and what it has done; the task remembers it, so that no call waits for that. In memory
//! there are the last calls as they were, up to a number and a size; on disk those of a week, with whatever looks like a secret masked.

mod board;
mod call;
mod disk;
mod lines;
mod mask;
mod record;
mod related;
mod store;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

pub(crate) use self::{
    board::{Connection, FunctionState, Infrastructure, InfrastructureState},
    call::millis,
    disk::Disk,
    lines::{Batch, LogLine},
    record::{Query, Record, Status, Stored, Summary, is_named},
    store::Changes,
};
use self::{lines::Lines, mask::Mask, store::Store};
use crate::{
    core::{effect::Answer, event::Invocation},
    ids::{FunctionId, RequestId, WorkerId},
    project::StateDir,
    tasks::Tasks,
    ui::UiEvent,
};

/// What the task is called that remembers.
pub(crate) const TASK: &str = "the history of calls";

/// How long nothing has to happen before calls are written. Masking and writing one takes a twentieth of the time that a quick call has, and on
/// a machine with few processors that would be the next call's.
const QUIET: Duration = Duration::from_millis(50);

/// How long they wait for that at most.
const LATEST: Duration = Duration::from_secs(1);

/// How many wait for it at most.
const MOST_UNWRITTEN: usize = 100;

/// How many facts are taken in at once.
const AT_ONCE: usize = 256;

/// Something that became of a call, or of what serves it.
#[derive(Debug)]
pub(crate) enum Fact {
    /// It has arrived.
    Arrived(Box<Invocation>),
    /// A worker was given it.
    Given { request: RequestId, worker: WorkerId },
    /// A debugger let a worker go on.
    Resumed { worker: WorkerId },
    /// What the terminal is told.
    Told(UiEvent),
    /// What its caller is told.
    Answered { request: RequestId, answer: Answer },
    /// A worker was started for a function.
    Started { worker: WorkerId, function: FunctionId },
    /// A worker asks for a call.
    Waits { worker: WorkerId },
    /// A worker is gone.
    Exited { worker: WorkerId },
    /// A build of a function has begun.
    Building { function: FunctionId },
    /// A build of a function has ended.
    Built { function: FunctionId, error: Option<String> },
    /// There are these functions, and no others.
    Functions(Vec<FunctionId>),
    /// The connection to the stubs was lost, and why, or is there again.
    Connection { lost: Option<String> },
    /// What is deployed, or waits to be.
    Infrastructure(Infrastructure),
    /// Nothing happens any more.
    Over,
}

/// The calls of this session, and on disk those of others before it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct History {
    facts: mpsc::UnboundedSender<(SystemTime, Fact)>,
    store: Arc<Mutex<Store>>,
    changes: watch::Receiver<u64>,
    lines: Arc<Mutex<Lines>>,
    written: watch::Receiver<u64>,
    disk: Option<Disk>,
}

impl History {
    /// Begins to remember. Without a `directory` nothing is written. `keys` are masked besides those that are masked anyway.
    pub(crate) fn begin(directory: Option<StateDir>, keys: &[String], tasks: &mut Tasks) -> Self {
        let (facts, mut coming) = mpsc::unbounded_channel();
        let (changed, changes) = watch::channel(0);
        let store = Arc::new(Mutex::new(Store::new(Mask::new(keys))));
        let lines = Arc::new(Mutex::new(Lines::new(Mask::new(keys))));
        let (wrote, written) = watch::channel(0);
        let disk = directory.map(Disk::open);
        let history = Self { facts, store, changes, lines, written, disk };
        let (store, lines, disk) = (history.store.clone(), history.lines.clone(), history.disk.clone());
        tasks.spawn(TASK, async move {
            if let Some(disk) = disk.clone() {
                let _ = tokio::task::spawn_blocking(move || disk.prune()).await;
            }
            let mut batch = Vec::new();
            let (mut over, mut unwritten, mut since) = (false, Vec::new(), Instant::now());
            while !over {
                let due = (Instant::now() + QUIET).min(since + LATEST);
                tokio::select! {
                    received = coming.recv_many(&mut batch, AT_ONCE) => over = received == 0,
                    () = tokio::time::sleep_until(due), if !unwritten.is_empty() => {}
                }
                let is_quiet = batch.is_empty();
                let last = {
                    let mut lines = lock(&lines);
                    batch.iter().for_each(|(at, fact)| lines.take_in(*at, fact));
                    lines.last()
                };
                wrote.send_replace(last);
                over |= batch.iter().any(|(_, fact)| matches!(fact, Fact::Over));
                let ended = {
                    let mut store = lock(&store);
                    batch.drain(..).for_each(|(at, fact)| store.take_in(at, fact));
                    changed.send_replace(store.change());
                    store.ended()
                };
                let Some(disk) = disk.clone() else { continue };
                if unwritten.is_empty() {
                    since = Instant::now();
                }
                unwritten.extend(ended);
                let waits =
                    !over && !is_quiet && since.elapsed() < LATEST && unwritten.len() < MOST_UNWRITTEN;
                if !waits && !unwritten.is_empty() {
                    let calls = std::mem::take(&mut unwritten);
                    // On a thread of its own: a disk may take its time, and what is masked may be megabytes.
                    let write = move || calls.iter().for_each(|call| disk.write(&call.record()));
                    let _ = tokio::task::spawn_blocking(write).await;
                }
            }
        });
        history
    }

    /// Remembers a fact. Never waits.
    pub(crate) fn tell(&self, fact: Fact) {
        let _ = self.facts.send((SystemTime::now(), fact));
    }

    /// The calls that are asked for, the last one first.
    pub(crate) fn list(&self, query: &Query) -> Vec<Summary> {
        let mut found = lock(&self.store).list(query);
        let wanted = query.limit.saturating_sub(found.len());
        if let (Some(disk), true) = (&self.disk, wanted > 0) {
            let is_here = |summary: &Summary| found.iter().any(|here| here.id == summary.id);
            let older: Vec<Summary> =
                disk.list(query, found.len()).into_iter().filter(|one| !is_here(one)).collect();
            found.extend(older.into_iter().take(wanted));
        }
        found
    }

    /// One call, by its id or the beginning of that, or `last`.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    pub(crate) fn find(&self, id: &str) -> Result<Record, String> {
        let here = lock(&self.store).find(id);
        if let Some(call) = here? {
            return Ok(call.record());
        }
        let missing = || format!("no call `{id}`: `sst history` lists those that are known");
        self.disk.as_ref().map_or(Ok(None), |disk| disk.find(id))?.ok_or_else(missing)
    }

    /// What a call was called with, byte for byte, and of which function; where only the masked event of an earlier session is left, and
    /// something in that is masked, a sentence that says so.
    ///
    /// # Errors
    /// That sentence, or why there is no such call.
    pub(crate) fn event_of(&self, id: &str) -> Result<(Summary, Vec<u8>), String> {
        let here = lock(&self.store).find(id)?;
        // Nothing is masked for whoever wants it as it was.
        if let Some((summary, Some(event))) = here.map(|call| (call.summary, call.event)) {
            return Ok((summary, event.to_vec()));
        }
        let record = self.find(id)?;
        match record.event.bytes() {
            Some(bytes) => Ok((record.summary, bytes)),
            None if record.event.length.is_some() => Err(format!(
                "the event of the call `{}` is not kept any more: give another one",
                record.summary.id
            )),
            None => Err(format!(
                "of the call `{}` only an event is left in which {} masked: give another one",
                record.summary.id,
                match record.event.masked {
                    1 => "a value is".to_owned(),
                    many => format!("{many} values are"),
                }
            )),
        }
    }

    /// What a call has returned, byte for byte, or the body of its error.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn result_of(&self, id: &str) -> Result<Vec<u8>, String> {
        let here = lock(&self.store).find(id)?;
        if let Some(bytes) = here.and_then(|call| call.result_bytes()) {
            return Ok(bytes);
        }
        let record = self.find(id)?;
        record.result.as_ref().and_then(Stored::bytes).ok_or_else(|| match record.result {
            None => format!("the call `{}` has no result yet", record.summary.id),
            Some(_) => format!("the result of the call `{}` is not kept as it was", record.summary.id),
        })
    }

    /// What has changed since a number.
    pub(crate) fn since(&self, after: u64) -> Changes {
        lock(&self.store).since(after)
    }

    /// What is built of a function, and runs of it.
    pub(crate) fn of_function(&self, function: &FunctionId) -> FunctionState {
        lock(&self.store).board().of(function)
    }

    /// The connection to the stubs, and what is deployed.
    pub(crate) fn of_session(&self) -> (Connection, Infrastructure) {
        let store = lock(&self.store);
        (store.board().connection().clone(), store.board().what_is_deployed().clone())
    }

    /// Waits until something has changed since a number. Whether it ever will.
    pub(crate) async fn changed(&self, after: u64) -> bool {
        self.changes.clone().wait_for(|change| *change > after).await.is_ok()
    }

    /// What functions have written since a line's number: of one, by its id or the end of it, or of all.
    pub(crate) fn lines_since(&self, after: u64, function: Option<&str>) -> Batch {
        let found = lock(&self.lines).since(after, function);
        found.masked()
    }

    /// Waits until there is a line behind a number. Whether there ever will be.
    pub(crate) async fn written(&self, after: u64) -> bool {
        self.written.clone().wait_for(|last| *last > after).await.is_ok()
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
