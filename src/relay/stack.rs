//! Whether the debug stack is still there: nothing can come when it has been removed, and only CloudFormation knows.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{dial::Refusal, services::Services};
use crate::{
    debug_stack,
    error::{Error, Kind},
};

/// How often CloudFormation is asked.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// The debug stack, as CloudFormation knows it.
#[derive(Debug)]
pub(super) struct Stack {
    services: Arc<Services>,
    name: String,
    looks: JoinSet<bool>,
    looked: Option<Instant>,
}

impl Stack {
    pub(super) fn new(services: Arc<Services>, name: String) -> Self {
        Self { services, name, looks: JoinSet::new(), looked: None }
    }

    /// The endpoint does not let us in. It may not be there at all.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        let suspicious = match refusal {
            Refusal::Missing(_) | Refusal::Credentials(_) => true,
            Refusal::NoCredentials(_) | Refusal::Unanswered(_) => false,
            // A name that does not resolve is a network that is down, or an API that is gone.
            Refusal::Unreachable(text) => text.contains("lookup address"),
        };
        if suspicious {
            self.look();
        }
    }

    /// Asks CloudFormation whether it is still there, unless that was asked a moment ago.
    pub(super) fn look(&mut self) {
        let recently = self.looked.is_some_and(|when| when.elapsed() < LOOK_EVERY);
        if recently || !self.looks.is_empty() {
            return;
        }
        self.looked = Some(Instant::now());
        let (services, name) = (self.services.clone(), self.name.clone());
        self.looks.spawn(async move {
            let status = debug_stack::status(&services.aws().fresh(), &name).await;
            status.is_ok_and(|status| status.is_none_or(|status| status.status.starts_with("DELETE_")))
        });
    }

    /// Returns the next answer: whether it is gone. There is none while nothing has been asked. Cancel safe.
    pub(super) async fn looked(&mut self) -> Option<bool> {
        self.looks.join_next().await.map(|gone| matches!(gone, Ok(true)))
    }

    /// What is to be said when it is gone.
    pub(super) fn removed(&self) -> Error {
        let message =
            format!("the debug stack `{}` has been removed, so that no call can come here", self.name);
        Error::new(Kind::Cloud, message).hint("start `sst start` again to deploy it, and the stubs, anew")
    }
}
