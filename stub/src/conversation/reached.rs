//! What has come of an attempt to reach a client, and what is to be tried next.

use std::time::Duration;

use sst_wire::PATIENCE_MS;
use tokio::time::Instant;

use super::{ASK_EVERY, Conversation, GONE, LOOK_EVERY};
use crate::{
    attempt::Reached,
    cloud::Registered,
    problem::{Problem, is_http_event},
};

impl Conversation<'_> {
    /// Takes in what has come of an offer.
    pub(super) fn offered(&mut self, reached: Result<Reached, Problem>) -> Result<(), Problem> {
        let now = Instant::now();
        match reached {
            // The network may be better in a moment, and a role's permissions spread.
            Err(problem @ Problem::Cloud { .. }) => {
                (self.why, self.due) = (problem.to_string(), now + LOOK_EVERY);
            }
            Err(problem @ Problem::Denied { .. }) if self.cloud.may_still_spread() => {
                (self.why, self.due) = (problem.to_string(), now + LOOK_EVERY);
            }
            Err(problem @ Problem::Throttled { wait, .. }) => {
                // Nothing was sent, so it can still be begun. Whoever called by way of an API does not wait for longer.
                if !is_http_event(&self.call.event) {
                    let patience = now + Duration::from_millis(PATIENCE_MS);
                    self.patience = self.patience.max(self.deadline.min(patience));
                }
                (self.why, self.due) = (problem.to_string(), now + wait);
                self.throttled = Some(problem);
                return Ok(());
            }
            Err(problem) => return Err(problem),
            Ok(Reached::Sent(found)) => {
                self.why = format!("the one started by {} does not answer", found.owner);
                self.may_have(found);
            }
            Ok(Reached::Unsure(found, problem)) => {
                self.why = problem.to_string();
                self.may_have(found);
            }
            Ok(Reached::Gone(found)) => self.lost_by(found),
            Ok(Reached::GoneWithIt(found)) => {
                self.may_have(found.clone());
                self.last = None;
                self.lost_by(found);
            }
            Ok(Reached::Registered(found)) => {
                let others = || self.silent.iter().filter(|silent| silent.client != found.client);
                // Two clients are never at home in the same place.
                if let Some(dead) = others().find(|silent| silent.home == found.home) {
                    return Err(self.ended(dead.owner.clone()));
                }
                self.replaced = others().next().is_some();
                self.due = now + if self.last.is_some() { LOOK_EVERY } else { self.next_pause() };
            }
            Ok(Reached::Nobody(why)) => {
                // It may be begun until its time is over, and its caller is told nothing before that.
                self.why = why;
                let told = if self.silent.is_empty() { self.window } else { self.window + self.word };
                (self.patience, self.due) = (self.patience.min(told), now + LOOK_EVERY);
            }
        }
        self.throttled = None;
        Ok(())
    }

    /// The connection of this client is gone. It may come back under another one.
    fn lost_by(&mut self, found: Registered) {
        let now = Instant::now();
        self.why = format!("the one started by {} has lost its connection", found.owner);
        let known = self.useless.as_ref().is_some_and(|(useless, _)| *useless == found.connection);
        // What was remembered may be old.
        self.due = if known { now + self.next_pause() } else { now };
        self.useless = Some((found.connection, now));
    }

    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LOOK_EVERY);
        pause
    }

    /// This client has been sent the request, or it is not known that it has not.
    fn may_have(&mut self, found: Registered) {
        let now = Instant::now();
        self.sent += 1;
        self.patience = self.longest;
        (self.last, self.due, self.useless) = (Some((now, found.connection.clone())), now + LOOK_EVERY, None);
        self.silent.retain(|silent| silent.client != found.client);
        self.silent.push(found.clone());
        *self.registered = Some(found);
    }

    /// Takes in what has come of asking the one who has taken the request.
    pub(super) fn was_asked(&mut self, reached: Result<Reached, Problem>) -> Result<(), Problem> {
        let now = Instant::now();
        self.due = now + LOOK_EVERY;
        let Some(taken) = self.taken.as_mut() else { return Ok(()) };
        match reached {
            Err(Problem::Cloud { .. }) | Ok(Reached::Unsure(..)) => return Ok(()),
            Err(Problem::Throttled { wait, .. }) => {
                self.due = now + wait;
                return Ok(());
            }
            Err(problem) => return Err(problem),
            Ok(Reached::Sent(found)) => {
                *taken = found;
                (self.gone, self.due) = (None, now + ASK_EVERY);
                return Ok(());
            }
            // It is connecting again.
            Ok(Reached::Gone(found) | Reached::GoneWithIt(found) | Reached::Registered(found))
                if found.client == taken.client =>
            {
                self.gone = None;
                return Ok(());
            }
            Ok(Reached::Registered(found)) if found.home == taken.home => {
                let owner = taken.owner.clone();
                return Err(self.ended(owner));
            }
            Ok(Reached::Gone(_) | Reached::GoneWithIt(_) | Reached::Registered(_) | Reached::Nobody(_)) => {}
        }
        let owner = taken.owner.clone();
        let since = *self.gone.get_or_insert(now);
        if since.elapsed() >= GONE { Err(self.ended(owner)) } else { Ok(()) }
    }
}
