//! Triggers that nobody waits for: queues, streams, topics, buckets, schedules, and services that tell of something.

use serde_json::{Map, Value};

use super::{Finder, Resource};
use crate::project::manifest::Trigger;

/// What an event source mapping can read from: the type of the resource, the service in its ARN, the kind of trigger, what people call
/// it, and the property that names it.
const STREAMS: [(&str, &str, &str, &str, &str); 8] = [
    ("AWS::SQS::Queue", ":sqs:", "sqs", "queue", "QueueName"),
    ("AWS::DynamoDB::Table", ":dynamodb:", "dynamodb", "table", "TableName"),
    ("AWS::DynamoDB::GlobalTable", ":dynamodb:", "dynamodb", "table", "TableName"),
    ("AWS::Kinesis::Stream", ":kinesis:", "kinesis", "stream", "Name"),
    ("AWS::Kinesis::StreamConsumer", ":kinesis:", "kinesis", "stream", "ConsumerName"),
    ("AWS::MSK::Cluster", ":kafka:", "msk", "Kafka", "ClusterName"),
    ("AWS::AmazonMQ::Broker", ":mq:", "mq", "broker", "BrokerName"),
    ("AWS::DocDB::DBCluster", ":rds:", "documentdb", "DocumentDB", "DBClusterIdentifier"),
];

/// Actions of alarms.
const ACTIONS: [&str; 3] = ["AlarmActions", "OKActions", "InsufficientDataActions"];

impl Finder {
    pub(super) fn sources(&mut self, resource: &Resource<'_>) {
        match super::type_of(resource.body) {
            "AWS::Lambda::EventSourceMapping" => self.mapping(resource),
            "AWS::Lambda::EventInvokeConfig" => self.destinations(resource),
            "AWS::SNS::Subscription" => self.subscription(resource),
            "AWS::SNS::Topic" => self.topic(resource),
            "AWS::S3::Bucket" => self.bucket(resource),
            "Custom::S3BucketNotifications" => self.notifications(resource),
            "AWS::Events::Rule" => self.rule(resource),
            "AWS::Scheduler::Schedule" => self.schedule(resource),
            "AWS::Cognito::UserPool" => self.user_pool(resource),
            "AWS::Logs::SubscriptionFilter" => self.log_group(resource),
            "AWS::CloudWatch::Alarm" | "AWS::CloudWatch::CompositeAlarm" => {
                let text = format!("alarm {}", resource.label());
                let trigger = resource.named_trigger("alarm", text, "AlarmName");
                ACTIONS.into_iter().for_each(|name| self.add(resource, resource.property(name), &trigger));
            }
            "AWS::StepFunctions::StateMachine" => {
                let text = format!("state machine {}", resource.label());
                let trigger = resource.named_trigger("stepfunctions", text, "StateMachineName");
                for name in ["DefinitionString", "Definition", "DefinitionSubstitutions"] {
                    self.add(resource, resource.property(name), &trigger);
                }
            }
            "AWS::IoT::TopicRule" => {
                let payload = resource.property("TopicRulePayload");
                let sql = payload.and_then(|payload| resource.text_of(payload.get("Sql")?));
                let trigger =
                    resource.named_trigger("iot", format!("IoT rule {}", resource.label()), "RuleName");
                let actions = payload.and_then(|payload| payload.get("Actions"));
                self.add(resource, actions, &trigger.with("sql", sql));
            }
            "AWS::SES::ReceiptRule" => {
                let rule = resource.property("Rule");
                let trigger = resource.trigger("ses", format!("mail {}", resource.label()));
                self.add(resource, rule.and_then(|rule| rule.get("Actions")), &trigger);
            }
            "AWS::SecretsManager::RotationSchedule" => {
                let trigger = resource.trigger("secretsmanager", format!("rotation {}", resource.label()));
                self.add(resource, resource.property("RotationLambdaARN"), &trigger);
            }
            _ => {}
        }
    }

    fn mapping(&mut self, resource: &Resource<'_>) {
        let arn = resource.property("EventSourceArn");
        let source = arn.and_then(|arn| resource.behind(arn));
        let written = arn.map(Value::to_string).unwrap_or_default();
        let known = STREAMS.iter().find(|(kind, service, ..)| match &source {
            Some(source) => source.is(kind),
            None => written.contains(service),
        });
        let trigger = match (known, &source) {
            (Some((_, _, kind, noun, name)), Some(source)) => {
                let trigger = source.named_trigger(kind, format!("{noun} {}", source.label()), name);
                with_details(trigger, source)
            }
            (Some((_, _, kind, noun, _)), None) => {
                let arn = arn.and_then(|arn| resource.text_of(arn));
                let name = arn.as_deref().map(name_in_arn).unwrap_or_default();
                let foreign =
                    Trigger { logical_id: None, ..resource.trigger(kind, format!("{noun} {name}")) };
                foreign.with("arn", arn)
            }
            (None, _) if resource.property("SelfManagedEventSource").is_some() => {
                resource.trigger("kafka", format!("Kafka {}", topics(resource)))
            }
            (None, _) => resource.trigger("other", format!("event source {}", resource.label())),
        };
        self.add(resource, resource.property("FunctionName"), &trigger);
    }

