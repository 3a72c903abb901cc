//! Everything that differs between the templates that an app synthesises and those that `sst start` deploys, line by line. After a
//! change that is meant: `INSTA_UPDATE=always cargo test --test app`, and a look at the difference.

use serde_json::Value;

use super::{lint::assert_nothing_new, support::*};

/// What the two templates differ in: `-` was there before, `+` is there now.
fn differences(before: &Value, after: &Value, path: &str, found: &mut Vec<String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (before, after) {
        _ if before == after => {}
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                match new.get(key) {
                    Some(other) => differences(value, other, &below(key), found),
                    None => found.push(format!("- {}: {value}", below(key))),
                }
            }
            let added = new.iter().filter(|(key, _)| !old.contains_key(*key));
            found.extend(added.map(|(key, value)| format!("+ {}: {value}", below(key))));
        }
        _ => {
            found.push(format!("- {path}: {before}"));
            found.push(format!("+ {path}: {after}"));
        }
    }
}

/// Hashes and the place of the project are different each time, which is not what this is about.
fn without_chance(line: &str, app: &App) -> String {
    let is_name = |character: char| character.is_ascii_alphanumeric();
    let line = line.replace(app.root.as_str(), "<project>");
    let mut text = String::new();
    for part in line.split_inclusive(|character| !is_name(character)) {
        let word = part.trim_end_matches(|character| !is_name(character));
        let is_hash = word.len() >= 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        // The logical ids of versions end in a hash as well.
        let kept = ["CurrentVersion", "SstVersion"].iter().find_map(|name| {
            let end = word.find(name)? + name.len();
            (word.len() >= end + 8).then(|| &word[..end])
        });
        match kept {
            _ if is_hash => text.push_str("<hash>"),
            Some(kept) => text += &format!("{kept}<hash>"),
            None => text.push_str(word),
        }
        text.push_str(&part[word.len()..]);
    }
    text
}

async fn snapshot(app: &App, increase_timeout: bool) -> String {
    let assembly = app.synthesize().await.unwrap();
    let live = app.rewrite(&assembly, &app.discover(&assembly), increase_timeout);
    assert_consistent(&live);
    assert_eq!(assembly.templates.len(), live.templates.len());
    let mut text = String::new();
    for (before, after) in assembly.templates.iter().zip(&live.templates) {
        assert_nothing_new(&before.body, &after.body);
        let mut found = Vec::new();
        differences(&before.body, &after.body, "", &mut found);
        let lines: Vec<String> = found.iter().map(|line| without_chance(line, app)).collect();
        text += &format!("# {} {}\n{}\n\n", after.stack, after.path, lines.join("\n"));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_with_everything_differs_only_in_what_a_stub_needs() {
    let app = App::with_main(
        r#"
        import { Duration, Size, Stack } from "aws-cdk-lib";
        import { SubnetType, Vpc } from "aws-cdk-lib/aws-ec2";
        import { Rule, Schedule } from "aws-cdk-lib/aws-events";
        import { LambdaFunction } from "aws-cdk-lib/aws-events-targets";
        import { AttributeType, StreamViewType, Table } from "aws-cdk-lib/aws-dynamodb";
        import { Alias, Architecture, Code, Function, LayerVersion, LoggingFormat, Runtime, StartingPosition, Tracing } from "aws-cdk-lib/aws-lambda";
        import { DynamoEventSource, SqsEventSource } from "aws-cdk-lib/aws-lambda-event-sources";
        import { Bucket } from "aws-cdk-lib/aws-s3";
        import { Queue } from "aws-cdk-lib/aws-sqs";

        export default function main(app) {
          const stack = new Stack(app, "everything");
          const make = (id, props) => new Function(stack, id, {
            code: Code.fromAsset("code"), handler: "index.handler", runtime: Runtime.NODEJS_22_X, ...props,
          });
          make("Plain", { environment: { NAME: "value" }, description: "stays", memorySize: 512, timeout: Duration.seconds(7) });
          make("Python", { runtime: Runtime.PYTHON_3_12, architecture: Architecture.ARM_64 });
          make("Full", {
            deadLetterQueueEnabled: true, ephemeralStorageSize: Size.gibibytes(2), tracing: Tracing.ACTIVE,
            loggingFormat: LoggingFormat.JSON, environment: { LD_PRELOAD: "/opt/x.so", NODE_OPTIONS: "--no-warnings" },
            layers: [new LayerVersion(stack, "Layer", { code: Code.fromAsset("code") })],
          });
          const vpc = new Vpc(stack, "Vpc", {
            natGateways: 0, maxAzs: 1, subnetConfiguration: [{ name: "inside", subnetType: SubnetType.PRIVATE_ISOLATED }],
          });
          make("Inside", { vpc, vpcSubnets: { subnetType: SubnetType.PRIVATE_ISOLATED } });
          const queue = new Queue(stack, "Queue", { visibilityTimeout: Duration.seconds(60) });
          make("OnQueue", { retryAttempts: 2 }).addEventSource(new SqsEventSource(queue, { batchSize: 20, maxBatchingWindow: Duration.minutes(1) }));
          const table = new Table(stack, "Table", { partitionKey: { name: "id", type: AttributeType.STRING }, stream: StreamViewType.NEW_IMAGE });
          make("OnTable").addEventSource(new DynamoEventSource(table, { startingPosition: StartingPosition.LATEST }));
          new Rule(stack, "Nightly", { schedule: Schedule.rate(Duration.days(1)), targets: [new LambdaFunction(make("OnSchedule"))] });
          const published = make("Published");
          new Alias(stack, "Alias", { aliasName: "live", version: published.currentVersion, provisionedConcurrentExecutions: 1 });
          make("Inline", { code: Code.fromInline("exports.handler = async () => 1") });
          make("Ruby", { runtime: Runtime.RUBY_3_3 });
          new Bucket(stack, "Bucket");
        }
        "#,
    );
    app.write("code/index.js", "exports.handler = async () => 1");
    app.write("code/index.py", "def handler(event, context): return 1");
    insta::assert_snapshot!("everything", snapshot(&app, false).await);
    insta::assert_snapshot!("everything_with_increased_timeouts", snapshot(&app, true).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_and_nested_stacks_differ_only_in_what_a_stub_needs() {
    let app = App::copy("tests/fixtures/apps/cdk-stages");
    insta::assert_snapshot!("stages", snapshot(&app, false).await);
}
