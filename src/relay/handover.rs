//! Who answers for which function: what is asked of the registrar, what its word changes, and what the user is told of that.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    Relay, duration,
    registrar::{Done, Job},
};
use crate::{
    core::{effect::Answer, event::Event},
    ids::FunctionId,
    ui::UiEvent,
};

impl Relay {
    pub(super) fn serve(&mut self, functions: Vec<FunctionId>) {
        let gone = self.ownership.serve(functions);
        if !gone.is_empty() {
            let _ = self.jobs.send(Job::Remove(gone));
        }
    }

    /// Takes over whatever of these somebody else serves.
    pub(super) fn take(&mut self, functions: Vec<FunctionId>) {
        self.serve(functions);
        let taken = self.ownership.take();
        // Without a connection it is done when there is one.
        match self.connection_id.clone() {
            Some(connection) => {
                let _ = self.jobs.send(Job::Take { functions: taken, connection });
                // What was ours before is ours still, or has been taken, which this tells.
                self.look();
            }
            None => self.to_take.get_or_insert_default().extend(taken),
        }
    }

    /// Writes our registrations, and learns who else answers for what.
    pub(super) fn look(&mut self) {
        let Some(connection) = self.connection_id.clone() else { return };
        let (number, functions) = (self.ownership.look(), self.ownership.ours());
        let _ = self.jobs.send(Job::Keep { number, functions, connection });
    }

    pub(super) fn registered(&mut self, done: Done, events: &mpsc::UnboundedSender<Event>) {
        match done {
            Done::Taken(displaced) => {
                self.failing = None;
                let _ = events.send(Event::Registered);
                for (other, functions) in displaced {
                    // From oneself when one was killed, and its lease is not over.
                    if other.owner != self.owner {
                        let (owner, functions) = (&other.owner, functions.join(", "));
                        self.ui
                            .info(format!("taken over from {owner}: {functions}; this machine answers now"));
                    }
                    let (sender, owner) = (self.sender.clone(), self.owner.clone());
                    self.responders.spawn(async move {
                        sender.displaced(&other.connection, &owner, functions).await;
                        None
                    });
                }
            }
            Done::Kept { number, connection, lost } => {
                self.failing = None;
                let mut by_owner: BTreeMap<String, Vec<String>> = Default::default();
                for (function, owner) in lost {
                    if self.ownership.lose(&function, &owner) {
                        by_owner.entry(owner).or_default().push(function.to_string());
                    }
                }
                for (owner, functions) in by_owner {
                    self.tell_lost(&owner, &functions);
                }
                if self.connection_id.as_ref() != Some(&connection) {
                    return;
                }
                if let Some(after) = self.connectivity.connected(Instant::now()) {
                    if let Some(after) = after {
                        self.tell_connected(after);
                    }
                    // Stubs that wait learn where to ask.
                    for request in self.requests.values() {
                        request.responder.send(Answer::Working { paused: false });
                    }
                }
                if self.ownership.looked(number) {
                    if std::mem::take(&mut self.woken) {
                        self.tell_ours();
                    }
                    for invoke in std::mem::take(&mut self.held) {
                        self.invoke(invoke, events);
                    }
                }
            }
            Done::Failing(text) => {
                // The table may have gone with the rest of the stack.
                if text.contains("ResourceNotFound") {
                    self.stack.look();
                }
                if self.failing.replace(text.clone()).is_some_and(|told| told == text) {
                    return;
                }
                let message =
                    format!("cannot register in the table `{}`: {text}", self.services.stack().table);
                self.ui.send(UiEvent::Error { message, hint: Some("trying again".to_owned()) });
            }
        }
    }

    pub(super) fn tell_connected(&self, after: Duration) {
        self.ui.info(format!("connected again after {}", duration(after)));
    }

    /// Says which calls are answered here. Who answers for the others has been told when that was found.
    fn tell_ours(&self) {
        let ours = self.ownership.ours();
        if self.ownership.is(&ours) {
            self.ui.info("calls are answered here again");
        } else if !ours.is_empty() {
            let names: Vec<&str> = ours.iter().map(FunctionId::as_str).collect();
            self.ui.info(format!("calls of {} are answered here again", names.join(", ")));
        }
    }

    fn tell_lost(&self, by: &str, functions: &[String]) {
        self.ui.warning(format!(
            "{by} has taken over {}; their machine answers now. Run `sst start` again to take it back.",
            functions.join(", ")
        ));
    }
}
