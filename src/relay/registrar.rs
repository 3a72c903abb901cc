//! Writes the registrations: one job after the other, each as often as it takes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{
    registration::{Displaced, Registrations},
    services::{Failure, pauses},
};
use crate::ids::FunctionId;

/// The longest pause between two attempts. The connection is up, so the table should be.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// What is to be written.
#[derive(Debug)]
pub(super) enum Job {
    /// These are not served any more.
    Remove(Vec<FunctionId>),
    /// These are served by us from now on, whoever served them before.
    Take { functions: Vec<FunctionId>, connection: String },
    /// These are still served by us, on this connection, unless somebody else has taken them.
    Keep { number: u64, functions: Vec<FunctionId>, connection: String },
}

/// What has come of a job.
#[derive(Debug)]
pub(super) enum Done {
    /// Other clients, and what they served until now.
    Taken(BTreeMap<Displaced, Vec<String>>),
    /// Functions that somebody else serves, and who.
    Kept { number: u64, connection: String, lost: Vec<(FunctionId, String)> },
    /// It has failed, for the first time, and is tried again.
    Failing(String),
}

/// Works until there are no more jobs. A job to keep what is superseded by a later one is given up.
pub(super) async fn work(
    registrations: Arc<Registrations>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    done: mpsc::UnboundedSender<Done>,
) {
    let mut waiting = std::collections::VecDeque::new();
    loop {
        while let Ok(job) = jobs.try_recv() {
            waiting.push_back(job);
        }
        let job = match waiting.pop_front() {
            Some(job) => job,
            None => match jobs.recv().await {
                Some(job) => job,
                None => return,
            },
        };
        let mut told = false;
        for pause in pauses(LONGEST_PAUSE) {
            match attempt(&registrations, &job).await {
                Ok(result) => {
                    let _ = result.map(|result| done.send(result));
                    break;
                }
                Err(failure) => {
                    if !std::mem::replace(&mut told, true) {
                        let _ = done.send(Done::Failing(failure.text));
                    }
                }
            }
            while let Ok(job) = jobs.try_recv() {
                waiting.push_back(job);
            }
            let superseded = |later: &Job| matches!(later, Job::Keep { .. } | Job::Take { .. });
            if matches!(job, Job::Keep { .. }) && waiting.iter().any(superseded) {
                break;
            }
            if jobs.is_closed() {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }
}

async fn attempt(registrations: &Registrations, job: &Job) -> Result<Option<Done>, Failure> {
    match job {
        Job::Remove(functions) => {
            registrations.remove(functions).await;
            Ok(None)
        }
        Job::Take { functions, connection } => {
            registrations.take(functions, connection).await.map(|displaced| Some(Done::Taken(displaced)))
        }
        Job::Keep { number, functions, connection } => {
            let lost = registrations.keep(functions, connection).await?;
            Ok(Some(Done::Kept { number: *number, connection: connection.clone(), lost }))
        }
    }
}
