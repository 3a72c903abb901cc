//! The table that tells the stubs who answers for a function.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, SystemTime},
};

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use futures_util::{StreamExt, stream};
use sst_wire::Registration;

use crate::{
    aws::{Aws, explain},
    debug_stack::DebugStack,
    error::{Error, Kind, Result},
    ids::FunctionId,
};

/// How long a registration counts when it is not renewed: a little longer than a connection may last.
const LIFETIME: Duration = Duration::from_secs(135 * 60);

/// Who answers for functions of a stage, as far as the table can be read: `alice@laptop`. The registrations of one that was killed
/// count until they expire.
///
/// # Errors
/// [`Kind::Cloud`] when it cannot be read.
pub async fn owners(aws: &Aws, stack: &DebugStack) -> Result<Vec<String>> {
    let mut owners = BTreeSet::new();
    let mut pages = aws.dynamodb().scan().table_name(&stack.table).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| {
            Error::new(Kind::Cloud, format!("cannot read the table `{}`", stack.table))
                .detail(explain(&error))
        })?;
        let counts = |item: &&HashMap<String, AttributeValue>| {
            let expires = item.get(Registration::TTL).and_then(|ttl| ttl.as_n().ok()?.parse::<u64>().ok());
            expires.is_none_or(|expires| expires > now().as_secs())
        };
        let owner =
            |item: &HashMap<String, AttributeValue>| item.get(Registration::OWNER)?.as_s().ok().cloned();
        owners.extend(page.items().iter().filter(counts).filter_map(owner));
    }
    Ok(owners.into_iter().collect())
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// How many items are written at the same time.
const PARALLEL: usize = 16;

/// What to do about a function that another client answers for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Leave it to that one.
    Free,
    /// Take it over.
    Any,
}

/// This client's registrations.
#[derive(Debug)]
pub(super) struct Registrations {
    table: aws_sdk_dynamodb::Client,
    name: String,
    client: String,
    owner: String,
}

impl Registrations {
    pub fn new(aws: &Aws, stack: &DebugStack, owner: String) -> Self {
        let client = uuid::Uuid::new_v4().to_string();
        Self { table: aws.dynamodb(), name: stack.table.clone(), client, owner }
    }

    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Makes `connection` the one that answers for `functions`, as far as `claim` goes. Returns the connections of other clients that
    /// answered for some of them until now.
    pub async fn write(
        &self,
        functions: &[FunctionId],
        connection: &str,
        claim: Claim,
    ) -> Result<BTreeMap<String, Vec<String>>> {
        let mut displaced: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut writes = stream::iter(functions.to_vec())
            .map(|function| async move {
                let result = self.write_one(&function, connection, claim).await;
                (function, result)
            })
            .buffer_unordered(PARALLEL);
        while let Some((function, result)) = writes.next().await {
            if let Some(connection) = result? {
                displaced.entry(connection).or_default().push(function.to_string());
            }
        }
        Ok(displaced)
    }

    async fn write_one(
        &self,
        function: &FunctionId,
        connection: &str,
        claim: Claim,
    ) -> Result<Option<String>> {
        let text = |value: &str| AttributeValue::S(value.to_owned());
        let now = now();
        let mut put = self
            .table
            .put_item()
            .table_name(&self.name)
            .item(Registration::KEY, text(function.as_str()))
            .item(Registration::CONNECTION, text(connection))
            .item(Registration::CLIENT, text(&self.client))
            .item(Registration::OWNER, text(&self.owner))
            .item(Registration::VERSION, AttributeValue::N(sst_wire::VERSION.to_string()))
            .item(Registration::TTL, AttributeValue::N((now + LIFETIME).as_secs().to_string()))
            .return_values(ReturnValue::AllOld);
        if claim == Claim::Free {
            put = put
                .condition_expression("attribute_not_exists(#key) OR #client = :client OR #ttl < :now")
                .expression_attribute_names("#key", Registration::KEY)
                .expression_attribute_names("#client", Registration::CLIENT)
                .expression_attribute_names("#ttl", Registration::TTL)
                .expression_attribute_values(":client", text(&self.client))
                .expression_attribute_values(":now", AttributeValue::N(now.as_secs().to_string()));
        }
        let put = match put.send().await {
            Ok(put) => put,
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                return Ok(None);
            }
            Err(error) => {
                return Err(Error::new(Kind::Cloud, format!("cannot register in the table `{}`", self.name))
                    .detail(explain(&error)));
            }
        };
        let old: HashMap<String, AttributeValue> = put.attributes.unwrap_or_default();
        let field = |name: &str| old.get(name)?.as_s().ok().cloned();
        let expires = old.get(Registration::TTL).and_then(|ttl| ttl.as_n().ok()?.parse::<u64>().ok());
        let counted = expires.is_none_or(|expires| expires > now.as_secs());
        let is_other = field(Registration::CLIENT).is_some_and(|client| client != self.client);
        Ok(field(Registration::CONNECTION).filter(|_| counted && is_other))
    }

    /// Removes what is still ours. What cannot be removed expires.
    pub async fn remove(&self, functions: &[FunctionId]) {
        let removals = stream::iter(functions.to_vec()).map(|function| async move {
            let removed = self
                .table
                .delete_item()
                .table_name(&self.name)
                .key(Registration::KEY, AttributeValue::S(function.to_string()))
                .condition_expression("#client = :client")
                .expression_attribute_names("#client", Registration::CLIENT)
                .expression_attribute_values(":client", AttributeValue::S(self.client.clone()))
                .send()
                .await;
            match removed.map_err(aws_sdk_dynamodb::error::SdkError::into_service_error) {
                Ok(_) => {}
                Err(error) if error.is_conditional_check_failed_exception() => {}
                Err(error) => tracing::debug!(%function, %error, "remove"),
            }
        });
        removals.buffer_unordered(PARALLEL).collect::<Vec<()>>().await;
    }
}
