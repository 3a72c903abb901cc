//! Who has a function attached: items in the table of the debug stack, beside the registrations of those who answer.
//!
//! A lease stays until its function has its own back. It counts while it is renewed; then anybody may give the function back, and takes the lease
//! for that, so that no two do it at the same time. Its attributes have other names than those of registrations, which the relay looks for.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use aws_sdk_dynamodb::types::AttributeValue;

use super::refused::{Refused, patiently};
use crate::{aws::Aws, debug_stack::DebugStack, error::Result};

/// How long a lease counts when it is not renewed.
const COUNTS: Duration = Duration::from_secs(600);

/// What the keys of leases begin with. No function has a name with a colon.
const PREFIX: &str = "attach:";

/// What DynamoDB says when a condition does not hold.
const CONDITION: &str = "ConditionalCheckFailedException";

/// The table's key.
const KEY: &str = "pk";

/// A function that is attached, or that was and has not got its own back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The function's name.
    pub function: String,
    /// Who has attached it, e.g. `alice@laptop`.
    pub owner: String,
    /// Tells the project's directory of one user on one machine from others.
    pub home: String,
    /// Since when, in seconds since the epoch by AWS's clock.
    pub since_s: u64,
    /// Until when it counts unless it is renewed, by the same clock.
    pub until_s: u64,
    /// Whether it counts.
    pub live: bool,
    /// The session that has it now.
    pub(super) session: String,
    /// The session that has attached the function: where its snapshot is.
    pub(super) origin: String,
    /// The ARN of the function.
    pub(super) arn: String,
    /// The ARN of its role.
    pub(super) role: String,
    /// Whether the function has its tag. Nothing else of it is changed before.
    pub(super) tagged: bool,
    /// Whether the role has the policy of the stubs from us.
    pub(super) policy: bool,
    /// Whether the function has its own back.
    pub(super) given: bool,
}

/// What taking a lease has come to.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is ours, as it is in the table.
    Ours(Lease),
    /// Somebody else has it, or there is none to be taken over.
    Others(Option<Lease>),
}

/// The leases of a debug stack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leases<'a> {
    aws: &'a Aws,
    table: &'a str,
}

impl<'a> Leases<'a> {
    pub(super) fn new(aws: &'a Aws, stack: &'a DebugStack) -> Self {
        Self { aws, table: &stack.table }
    }

