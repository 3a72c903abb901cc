//! What calls a function: event source mappings with the queues and streams behind them, and retries of asynchronous events.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Place, Rewriting, function::LONGEST_TIMEOUT_S};
use crate::app::assembly::{number, property, type_of};

/// What an event source mapping reads from.
enum EventSource {
    /// A queue of the app.
    Queue(Place),
    /// A queue that the app only refers to.
    ForeignQueue,
    /// A stream that blocks until a batch succeeds: Kinesis or DynamoDB.
    Stream,
    /// Anything else.
    Other,
}

impl Rewriting<'_> {
    /// Lambda refuses a mapping whose function may run longer than its queue hides a message. The visibility timeout of a
    /// queue that the app does not own cannot be raised, so the functions behind those keep their timeouts.
    pub(super) fn find_fixed_timeouts(&mut self) {
        if !self.options.increase_timeout {
            return;
        }
        for mapping in self.resources_of_type("AWS::Lambda::EventSourceMapping") {
            if let Some(function) = self.live_function_of(&mapping, "FunctionName")
                && self.kept(&function).is_none()
                && matches!(self.event_source(&mapping), EventSource::ForeignQueue)
                && self.fixed_timeout.insert(function.clone())
            {
                self.notices.push(format!(
                    "`{}` keeps its timeout, because it reads from a queue that the app does not own",
                    self.name_of(&function)
                ));
            }
        }
    }

    /// Adapts the mappings of live functions, and the queues behind them.
    pub(super) fn queues_and_streams(&mut self) {
        let mut slow_queues = BTreeSet::new();
        for mapping in self.resources_of_type("AWS::Lambda::EventSourceMapping") {
            let Some(function) = self.live_function_of(&mapping, "FunctionName") else {
                continue;
            };
            let increased = self.is_increased(&function);
            let source = self.event_source(&mapping);
            let Some(properties) = self.properties_mut(&mapping) else {
                continue;
            };
            // Nobody wants to wait for a batch to fill while debugging; but batches over ten need a second.
            if number(properties.get("MaximumBatchingWindowInSeconds")).is_some_and(|window| window > 1) {
                let large = number(properties.get("BatchSize")).is_some_and(|size| size > 10);
                properties.insert("MaximumBatchingWindowInSeconds".into(), json!(u64::from(large)));
            }
            match source {
                // A batch that fails would be sent again until it expires, and hold up all that follow.
                EventSource::Stream => {
                    properties.insert("MaximumRetryAttempts".into(), json!(0));
                }
                EventSource::Queue(queue) if increased => {
                    slow_queues.insert(queue);
                }
                EventSource::Queue(_) | EventSource::ForeignQueue | EventSource::Other => {}
            }
        }
        for queue in slow_queues {
            self.raise_visibility(&queue);
        }
    }

    /// Whether a stub is given the longest timeout, by us or by whoever answers for it.
    fn is_increased(&mut self, function: &Place) -> bool {
        match self.kept(function) {
            Some(kept) => {
                let properties = kept.deployed.as_ref().and_then(|deployed| deployed.get("Properties"));
                let timeout = properties.and_then(|properties| properties.get("Timeout"));
                number(timeout) == Some(LONGEST_TIMEOUT_S)
            }
            None => self.options.increase_timeout,
        }
    }

    /// Turns retries of asynchronous events off: a call that fails while it is being debugged is not wanted a second time.
    pub(super) fn retries(&mut self) {
        let mut latest = BTreeSet::new();
        let mut qualified = BTreeSet::new();
        for config in self.resources_of_type("AWS::Lambda::EventInvokeConfig") {
            let Some(function) = self.live_function_of(&config, "FunctionName") else {
                continue;
            };
            let of_latest =
                self.original(&config, "Qualifier").is_none_or(|qualifier| qualifier == "$LATEST");
            if of_latest { &mut latest } else { &mut qualified }.insert(function);
            if let Some(properties) = self.properties_mut(&config) {
                properties.insert("MaximumRetryAttempts".into(), json!(0));
            }
        }
        let functions: Vec<Place> = self.live.keys().cloned().collect();
        for function in functions.iter().filter(|function| !latest.contains(*function)) {
            self.add_retries(function, &function.1, json!("$LATEST"), None);
        }
        for alias in self.resources_of_type("AWS::Lambda::Alias") {
            // A configuration for a qualifier that cannot be compared may be this alias's: a second one would be refused.
            if let Some(function) = self.live_function_of(&alias, "FunctionName")
                && !qualified.contains(&function)
                && let Some(name) = self.original(&alias, "Name").cloned()
                && function.0 == alias.0
            {
                self.add_retries(&function, &alias.1, name, Some(&alias.1));
            }
        }
    }

    fn add_retries(&mut self, function: &Place, prefix: &str, qualifier: Value, after: Option<&str>) {
        let mut resource = json!({
            "Type": "AWS::Lambda::EventInvokeConfig",
            "Properties": {
                "FunctionName": { "Ref": function.1 },
                "Qualifier": qualifier,
                "MaximumRetryAttempts": 0,
            },
        });
        // The qualifier is only a name, from which CloudFormation cannot see that the alias has to be there first.
        if let Some(alias) = after {
            resource["DependsOn"] = json!([alias]);
        }
        let owner = (function.0, after.unwrap_or(&function.1).to_owned());
        if let Some(condition) = self.assembly.at(&owner).and_then(|owner| owner.get("Condition")) {
            resource["Condition"] = condition.clone();
        }
        self.add_resource(function.0, &format!("{prefix}SstRetries"), resource);
    }

    fn raise_visibility(&mut self, queue: &Place) {
        if let Some(properties) = self.properties_mut(queue)
            && number(properties.get("VisibilityTimeout")).is_none_or(|seconds| seconds < LONGEST_TIMEOUT_S)
        {
            properties.insert("VisibilityTimeout".into(), json!(LONGEST_TIMEOUT_S));
        }
    }

    fn event_source(&self, mapping: &Place) -> EventSource {
        let resource = self.assembly.at(mapping);
        let has = |name: &str| resource.and_then(|resource| property(resource, name)).is_some();
        let other_kinds = ["SelfManagedEventSource", "Topics", "Queues", "DocumentDBEventSourceConfig"];
        if other_kinds.iter().any(|name| has(name)) {
            return EventSource::Other;
        }
        let Some(arn) = self.original(mapping, "EventSourceArn") else {
            return EventSource::Other;
        };
        if let Some(place) = self.assembly.resolve(mapping.0, arn) {
            return match self.assembly.at(&place).map(type_of).unwrap_or_default() {
                "AWS::SQS::Queue" => EventSource::Queue(place),
                "AWS::Kinesis::Stream"
                | "AWS::Kinesis::StreamConsumer"
                | "AWS::DynamoDB::Table"
                | "AWS::DynamoDB::GlobalTable" => EventSource::Stream,
                _ => EventSource::Other,
            };
        }
        let text = arn.to_string();
        if text.contains(":sqs:") {
            EventSource::ForeignQueue
        } else if [":kinesis:", ":dynamodb:"].iter().any(|service| text.contains(service))
            || has("StartingPosition")
        {
            EventSource::Stream
        } else {
            // Of the sources that have no starting position, only queues are left.
            EventSource::ForeignQueue
        }
    }
}
