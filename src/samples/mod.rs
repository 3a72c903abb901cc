//! Events to call functions with, of each kind that AWS documents, with the names of the real stack where a function has such a trigger.

mod fields;
mod http;
mod messages;
mod pattern;
mod services;
mod users;

use jiff::Timestamp;
use serde_json::Value;

use crate::project::manifest::Trigger;

/// A kind of event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// What it is asked for by.
    pub name: &'static str,
    /// What people call it.
    pub text: &'static str,
    make: fn(&Origin<'_>) -> Value,
}

const fn kind(name: &'static str, text: &'static str, make: fn(&Origin<'_>) -> Value) -> Kind {
    Kind { name, text, make }
}

/// All that there are.
pub(crate) const KINDS: [Kind; 36] = [
    kind("apigw", "REST API request", http::rest_api),
    kind("apigw2", "HTTP API request", http::http_api),
    kind("url", "function URL request", http::function_url),
    kind("websocket", "WebSocket API message", http::websocket),
    kind("alb", "load balancer request", http::load_balancer),
    kind("authorizer", "request to authorise", http::authorizer),
    kind("appsync", "GraphQL field of AppSync", http::graphql),
    kind("sqs", "SQS message", messages::sqs),
    kind("sns", "SNS notification", messages::sns),
    kind("s3", "S3 object", messages::s3),
    kind("dynamodb", "DynamoDB stream record", messages::dynamodb),
    kind("kinesis", "Kinesis record", messages::kinesis),
    kind("msk", "Kafka record of MSK", messages::msk),
    kind("kafka", "Kafka record of your own cluster", messages::kafka),
    kind("schedule", "EventBridge rule with a schedule", services::rule_schedule),
    kind("scheduler", "EventBridge Scheduler", services::scheduler),
    kind("eventbridge", "EventBridge event", services::eventbridge),
    kind("cloudwatch-logs", "lines of a log group", services::logs),
    kind("alarm", "CloudWatch alarm", services::alarm),
    kind("stepfunctions", "task of a state machine", services::task),
    kind("destination", "outcome of another function", services::destination),
    kind("iot", "IoT message", services::iot),
    kind("ses", "SES mail", services::mail),
    kind("secretsmanager", "rotation of a secret", services::rotation),
    kind("cognito-pre-sign-up", "Cognito, before a sign-up", users::pre_sign_up),
    kind("cognito-post-confirmation", "Cognito, after a confirmation", users::post_confirmation),
    kind("cognito-pre-authentication", "Cognito, before a sign-in", users::pre_authentication),
    kind("cognito-post-authentication", "Cognito, after a sign-in", users::post_authentication),
    kind("cognito-custom-message", "Cognito, message to a user", users::custom_message),
    kind("cognito-define-auth-challenge", "Cognito, which challenge comes next", users::define_challenge),
    kind("cognito-create-auth-challenge", "Cognito, a challenge is made", users::create_challenge),
    kind("cognito-verify-auth-challenge-response", "Cognito, an answer is checked", users::verify_challenge),
    kind("cognito-user-migration", "Cognito, a user of another directory", users::migration),
    kind("cognito-pre-token-generation", "Cognito, before tokens are made", users::pre_token),
    kind(
        "cognito-pre-token-generation-v2",
        "Cognito, before tokens are made (version 2)",
        users::pre_token_v2,
    ),
    kind("empty", "an event without anything", |_| Value::Object(serde_json::Map::new())),
];

/// Where a sample's event would come from.
#[derive(Debug, Clone)]
pub(crate) struct Origin<'a> {
    /// The trigger whose names it has; none for those of AWS's documentation.
    pub trigger: Option<&'a Trigger>,
    /// What CloudFormation has called the trigger's resource, if that is known.
    pub physical_id: Option<&'a str>,
    /// When it happens.
    pub at: Timestamp,
}

impl Kind {
    /// The event.
    pub(crate) fn event(&self, origin: &Origin<'_>) -> Value {
        (self.make)(origin)
    }
}

/// The kind with a name.
pub(crate) fn named(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// The kind whose name is most like another one, if any is like it.
fn nearest(name: &str) -> Option<&'static Kind> {
    const ALIKE: f64 = 0.5;
    let alike = |kind: &Kind| strsim::normalized_damerau_levenshtein(&name.to_lowercase(), kind.name);
    let best = KINDS.iter().max_by(|one, other| alike(one).total_cmp(&alike(other)));
    let begins = || KINDS.iter().find(|kind| kind.name.starts_with(&name.to_lowercase()));
    best.filter(|kind| alike(kind) >= ALIKE).or_else(begins)
}

/// What is said of a name that is none.
pub(crate) fn unknown(name: &str) -> String {
    match nearest(name) {
        Some(kind) => format!("there is no sample `{name}`: did you mean `{}`?", kind.name),
        None => format!("there is no sample `{name}`"),
    }
}

/// The kind of the events that a trigger sends; none if there is no sample of it.
pub(crate) fn of(trigger: &Trigger) -> Option<&'static Kind> {
    if trigger.kind != "cognito" {
        return named(&trigger.kind);
    }
    let is_second = trigger.more.get("version").is_some_and(|version| version != "V1_0");
    let words = trigger.more.get("trigger").and_then(Value::as_str).unwrap_or_default().chars();
    let mut name = "cognito".to_owned();
    for letter in words {
        if letter.is_ascii_uppercase() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    named(&if is_second { format!("{name}-v2") } else { name })
}

/// A sample that can be had for a function.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Listed {
    /// What it is asked for by: its kind, or for a second trigger of the same kind what people call that.
    pub name: String,
    /// What people call its kind.
    pub text: String,
    /// The trigger, if it is one of the function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// All samples, those of the function's own triggers first.
pub(crate) fn listed(triggers: &[Trigger]) -> Vec<Listed> {
    let mut found: Vec<Listed> = Vec::new();
    for trigger in triggers {
        let Some(kind) = of(trigger) else { continue };
        let is_first = found.iter().all(|other| other.name != kind.name);
        let name = if is_first { kind.name.to_owned() } else { trigger.text.clone() };
        found.push(Listed { name, text: kind.text.to_owned(), of: Some(trigger.text.clone()) });
    }
    let others = KINDS.iter().filter(|kind| !found.iter().any(|own| own.name == kind.name));
    let others: Vec<Listed> = others
        .map(|kind| Listed { name: kind.name.to_owned(), text: kind.text.to_owned(), of: None })
        .collect();
    found.extend(others);
    found
}

/// What a name means for a function with these triggers: the kind, and the trigger if the function has one of that kind.
pub(crate) fn chosen<'a>(
    name: &str,
    triggers: &'a [Trigger],
) -> Option<(&'static Kind, Option<&'a Trigger>)> {
    let own = |wanted: &dyn Fn(&Trigger) -> bool| {
        triggers
            .iter()
            .filter(|trigger| wanted(trigger))
            .find_map(|trigger| Some((of(trigger)?, Some(trigger))))
    };
    own(&|trigger| of(trigger).is_some_and(|kind| kind.name == name))
        .or_else(|| own(&|trigger| trigger.text == name))
        .or_else(|| named(name).map(|kind| (kind, None)))
}

#[cfg(test)]
mod tests;
