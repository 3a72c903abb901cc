//! One open request, from its arrival to its one outcome.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    effect::{Answer, Effect},
    event::{Caller, Invocation},
    source,
};
use crate::ids::{FunctionId, WorkerId};

/// The variables that carry the role's credentials.
pub(super) const CREDENTIALS: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// Whose credentials a process has: those of one execution environment of the function. Only the beginning of their digest, so that no
/// secret is shown with the state, and two are compared in a moment: each event looks at all calls that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Identity(u128);

impl Identity {
    /// That of an environment.
    pub(super) fn of(environment: &BTreeMap<String, String>) -> Self {
        let values: Vec<Option<&String>> = CREDENTIALS.iter().map(|name| environment.get(*name)).collect();
        // No two lists of texts are written alike.
        let digest = sst_wire::sha256_hex(format!("{values:?}").as_bytes());
        Self(
            digest
                .get(..32)
                .and_then(|beginning| u128::from_str_radix(beginning, 16).ok())
                .unwrap_or_default(),
        )
    }
}

/// How long API Gateway waits for a function: 30 s for HTTP APIs, a second less for REST APIs.
const API_PATIENCE: Duration = Duration::from_secs(30);

/// How much of its time a call from a stub loses to the way back, at the most.
const LONGEST_WAY: Duration = Duration::from_millis(350);

/// How long after its caller has given up a call is still begun that waits for a debugger.
const HELD: Duration = Duration::from_secs(60);

/// What a worker serves: calls of one function, from one of its execution environments. As on Lambda, each environment has a process of
/// its own. SDKs keep the credentials that they have read, so a process that has those of another would use them, which may have
/// expired.
pub(super) type ServingKind = (FunctionId, Identity);

/// A request that has no outcome yet.
#[derive(Debug)]
pub(super) struct Open {
    pub invocation: Invocation,
    /// Which one it is, in order of arrival.
    pub number: u64,
    /// Whose credentials came with it.
    pub identity: Identity,
    pub since: Instant,
    /// When it counts as timed out: until a worker has it, by its caller's time, then by the function's as well. Moves on while a
    /// debugger holds the worker.
    pub deadline: Instant,
    /// When the stub is next told that work goes on.
    pub report_at: Instant,
    /// Until when its caller can hear of it. This does not move: a stub has no more time while a debugger holds the worker.
    pub waits_until: Option<Instant>,
    /// The worker that has it; none while it waits for one.
    pub worker: Option<WorkerId>,
    /// When that was given it.
    pub given_at: Option<Instant>,
    /// Until when no worker is started for it, because one that is there will probably be free by then.
    pub patient_until: Option<Instant>,
    /// Since when its clock stands still: a debugger holds the worker, or the function is being built.
    pub paused: Option<Instant>,
    /// It waits for a debugger rather than for a compiler.
    pub held: bool,
    /// Until when the caller of an API waits for the response. None for other events, and when it has been said.
    pub caller_waits_until: Option<Instant>,
    /// The response has begun to stream, so that an error can only end the stream.
    pub streaming: bool,
}

impl Open {
    pub(super) fn new(invocation: Invocation, number: u64, now: Instant) -> Self {
        let margin = match invocation.caller {
            // The outcome has to be back before the stub gives up, 0.3 s before Lambda ends it. So a little of the time belongs to the way.
            Caller::Relay => (invocation.remaining / 20).clamp(Duration::from_millis(50), LONGEST_WAY),
            Caller::Local => Duration::ZERO,
        };
        Self {
            number,
            since: now,
            deadline: now + invocation.remaining.saturating_sub(margin),
            report_at: now + Duration::from_millis(sst_wire::WORKING_INTERVAL_MS),
            waits_until: invocation.patience.map(|patience| now + patience.saturating_sub(margin)),
            worker: None,
            given_at: None,
            patient_until: None,
            paused: None,
            held: false,
            caller_waits_until: source::is_api(&invocation.payload).then(|| now + API_PATIENCE),
            streaming: false,
            identity: Identity::of(&invocation.environment),
            invocation,
        }
    }

    /// When the clock next has something to do with this request.
    pub(super) fn wake(&self) -> Instant {
        let next = match self.paused {
            None => self.deadline,
            Some(_) => self.caller_waits_until.unwrap_or(self.report_at),
        };
        [Some(next), self.vain_at()].into_iter().flatten().fold(self.report_at, Instant::min)
    }

    /// From when on it is in vain to begin it: its caller has been told that it failed. Whoever has a debugger set its breakpoints
    /// wants to see the call all the same, for a while.
    pub(super) fn vain_at(&self) -> Option<Instant> {
        let until = self.waits_until.filter(|_| self.worker.is_none())?;
        Some(if self.held { until + HELD } else { until })
    }

    /// Which workers can serve it.
    pub(super) fn kind(&self) -> ServingKind {
        (self.invocation.function.clone(), self.identity)
    }

    /// Tells whoever has called.
    pub(super) fn answer(&self, answer: Answer) -> Effect {
        let Invocation { caller, request, .. } = &self.invocation;
        Effect::Answer { caller: *caller, request: request.clone(), answer }
    }

    pub(super) fn credentials(&self) -> BTreeMap<String, String> {
        CREDENTIALS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), self.invocation.environment.get(*name)?.clone())))
            .collect()
    }
}
