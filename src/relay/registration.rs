//! The table that tells the stubs who answers for a function.
//!
//! A registration is a lease, which is renewed while the client lives. Taking over from somebody is a decision of the user, made once;
//! everything else (announcing, renewing, coming back on another connection) takes nothing from anybody who may live.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::{put_item::PutItemError, scan::ScanError},
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use sst_wire::Registration;

use super::services::{Clients, Failure, Services};
use crate::{
    aws::{Aws, explain},
    debug_stack::DebugStack,
    error::{Error, Kind, Result},
    ids::FunctionId,
};

/// How long a registration counts when it is not renewed, e.g. because its client was killed or its machine sleeps.
const LEASE: Duration = Duration::from_secs(90);

/// How often it is renewed.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(30);

/// Who answers for a function when the registration does not say so.
const SOMEBODY: &str = "somebody else";

/// How many items are written at the same time.
const PARALLEL: usize = 16;

/// Who answers for functions of a stage, as far as the table can be read: `alice@laptop`. The registrations of one that was killed
/// count until they expire.
///
/// # Errors
/// [`Kind::Cloud`] when it cannot be read.
pub async fn owners(aws: &Aws, stack: &DebugStack) -> Result<Vec<String>> {
    let served = served(aws, stack, "").await?;
    Ok(served.into_values().collect::<BTreeSet<_>>().into_iter().collect())
}

/// Which functions of a stage somebody answers for now who is not at `home`, and who. One there has ended: only one client at a time serves
/// a stage from there. A table that is not there any more names nobody.
///
/// # Errors
/// [`Kind::Cloud`] when the table cannot be read.
pub async fn served(aws: &Aws, stack: &DebugStack, home: &str) -> Result<BTreeMap<FunctionId, String>> {
    let mut served = BTreeMap::new();
    let mut pages = aws.dynamodb().scan().table_name(&stack.table).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = match page {
            Ok(page) => page,
            // It has gone with its stack.
            Err(error)
                if error.as_service_error().is_some_and(ScanError::is_resource_not_found_exception) =>
            {
                break;
            }
            Err(error) => {
                return Err(Error::new(Kind::Cloud, format!("cannot read the table `{}`", stack.table))
                    .detail(explain(&error)));
            }
        };
        for item in page.items() {
            let text = |name: &str| item.get(name)?.as_s().ok().cloned();
            if counts(item, seconds(aws.clock.now()))
                && text(Registration::HOME).is_none_or(|theirs| theirs != home)
                && let (Some(function), Some(owner)) = (text(Registration::KEY), text(Registration::OWNER))
            {
                served.insert(FunctionId::from(&function), owner);
            }
        }
    }
    Ok(served)
}

/// Whether a registration counts at `now`, in seconds since the epoch.
fn counts(item: &HashMap<String, AttributeValue>, now: u64) -> bool {
    let expires = item.get(Registration::TTL).and_then(|ttl| ttl.as_n().ok()?.parse::<u64>().ok());
    expires.is_none_or(|expires| expires >= now)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Who this client is.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// This process.
    pub client: String,
    /// Who runs it.
    pub owner: String,
    /// See [`Registration::HOME`].
    pub home: String,
}

/// Another client, which has answered until now.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Displaced {
    /// Where it is to be reached.
    pub connection: String,
    /// Who runs it.
    pub owner: String,
}

/// This client's registrations.
#[derive(Debug)]
pub(super) struct Registrations {
    services: Arc<Services>,
    identity: Identity,
}

/// What registering a function without taking it from anybody has come to.
enum Kept {
    Ours,
    /// This one answers for it.
    Others(String),
}

impl Registrations {
    pub(super) fn new(services: Arc<Services>, identity: Identity) -> Self {
        Self { services, identity }
    }

