//! What calls a function: event source mappings with the queues and streams behind them, and retries of asynchronous events.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Place, Rewriting};
use crate::app::assembly::{LONGEST_TIMEOUT_S, number, property, type_of};

/// How long a queue hides a message that is being worked on, by default, in seconds.
const DEFAULT_VISIBILITY_S: u64 = 30;

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
    /// Lambda refuses a mapping whose function may run longer than its queue hides a message. Queues of the app are changed only when
    /// that is asked for. The visibility timeout of one that the app does not own is not known and cannot be raised, so the functions
    /// behind those keep their timeouts.
    pub(super) fn find_longest_timeouts(&mut self) {
        for mapping in self.resources_of_type("AWS::Lambda::EventSourceMapping") {
            let Some(function) = self.live_function_of(&mapping, "FunctionName") else { continue };
            let longest = match self.event_source(&mapping) {
                EventSource::Queue(_) if self.options.increase_timeout => continue,
                EventSource::Queue(queue) => match self.original(&queue, "VisibilityTimeout") {
                    None => Some(DEFAULT_VISIBILITY_S),
                    visibility => number(visibility),
                },
                EventSource::ForeignQueue => None,
                EventSource::Stream | EventSource::Other => continue,
            };
            let known = self.longest_timeouts.get(&function).copied();
            // What is not known is less than anything that is.
            self.longest_timeouts.insert(function.clone(), known.map_or(longest, |known| known.min(longest)));
            let is_news = longest.is_none() && known != Some(None);
            if is_news && self.options.increase_timeout && self.kept(&function).is_none() {
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
                let size = properties.get("BatchSize");
                let large = size.is_some() && number(size).is_none_or(|size| size > 10);
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

    /// Turns retries of asynchronous events off where the app configures them: so what becomes of a failed event is told at once to whatever
    /// it names for that. No configuration is added for others, for the limits of a template: a retry has the same request id, by which stubs
    /// and this machine know it.
    pub(super) fn retries(&mut self) {
        for config in self.resources_of_type("AWS::Lambda::EventInvokeConfig") {
            if self.live_function_of(&config, "FunctionName").is_some()
                && let Some(properties) = self.properties_mut(&config)
            {
                properties.insert("MaximumRetryAttempts".into(), json!(0));
            }
        }
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