    /// All of them.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) async fn all(&self) -> Result<Vec<Lease>> {
        let client = self.aws.dynamodb();
        let mut from = None;
        let mut found = Vec::new();
        loop {
            let scan = || {
                let scan = client.scan().table_name(self.table).consistent_read(true);
                let scan = scan.filter_expression("begins_with(#pk, :prefix)");
                let scan = scan.expression_attribute_names("#pk", KEY);
                let scan = scan.expression_attribute_values(":prefix", string(PREFIX));
                scan.set_exclusive_start_key(from.clone()).send()
            };
            let page = patiently("dynamodb:Scan", scan).await.map_err(|refused| self.unreadable(refused))?;
            found.extend(page.items().iter().filter_map(|item| self.read(item)));
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(found);
            }
        }
    }

    /// That of a function, if there is one.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) async fn of(&self, function: &str) -> Result<Option<Lease>> {
        let client = self.aws.dynamodb();
        let get = || {
            let get = client.get_item().table_name(self.table).consistent_read(true);
            get.key(KEY, key(function)).send()
        };
        let answer = patiently("dynamodb:GetItem", get).await.map_err(|refused| self.unreadable(refused))?;
        Ok(answer.item.as_ref().and_then(|item| self.read(item)))
    }

    /// Takes, or renews, the lease of a function for as long as it counts: where there is none, or where `from` has it. Returns what was
    /// written, or the one that somebody else has. An empty `from` is nobody.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub(super) async fn take(&self, lease: &Lease, from: &str) -> Result<Taken> {
        let lease = Lease { until_s: self.now() + COUNTS.as_secs(), live: true, ..lease.clone() };
        let creating = from.is_empty();
        let condition = if creating {
            "attribute_not_exists(#pk) OR #session = :own"
        } else {
            "#session IN (:own, :from)"
        };
        let client = self.aws.dynamodb();
        let put = || {
            let put = client.put_item().table_name(self.table).set_item(Some(item(&lease)));
            let put = put.condition_expression(condition);
            let put = put.expression_attribute_names("#session", "session");
            let put = put.expression_attribute_values(":own", string(&lease.session));
            let put = match creating {
                true => put.expression_attribute_names("#pk", KEY),
                false => put.expression_attribute_values(":from", string(from)),
            };
            put.send()
        };
        match patiently("dynamodb:PutItem", put).await {
            Ok(_) => Ok(Taken::Ours(lease)),
            Err(refused) if refused.code == CONDITION => Ok(Taken::Others(self.of(&lease.function).await?)),
            Err(refused) => Err(self.unwritable(refused)),
        }
    }

    /// Ends a lease of ours. That of somebody else stays.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub(super) async fn remove(&self, lease: &Lease) -> Result<()> {
        let client = self.aws.dynamodb();
        let delete = || {
            let delete = client.delete_item().table_name(self.table).key(KEY, key(&lease.function));
            let delete = delete.condition_expression("#session = :own");
            let delete = delete.expression_attribute_names("#session", "session");
            delete.expression_attribute_values(":own", string(&lease.session)).send()
        };
        match patiently("dynamodb:DeleteItem", delete).await {
            Err(refused) if refused.code != CONDITION => Err(self.unwritable(refused)),
            _ => Ok(()),
        }
    }

    fn read(&self, item: &HashMap<String, AttributeValue>) -> Option<Lease> {
        let text = |name: &str| item.get(name)?.as_s().ok().cloned();
        let number = |name: &str| item.get(name)?.as_n().ok()?.parse::<u64>().ok();
        let flag =
            |name: &str| item.get(name).and_then(|value| value.as_bool().ok()).copied().unwrap_or(false);
        let until_s = number("until")?;
        Some(Lease {
            function: text(KEY)?.strip_prefix(PREFIX)?.to_owned(),
            owner: text("holder")?,
            home: text("place")?,
            since_s: number("since")?,
            until_s,
            live: until_s >= self.now(),
            session: text("session")?,
            origin: text("origin")?,
            arn: text("functionArn")?,
            role: text("functionRole")?,
            tagged: flag("tagged"),
            policy: flag("policy"),
            given: flag("given"),
        })
    }

    fn unreadable(&self, refused: Refused) -> crate::error::Error {
        refused.because(format!("cannot read the table `{}`", self.table))
    }

    fn unwritable(&self, refused: Refused) -> crate::error::Error {
        refused.because(format!("cannot write to the table `{}`", self.table))
    }

    /// AWS's time, in seconds since the epoch.
    pub(super) fn now(&self) -> u64 {
        self.aws.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}

fn key(function: &str) -> AttributeValue {
    string(&format!("{PREFIX}{function}"))
}

fn item(lease: &Lease) -> HashMap<String, AttributeValue> {
    let number = |number: u64| AttributeValue::N(number.to_string());
    let all = [
        (KEY, key(&lease.function)),
        ("holder", string(&lease.owner)),
        ("place", string(&lease.home)),
        ("since", number(lease.since_s)),
        ("until", number(lease.until_s)),
        ("session", string(&lease.session)),
        ("origin", string(&lease.origin)),
        ("functionArn", string(&lease.arn)),
        ("functionRole", string(&lease.role)),
        ("tagged", AttributeValue::Bool(lease.tagged)),
        ("policy", AttributeValue::Bool(lease.policy)),
        ("given", AttributeValue::Bool(lease.given)),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn string(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}