    /// Functions that are told what became of an asynchronous call of another.
    fn destinations(&mut self, resource: &Resource<'_>) {
        let of = resource.property("FunctionName").and_then(|name| resource.behind(name));
        let Some(of) = of else { return };
        for (name, outcome) in [("OnSuccess", "success"), ("OnFailure", "failure")] {
            let trigger = of
                .named_trigger("destination", format!("{outcome} of {}", of.label()), "FunctionName")
                .with("condition", Some(outcome));
            let destination = resource.property("DestinationConfig").and_then(|config| config.get(name));
            self.add(resource, destination, &trigger);
        }
    }

    fn subscription(&mut self, resource: &Resource<'_>) {
        if resource.text("Protocol").as_deref() != Some("lambda") {
            return;
        }
        let arn = resource.property("TopicArn");
        let trigger = match arn.and_then(|arn| resource.behind(arn)) {
            Some(topic) => topic.named_trigger("sns", format!("topic {}", topic.label()), "TopicName"),
            None => {
                let arn = arn.and_then(|arn| resource.text_of(arn));
                let name = arn.as_deref().map(name_in_arn).unwrap_or_default();
                let foreign = resource.trigger("sns", format!("topic {name}"));
                Trigger { logical_id: None, ..foreign }.with("arn", arn)
            }
        };
        self.add(resource, resource.property("Endpoint"), &trigger);
    }

    /// A topic can name those who are subscribed itself.
    fn topic(&mut self, resource: &Resource<'_>) {
        let trigger = resource.named_trigger("sns", format!("topic {}", resource.label()), "TopicName");
        for subscription in resource.property("Subscription").and_then(Value::as_array).into_iter().flatten()
        {
            if subscription["Protocol"] == "lambda" {
                self.add(resource, subscription.get("Endpoint"), &trigger);
            }
        }
    }

    fn bucket(&mut self, resource: &Resource<'_>) {
        let configuration = resource.property("NotificationConfiguration");
        let all = configuration.and_then(|all| all.get("LambdaConfigurations")).and_then(Value::as_array);
        for one in all.into_iter().flatten() {
            let event = one.get("Event").and_then(|event| resource.text_of(event));
            let trigger = of_bucket(resource, event, &one["Filter"]["S3Key"]["Rules"]);
            self.add(resource, one.get("Function"), &trigger);
        }
    }

    /// How the CDK's own construct tells a bucket what to notify: by a function of its own, because a bucket cannot come after what may
    /// depend on it.
    fn notifications(&mut self, resource: &Resource<'_>) {
        let bucket = resource.property("BucketName").and_then(|name| resource.behind(name));
        let bucket = bucket.as_ref().unwrap_or(resource);
        let configuration = resource.property("NotificationConfiguration");
        let all =
            configuration.and_then(|all| all.get("LambdaFunctionConfigurations")).and_then(Value::as_array);
        for one in all.into_iter().flatten() {
            for event in one["Events"].as_array().into_iter().flatten() {
                let event = resource.text_of(event);
                let trigger = of_bucket(bucket, event, &one["Filter"]["Key"]["FilterRules"]);
                self.add(resource, one.get("LambdaFunctionArn"), &trigger);
            }
        }
    }

    fn rule(&mut self, resource: &Resource<'_>) {
        let schedule = resource.text("ScheduleExpression");
        let pattern = resource.property("EventPattern");
        for target in resource.property("Targets").and_then(Value::as_array).into_iter().flatten() {
            let input = target.get("Input").and_then(|input| resource.text_of(input));
            let mut kinds = Vec::new();
            if let Some(schedule) = &schedule {
                let trigger = resource.named_trigger("schedule", schedule.as_str(), "Name");
                kinds.push(trigger.with("schedule", Some(schedule.as_str())));
            }
            if let Some(pattern) = pattern {
                let trigger = resource.named_trigger("eventbridge", of_pattern(resource, pattern), "Name");
                kinds.push(trigger.with("pattern", Some(pattern.clone())));
            }
            for trigger in kinds {
                let trigger = trigger.with("input", input.clone());
                self.add(resource, target.get("Arn"), &trigger);
            }
        }
    }