    /// Makes `connection` the one that answers for `functions`, whoever did until now. Returns other clients that answered for some of
    /// them.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub(super) async fn take(
        &self,
        functions: &[FunctionId],
        connection: &str,
    ) -> Result<BTreeMap<Displaced, Vec<String>>, Failure> {
        let mut displaced: BTreeMap<Displaced, Vec<String>> = BTreeMap::new();
        let mut writes = stream::iter(functions.to_vec())
            .map(|function| async move {
                let taken = self.take_one(&function, connection).await;
                (function, taken)
            })
            .buffer_unordered(PARALLEL);
        while let Some((function, result)) = writes.next().await {
            if let Some(other) = result? {
                displaced.entry(other).or_default().push(function.to_string());
            }
        }
        displaced.values_mut().for_each(|functions| functions.sort());
        Ok(displaced)
    }

    async fn take_one(&self, function: &FunctionId, connection: &str) -> Result<Option<Displaced>, Failure> {
        let put = |clients: Arc<Clients>| async move {
            self.put(&clients, function, connection).return_values(ReturnValue::AllOld).send().await
        };
        let old = self.services.once(put).await.map_err(|error| Failure::of(&error))?.attributes;
        let old: HashMap<String, AttributeValue> = old.unwrap_or_default();
        let field = |name: &str| old.get(name)?.as_s().ok().cloned();
        let is_other = field(Registration::CLIENT).is_some_and(|client| client != self.identity.client);
        let owner = field(Registration::OWNER).unwrap_or_else(|| SOMEBODY.to_owned());
        let other = field(Registration::CONNECTION).map(|connection| Displaced { connection, owner });
        Ok(other.filter(|_| is_other && counts(&old, self.now())))
    }

    /// Makes `connection` the one that answers for those of `functions` that are ours already, those of an earlier client here, which was
    /// killed, or nobody's. Returns the others, and who answers for them.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub(super) async fn keep(
        &self,
        functions: &[FunctionId],
        connection: &str,
    ) -> Result<Vec<(FunctionId, String)>, Failure> {
        let writes = stream::iter(functions.to_vec())
            .map(|function| async move {
                let kept = self.keep_one(&function, connection).await?;
                Ok::<_, Failure>(match kept {
                    Kept::Ours => None,
                    Kept::Others(owner) => Some((function, owner)),
                })
            })
            .buffer_unordered(PARALLEL);
        let kept: Vec<Option<(FunctionId, String)>> = writes.try_collect().await?;
        Ok(kept.into_iter().flatten().collect())
    }

    async fn keep_one(&self, function: &FunctionId, connection: &str) -> Result<Kept, Failure> {
        let put = |clients: Arc<Clients>| async move {
            let put = self.put(&clients, function, connection);
            put.condition_expression(
                "attribute_not_exists(#pk) OR #client = :client OR #home = :home OR #ttl < :now",
            )
            .expression_attribute_names("#pk", Registration::KEY)
            .expression_attribute_names("#client", Registration::CLIENT)
            // Another client at home here has ended. Nobody answers what is still sent to it.
            .expression_attribute_names("#home", Registration::HOME)
            .expression_attribute_names("#ttl", Registration::TTL)
            .expression_attribute_values(":client", text(&self.identity.client))
            .expression_attribute_values(":home", text(&self.identity.home))
            .expression_attribute_values(":now", AttributeValue::N(self.now().to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await
        };
        let error = match self.services.once(put).await {
            Ok(_) => return Ok(Kept::Ours),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                let owner =
                    failed.item().and_then(|item| item.get(Registration::OWNER)?.as_s().ok().cloned());
                Ok(Kept::Others(owner.unwrap_or_else(|| SOMEBODY.to_owned())))
            }
            _ => Err(Failure::of(&error)),
        }
    }

    fn put(
        &self,
        clients: &Clients,
        function: &FunctionId,
        connection: &str,
    ) -> aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder {
        let Identity { client, owner, home } = &self.identity;
        let expires = self.now() + LEASE.as_secs();
        clients
            .dynamodb
            .put_item()
            .table_name(&self.services.stack().table)
            .item(Registration::KEY, text(function.as_str()))
            .item(Registration::CONNECTION, text(connection))
            .item(Registration::CLIENT, text(client))
            .item(Registration::OWNER, text(owner))
            .item(Registration::HOME, text(home))
            .item(Registration::VERSION, AttributeValue::N(sst_wire::VERSION.to_string()))
            .item(Registration::TTL, AttributeValue::N(expires.to_string()))
    }

    /// Leaves what is still ours to nobody, with a word of who had it and until when, for callers. What cannot be left expires.
    pub(super) async fn leave(&self, functions: &[FunctionId]) {
        let leaving = stream::iter(functions.to_vec()).map(|function| async move {
            let key = &function;
            let put = |clients: Arc<Clients>| async move {
                // It is over already, so that it counts nowhere, and goes by itself.
                let until = self.now().saturating_sub(1);
                clients
                    .dynamodb
                    .put_item()
                    .table_name(&self.services.stack().table)
                    .item(Registration::KEY, text(key.as_str()))
                    .item(Registration::OWNER, text(&self.identity.owner))
                    .item(Registration::TTL, AttributeValue::N(until.to_string()))
                    .condition_expression("#client = :client")
                    .expression_attribute_names("#client", Registration::CLIENT)
                    .expression_attribute_values(":client", text(&self.identity.client))
                    .send()
                    .await
            };
            match self.services.once(put).await.map_err(SdkError::into_service_error) {
                Ok(_) => {}
                Err(error) if error.is_conditional_check_failed_exception() => {}
                Err(error) => tracing::debug!(%function, %error, "leave"),
            }
        });
        leaving.buffer_unordered(PARALLEL).collect::<Vec<()>>().await;
    }

    /// Removes what is still ours, of functions that there are no more. What cannot be removed expires.
    pub(super) async fn remove(&self, functions: &[FunctionId]) {
        let removals = stream::iter(functions.to_vec()).map(|function| async move {
            let key = &function;
            let delete = |clients: Arc<Clients>| async move {
                clients
                    .dynamodb
                    .delete_item()
                    .table_name(&self.services.stack().table)
                    .key(Registration::KEY, text(key.as_str()))
                    .condition_expression("#client = :client")
                    .expression_attribute_names("#client", Registration::CLIENT)
                    .expression_attribute_values(":client", text(&self.identity.client))
                    .send()
                    .await
            };
            match self.services.once(delete).await.map_err(SdkError::into_service_error) {
                Ok(_) => {}
                Err(error) if error.is_conditional_check_failed_exception() => {}
                Err(error) => tracing::debug!(%function, %error, "remove"),
            }
        });
        removals.buffer_unordered(PARALLEL).collect::<Vec<()>>().await;
    }

    /// AWS's time in seconds since the epoch.
    fn now(&self) -> u64 {
        seconds(self.services.aws().clock.now())
    }
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}