    fn schedule(&mut self, resource: &Resource<'_>) {
        let Some(target) = resource.property("Target") else { return };
        let expression = resource.text("ScheduleExpression").unwrap_or_else(|| resource.label());
        let trigger = resource
            .named_trigger("scheduler", expression.as_str(), "Name")
            .with("schedule", Some(expression))
            .with("group", resource.text("GroupName"))
            .with("input", target.get("Input").and_then(|input| resource.text_of(input)));
        self.add(resource, target.get("Arn"), &trigger);
    }

    fn user_pool(&mut self, resource: &Resource<'_>) {
        let triggers = resource.property("LambdaConfig").and_then(Value::as_object);
        for (name, function) in triggers.into_iter().flatten() {
            let (name, version) = match name.as_str() {
                // The newer versions of it have an object of their own.
                "PreTokenGenerationConfig" => ("PreTokenGeneration", function.get("LambdaVersion")),
                other => (other, None),
            };
            let trigger = resource
                .named_trigger("cognito", format!("{name} of {}", resource.label()), "UserPoolName")
                .with("trigger", Some(name))
                .with("version", version.cloned());
            self.add(resource, Some(function), &trigger);
        }
    }

    fn log_group(&mut self, resource: &Resource<'_>) {
        let group = resource.property("LogGroupName");
        let known = group.and_then(|group| resource.text_of(group));
        let source = group.and_then(|group| resource.behind(group));
        let label = known.clone().or_else(|| source.as_ref().map(Resource::label));
        let text = format!("log group {}", label.unwrap_or_else(|| resource.label()));
        let trigger = source.as_ref().unwrap_or(resource).trigger("cloudwatch-logs", text);
        let name = known.or_else(|| source.as_ref()?.text("LogGroupName"));
        let trigger = Trigger { name, ..trigger }.with("filter", resource.text("FilterPattern"));
        self.add(resource, resource.property("DestinationArn"), &trigger);
    }
}

/// What events of a queue or a table look like besides.
fn with_details(trigger: Trigger, source: &Resource<'_>) -> Trigger {
    match trigger.kind.as_str() {
        "sqs" => trigger.with("fifo", source.property("FifoQueue").filter(|fifo| **fifo == true).cloned()),
        "dynamodb" => {
            let view = source.property("StreamSpecification").and_then(|stream| stream.get("StreamViewType"));
            trigger.with("viewType", view.cloned()).with("keys", keys(source))
        }
        _ => trigger,
    }
}

/// The attributes of a table's key with their types, e.g. `{ "id": "S" }`.
fn keys(table: &Resource<'_>) -> Option<Map<String, Value>> {
    let attributes = table.property("AttributeDefinitions")?.as_array()?;
    let of = |name: &Value| {
        let attribute = attributes.iter().find(|attribute| attribute["AttributeName"] == *name)?;
        Some((name.as_str()?.to_owned(), attribute["AttributeType"].clone()))
    };
    table.property("KeySchema")?.as_array()?.iter().map(|key| of(&key["AttributeName"])).collect()
}

fn of_bucket(bucket: &Resource<'_>, event: Option<String>, rules: &Value) -> Trigger {
    let event = event.unwrap_or_else(|| "s3:ObjectCreated:*".to_owned());
    let rule = |wanted: &str| {
        let mut rules = rules.as_array().into_iter().flatten();
        let found =
            rules.find(|rule| rule["Name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(wanted)));
        found.and_then(|rule| bucket.text_of(&rule["Value"]))
    };
    bucket
        .named_trigger("s3", format!("bucket {}: {event}", bucket.label()), "BucketName")
        .with("event", Some(event))
        .with("prefix", rule("prefix"))
        .with("suffix", rule("suffix"))
}

/// A pattern in a few words: what is told, and by whom.
fn of_pattern(rule: &Resource<'_>, pattern: &Value) -> String {
    let first = |name: &str| pattern.get(name)?.as_array()?.first()?.as_str();
    match (first("source"), first("detail-type")) {
        (Some(source), Some(kind)) => format!("event {kind} of {source}"),
        (Some(source), None) => format!("events of {source}"),
        (None, Some(kind)) => format!("event {kind}"),
        (None, None) => format!("events of rule {}", rule.label()),
    }
}

fn topics(mapping: &Resource<'_>) -> String {
    let topics = mapping.property("Topics").and_then(Value::as_array).into_iter().flatten();
    topics.filter_map(|topic| mapping.text_of(topic)).collect::<Vec<_>>().join(", ")
}

/// What an ARN names.
fn name_in_arn(arn: &str) -> String {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or(arn);
    let mut parts = resource.split('/');
    let first = parts.next().unwrap_or_default();
    parts.next().unwrap_or(first).to_owned()
}
