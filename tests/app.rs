//! Synthesises real apps with the real CDK, finds their functions, and puts stubs in their place.
#![allow(clippy::unwrap_used, reason = "a test may fail that way")]

#[path = "app/bootstrap.rs"]
mod bootstrap_of_stacks;
#[path = "app/kept.rs"]
mod kept;
#[path = "app/lint.rs"]
mod lint;
#[path = "app/order.rs"]
mod order;
#[path = "app/policies.rs"]
mod policies;
#[path = "app/snapshots.rs"]
mod snapshots;
#[path = "app/support.rs"]
mod support;
#[path = "app/time.rs"]
mod time;
#[path = "app/triggers.rs"]
mod triggers;
#[path = "app/versions.rs"]
mod versions;

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use serde_json::{Value, json};
use sst::{
    app::{Action, Context, Destination, bootstrap, changes, deploy, lacking, look_up, synthesize},
    error::Kind,
    project::{
        Project,
        manifest::{Manifest, Source},
    },
};
use sst_wire::StubConfig;
use tokio_util::sync::CancellationToken;

use support::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_sst_app_becomes_stubs() {
    let app = App::copy("examples/rest-api");
    let assembly = app.synthesize().await.unwrap();
    assert_eq!(assembly.stacks.len(), 1);
    assert_eq!(assembly.stacks[0].name, "dev-rest-api-stack");
    assert!(assembly.inputs.contains(&app.root.join("stacks/RestApiStack.js")), "{:?}", assembly.inputs);

    let manifest = app.discover(&assembly);
    assert!(manifest.left_alone.is_empty(), "{:?}", manifest.left_alone);
    let found: BTreeSet<(String, Utf8PathBuf)> = manifest
        .functions
        .iter()
        .map(|function| (function.id.to_string(), code_of(&function.source)))
        .collect();
    let expected = ["Get", "List", "Order", "Receipt", "Shipping", "Update"]
        .map(|name| (format!("rest-api/{name}"), app.root.join(format!("src/{}.js", name.to_lowercase()))));
    assert_eq!(found, expected.into());
    let list = manifest.functions.iter().find(|function| function.id.as_str() == "rest-api/List").unwrap();
    assert_eq!((list.runtime.as_str(), list.handler.as_str()), ("nodejs22.x", "index.handler"));
    assert_eq!((list.timeout_s, list.memory_mb), (Some(3), Some(128)));
    assert_eq!(list.environment, ["TABLE_NAME"]);

    let live = app.rewrite(&assembly, &manifest, false);
    assert_eq!(live.manifest, manifest);
    assert!(live.notices.is_empty() && live.unbuilt.is_empty(), "{live:?}");
    let template = live_template(&live, "rest-api.template.json");
    let function = &template["Resources"][list.logical_id.as_str()]["Properties"];
    assert_eq!(function["Runtime"], "provided.al2023");
    assert_eq!(function["Architectures"], Value::Null);
    assert_eq!(function["Code"]["S3Key"], format!("{}.zip", app.stub().sha256));
    assert_eq!(function["Timeout"], 13, "the app's own, and what the way takes");
    let variables = &function["Environment"]["Variables"];
    let before = app.template(&assembly, "rest-api.template.json");
    let own = &before["Resources"][list.logical_id.as_str()]["Properties"]["Environment"]["Variables"];
    assert!(own["TABLE_NAME"].is_object());
    assert_eq!(variables["TABLE_NAME"], own["TABLE_NAME"]);
    let config: StubConfig = serde_json::from_str(variables["SST_STUB"].as_str().unwrap()).unwrap();
    assert_eq!((config.function.as_str(), config.stage.as_str()), ("rest-api/List", "dev"));
    assert_eq!(config.endpoint, debug_stack().endpoint);

    // Every role is a function's. Whatever else is no function of the app's stays as it was, and nothing is added.
    let (old, new) = (before["Resources"].as_object().unwrap(), template["Resources"].as_object().unwrap());
    assert_eq!(old.len(), new.len());
    for (id, resource) in old {
        let mut expected = resource.clone();
        match resource["Type"].as_str() {
            Some("AWS::Lambda::Function") => continue,
            Some("AWS::IAM::Role") => {
                expected["Properties"]["ManagedPolicyArns"].as_array_mut().unwrap().push(json!(STUB_POLICY));
            }
            _ => {}
        }
        assert_eq!(new[id], expected, "{id}");
    }
    // With their own code they are as if they had never been stubs.
    let own = app.rewrite(&assembly, &Manifest::default(), false);
    for (own, before) in own.templates.iter().zip(&assembly.templates) {
        assert_eq!(own.body, before.body);
    }
    assert_consistent(&live);
    let placeholders = live_template(&live, "rest-api.assets.json");
    assert_eq!(placeholders["files"].as_object().unwrap().len(), 2, "the template and the stub");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_does_is_no_reason_to_deploy() {
    let app = App::copy("examples/rest-api");
    let mut templates = Vec::new();
    for (handler, increase_timeout) in [
        ("exports.handler = () => 1", false),
        ("exports.handler = () => 2", false),
        ("exports.handler = () => 2", true),
    ] {
        fs_err::write(app.root.join("src/list.js"), handler).unwrap();
        let assembly = app.synthesize().await.unwrap();
        templates.push(app.rewrite(&assembly, &app.discover(&assembly), increase_timeout).templates);
    }
    assert_eq!(changes(&templates[0], &templates[1]), []);
    let difference = changes(&templates[1], &templates[2]);
    assert_eq!(difference.len(), 1, "another timeout is");
    let resources = &difference[0].resources;
    assert!(
        !resources.is_empty() && resources.iter().all(|one| one.action == Action::Modify),
        "{resources:?}"
    );
    assert!(!difference[0].other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_cdk_app_becomes_stubs() {
    let app = App::copy("tests/fixtures/apps/cdk-plain");
    let assembly = app.synthesize().await.unwrap();
    let manifest = app.discover(&assembly);
    let found: Vec<(&str, Utf8PathBuf, &str)> = (manifest.functions.iter())
        .map(|function| (function.id.as_str(), code_of(&function.source), function.handler.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("plain/Asset", app.root.join("functions/asset"), "index.handler"),
            ("plain/Explicit", app.root.join("functions/explicit.ts"), "index.run"),
            ("plain/discovered", app.root.join("lib/plain-stack.discovered.ts"), "index.handler"),
            ("plain/Inline", app.root.join(".sst/inline/plain+Inline"), "index.handler"),
            ("plain/Inner/Function", app.root.join("functions/explicit.ts"), "index.run"),
        ]
    );
    let Source::Entry { bundling, export, .. } = &manifest.functions[2].source else { panic!("no entry") };
    assert_eq!((bundling.format.as_deref(), export.as_str()), (Some("esm"), "handler"));
    assert_eq!(manifest.left_alone, []);
    let inline = fs_err::read_to_string(app.root.join(".sst/inline/plain+Inline/index.js")).unwrap();
    assert_eq!(inline, "exports.handler = async () => 'inline'");

    let live = app.rewrite(&assembly, &manifest, true);
    assert_consistent(&live);
    let template = live_template(&live, "plain.template.json");
    for function in &manifest.functions[..3] {
        let stub = &template["Resources"][&function.logical_id]["Properties"];
        assert_eq!((&stub["Runtime"], &stub["Timeout"]), (&json!("provided.al2023"), &json!(900)));
        assert_eq!(stub["Environment"]["Variables"]["ANSWER"], "42");
    }
    let code = &template["Resources"][&manifest.functions[3].logical_id]["Properties"]["Code"];
    assert_eq!(code["ZipFile"], Value::Null, "{code}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_function_declares_reaches_whoever_runs_it() {
    let app = App::with_main(
        r#"
        import { Stack } from "aws-cdk-lib";
        import { ApplicationLogLevel, LoggingFormat, Runtime } from "aws-cdk-lib/aws-lambda";
        import { NodejsFunction } from "aws-cdk-lib/aws-lambda-nodejs";

        export default function main(app) {
          const stack = new Stack(app, "app");
          const make = (id, props) => new NodejsFunction(stack, id, { entry: "src/a.js", runtime: Runtime.NODEJS_22_X, ...props });
          make("Plain", {});
          make("Named", { handler: "get" });
          make("Nested", { handler: "index.user.get", loggingFormat: LoggingFormat.JSON });
          make("Level", { loggingFormat: LoggingFormat.JSON, applicationLogLevelV2: ApplicationLogLevel.WARN });
        }
        "#,
    );
    app.write("src/a.js", "exports.handler = async () => 1");
    app.write("package-lock.json", "{}");
    let assembly = app.synthesize().await.unwrap();
    let manifest = app.discover(&assembly);
    let found: Vec<_> = manifest
        .functions
        .iter()
        .map(|function| match &function.source {
            Source::Entry { export, .. } => (export.as_str(), function.json_log.as_deref()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        found,
        [("handler", None), ("get", None), ("user.get", Some("INFO")), ("handler", Some("WARN")),]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_calls_a_function_is_adapted() {
    let app = App::with_main(
        r#"
        import { Duration, Stack, Stage } from "aws-cdk-lib";
        import { Role } from "aws-cdk-lib/aws-iam";
        import { Alias, Code, Function, LayerVersion, Runtime } from "aws-cdk-lib/aws-lambda";
        import { SqsEventSource } from "aws-cdk-lib/aws-lambda-event-sources";
        import { Queue } from "aws-cdk-lib/aws-sqs";

        export default function main(app) {
          const stack = new Stack(new Stage(app, "Prod"), "app");
          const make = (id, props) => new Function(stack, id, {
            code: Code.fromAsset("code"), handler: "index.handler", runtime: Runtime.NODEJS_22_X, ...props,
          });
          const queue = new Queue(stack, "Queue", { visibilityTimeout: Duration.seconds(60) });
          make("OnQueue", { retryAttempts: 2 }).addEventSource(new SqsEventSource(queue));
          const foreign = Queue.fromQueueArn(stack, "Foreign", `arn:aws:sqs:${stack.region}:123456789012:foreign`);
          make("OnForeign", { timeout: Duration.seconds(7) }).addEventSource(new SqsEventSource(foreign));
          const layer = new LayerVersion(stack, "Layer", { code: Code.fromAsset("code") });
          const published = make("Published", { layers: [layer], environment: { LD_PRELOAD: "/opt/x.so" } });
          new Alias(stack, "Alias", { aliasName: "live", version: published.currentVersion, provisionedConcurrentExecutions: 1 });
          make("Guest", { role: Role.fromRoleName(stack, "Theirs", "theirs") });
          make("Ruby", { runtime: Runtime.RUBY_3_3 });
          make("Full", { environment: { BIG: "x".repeat(3800) } });
        }
        "#,
    );
    app.write("code/index.js", "exports.handler = async () => 1");
    let assembly = app.synthesize().await.unwrap();
    assert_eq!(assembly.stacks[0].selector, "Prod/app");
    let manifest = app.discover(&assembly);
    let live: Vec<&str> = manifest.functions.iter().map(|function| function.id.as_str()).collect();
    assert_eq!(live, ["Prod/app/OnQueue", "Prod/app/OnForeign", "Prod/app/Published"]);
    let reasons: Vec<(&str, &str)> =
        manifest.left_alone.iter().map(|left| (left.id.as_str(), left.reason.as_str())).collect();
    let [(guest, role), (ruby, runtime), (full, room)] = reasons[..] else { panic!("{reasons:?}") };
    assert_eq!((guest, ruby, full), ("Prod/app/Guest", "Prod/app/Ruby", "Prod/app/Full"));
    assert!(role.contains("role is not part of the app"), "{role}");
    assert!(runtime.contains("`ruby3.3`"), "{runtime}");
    assert!(room.contains("of the 4096 bytes"), "{room}");

    let rewritten = app.rewrite(&assembly, &manifest, true);
    assert_consistent(&rewritten);
    let file = assembly.stacks[0].directory.join(&assembly.templates[0].file);
    assert_eq!(file.parent().unwrap(), "assembly-Prod");
    let template = live_template(&rewritten, file.as_str());
    let before = app.template(&assembly, file.as_str());
    let resources = &template["Resources"];
    let only = |kind: &str, prefix: &str| -> String {
        let found: Vec<&str> =
            ids_of(&template, kind).into_iter().filter(|id| id.starts_with(prefix)).collect();
        let [id] = found[..] else { panic!("{kind} {prefix}: {found:?}") };
        id.to_owned()
    };
    // A queue of the app's own waits as long as its stub; behind somebody else's the function keeps its timeout.
    let properties = |kind, prefix| &resources[only(kind, prefix)]["Properties"];
    assert_eq!(properties("AWS::SQS::Queue", "Queue")["VisibilityTimeout"], 900);
    assert_eq!(properties("AWS::Lambda::Function", "OnQueue")["Timeout"], 900);
    assert_eq!(properties("AWS::Lambda::Function", "OnForeign")["Timeout"], 7);
    assert!(rewritten.notices.iter().any(|notice| notice.contains("OnForeign")), "{:?}", rewritten.notices);
    // The configuration of retries that there was is changed, and none is added.
    let retries: Vec<&Value> = ids_of(&template, "AWS::Lambda::EventInvokeConfig")
        .into_iter()
        .map(|id| &resources[id]["Properties"])
        .collect();
    assert!(retries.iter().all(|one| one["MaximumRetryAttempts"] == 0), "{retries:?}");
    assert_eq!(retries.len(), 1);
    // The alias leads to a version that is published from the stub.
    let published = properties("AWS::Lambda::Function", "Published");
    assert_eq!(published["Layers"], Value::Null);
    let variables = published["Environment"]["Variables"].as_object().unwrap();
    assert_eq!(variables["SST_ORIG_LD_PRELOAD"], "/opt/x.so");
    assert!(!variables.contains_key("LD_PRELOAD"));
    let version = only("AWS::Lambda::Version", "Published");
    assert_eq!(before["Resources"][&version], Value::Null, "a new resource");
    let alias = properties("AWS::Lambda::Alias", "Alias");
    assert_eq!(alias["FunctionVersion"], json!({ "Fn::GetAtt": [version, "Version"] }));
    assert_eq!(alias["ProvisionedConcurrencyConfig"], Value::Null);
    assert!(
        rewritten.notices.iter().any(|notice| notice.contains("\"execute-api:Invoke\"")),
        "the guest's policy"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_with_their_own_code_get_a_runtime_that_there_is() {
    let app = App::with_main(
        r#"
        import { Stack } from "aws-cdk-lib";
        import { Code, Function, Runtime, RuntimeFamily } from "aws-cdk-lib/aws-lambda";

        export default function main(app) {
          const stack = new Stack(app, "old");
          const make = (id, name, code) => new Function(stack, id, {
            code, handler: "index.handler",
            runtime: new Runtime(name, name.startsWith("node") ? RuntimeFamily.NODEJS : RuntimeFamily.PYTHON, { supportsInlineCode: true }),
          });
          make("Directory", "nodejs14.x", Code.fromAsset("plain"));
          make("Sdk", "nodejs14.x", Code.fromAsset("sdk"));
          make("Inline", "nodejs12.x", Code.fromInline("require('aws-sdk/clients/s3')"));
          make("Python", "python3.7", Code.fromInline("import boto3"));
          make("Fine", "nodejs24.x", Code.fromInline("exports.handler = 1"));
        }
        "#,
    );
    app.write("plain/index.js", "exports.handler = async () => 1");
    app.write("sdk/index.js", "const { S3 } = require(\"aws-sdk\");");
    let assembly = app.synthesize().await.unwrap();
    let all = app.discover(&assembly);
    assert_eq!(all.functions.len(), 5);
    let live = app.rewrite(&assembly, &Manifest::default(), false);
    let template = live_template(&live, "old.template.json");
    let runtimes: Vec<(&str, &str)> = (all.functions.iter())
        .map(|function| {
            let runtime = &template["Resources"][&function.logical_id]["Properties"]["Runtime"];
            (function.id.as_str(), runtime.as_str().unwrap())
        })
        .collect();
    assert_eq!(
        runtimes,
        [
            ("old/Directory", "nodejs22.x"),
            ("old/Sdk", "nodejs14.x"),
            ("old/Inline", "nodejs12.x"),
            ("old/Python", "python3.12"),
            ("old/Fine", "nodejs24.x"),
        ]
    );
    let said = live.notices.join("\n");
    for expected in [
        "`nodejs14.x` any more; deployed on `nodejs22.x` with their own code: `old/Directory`",
        "`python3.7` any more; deployed on `python3.12` with their own code: `old/Python`",
        "`old/Sdk` keeps the runtime `nodejs14.x`, which AWS may refuse to deploy: its code loads `aws-sdk`",
        "`old/Inline` keeps the runtime `nodejs12.x`",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
    assert_eq!(live.notices.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_app_names_its_own_line() {
    let app = App::with_main("export default function main() {\n  throw new Error('no such table');\n}\n");
    let error = app.synthesize().await.unwrap_err();
    assert_eq!((error.kind, error.exit_code()), (Kind::Synthesis, 4));
    let detail = error.detail.unwrap();
    assert!(detail.starts_with("Error: no such table"), "{detail}");
    assert!(detail.contains("stacks/index.js:2:"), "{detail}");

    let app = App::with_command("node bin/app.js");
    app.write("bin/app.js", "throw new Error('no such table');\n");
    let error = app.synthesize().await.unwrap_err();
    assert_eq!(error.kind, Kind::Synthesis);
    let detail = error.detail.unwrap();
    assert!(detail.contains("bin/app.js:1") && detail.contains("no such table"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synthesis_that_is_cancelled_is_killed_with_its_family() {
    let app = App::with_command("sleep 1000 & echo $! > pid; wait");
    let cancel = CancellationToken::new();
    let cancelled = async {
        let pid = app.pid().await;
        cancel.cancel();
        pid
    };
    let (result, pid) = tokio::join!(app.synthesize_until(&cancel), cancelled);
    assert_eq!(result.unwrap_err().kind, Kind::Interrupted);
    gone(&pid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_synthesis_leaves_behind_is_not_waited_for() {
    // The sleeper holds the pipe that the output comes through.
    let app = App::with_command("sleep 1000 & echo $! > pid; echo done");
    let result = tokio::time::timeout(PATIENCE, app.synthesize()).await.expect("it ends");
    assert!(result.unwrap_err().message.contains("no cloud assembly"));
    gone(&app.pid().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_a_synthesis_stay_whole() {
    // The pauses have the line of one stream arrive in the middle of the other's.
    let app = App::with_command("printf 'one '; sleep 0.2; echo other >&2; sleep 0.2; echo two; exit 1");
    assert_eq!(app.synthesize().await.unwrap_err().detail.unwrap(), "other\none two");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_looks_up_is_found() {
    let app = App::with_main(
        r#"
        import { CfnOutput, Stack } from "aws-cdk-lib";
        import { StringParameter } from "aws-cdk-lib/aws-ssm";

        export default function main(app) {
          const stack = new Stack(app, "app");
          new CfnOutput(stack, "Zone", { value: stack.availabilityZones[0] });
          const unknown = app.node.tryGetContext("unknown");
          if (unknown) StringParameter.valueFromLookup(stack, unknown);
        }
        "#,
    );
    let (cloud, aws) = local_cloud(&app, false).await;
    let target = Destination {
        stage: "dev".into(),
        account: aws.account.clone(),
        region: aws.region.clone(),
        debug_stack: None,
        context: Default::default(),
    };
    let cancel = CancellationToken::new();
    let parts = app.parts();
    let context = app.context(&parts, &cancel);

    let assembly = synthesize(&context, &target, &[]).await.unwrap();
    let question = format!("availability-zones:account={}:region={}", aws.account, aws.region);
    assert_eq!(assembly.missing, [question]);
    assert!(look_up(&context, &aws, &target, &assembly).await.unwrap());
    let assembly = synthesize(&context, &target, &[]).await.unwrap();
    assert!(assembly.missing.is_empty(), "{:?}", assembly.missing);
    let template = app.template(&assembly, "app.template.json");
    assert_eq!(template["Outputs"]["Zone"]["Value"], format!("{}a", aws.region));
    assert!(!look_up(&context, &aws, &target, &assembly).await.unwrap(), "nothing is left to look up");
    assert!(!app.root.join("cdk.context.json").exists(), "the project's file is left alone");

    // What a real account would be asked for in vain is an error there; a local cloud goes on with the dummy, and says so.
    app.write("cdk.json", r#"{ "context": { "unknown": "/no/such/parameter" } }"#);
    let project = Project::find(&app.root).unwrap();
    let context = Context { project: &project, ..context };
    let assembly = synthesize(&context, &target, &[]).await.unwrap();
    assert!(!look_up(&context, &aws, &target, &assembly).await.unwrap());
    let live = app.rewrite(&assembly, &app.discover(&assembly), false);
    assert!(live.notices.iter().any(|notice| notice.contains("/no/such/parameter")), "{:?}", live.notices);
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stacks_of_stages_are_deployed() {
    let app = App::with_main(
        r#"
        import { CfnOutput, NestedStack, Stack, Stage } from "aws-cdk-lib";
        import { Code, Function, Runtime } from "aws-cdk-lib/aws-lambda";

        export default function main(app) {
          const stack = new Stack(new Stage(app, "Prod"), "app");
          const make = (scope, id) => new Function(scope, id, {
            code: Code.fromAsset("code"), handler: "index.handler", runtime: Runtime.NODEJS_22_X,
          });
          make(new NestedStack(stack, "Inner"), "Nested");
          new CfnOutput(stack, "Name", { value: make(stack, "Function").functionName });
          new CfnOutput(stack, "Url", { value: "https://abc.execute-api.us-east-1.amazonaws.com/prod" });
        }
        "#,
    );
    app.write("code/index.js", "exports.handler = async () => 1");
    // This one checks policies, among them that of the bootstrap bucket, which wants TLS.
    let (cloud, aws) = local_cloud(&app, true).await;
    let target = Destination {
        stage: "dev".into(),
        account: aws.account.clone(),
        region: aws.region.clone(),
        debug_stack: None,
        context: Default::default(),
    };
    let (parts, cancel) = (app.parts(), CancellationToken::new());
    let context = app.context(&parts, &cancel);
    let assembly = synthesize(&context, &target, &[]).await.unwrap();
    let live = app.rewrite(&assembly, &app.discover(&assembly), false);
    assert_eq!(live.manifest.functions.len(), 2);
    let environments = assembly.environments(|_| true);
    let missing = lacking(&app.project, &aws, &environments).await.unwrap();
    assert_eq!(missing.len(), 1, "{environments:?}");
    bootstrap(&context, &aws, &missing).await.unwrap();
    assert_eq!(lacking(&app.project, &aws, &environments).await.unwrap(), []);

    let outputs =
        deploy(&context, &aws, &(&live).into(), None).await.unwrap_or_else(|error| panic!("{error:?}"));
    let outputs = &outputs["Prod-app"];
    assert!(outputs["Name"].starts_with("Prod-app-Function"), "{outputs:?}");
    assert_eq!(outputs["Url"], format!("{}/_aws/execute-api/abc/prod", cloud.endpoint()));
    let described =
        aws.cloudformation().describe_stack_resources().stack_name("Prod-app").send().await.unwrap();
    let nested = described
        .stack_resources()
        .iter()
        .find(|one| one.resource_type() == Some("AWS::CloudFormation::Stack"));
    let nested = nested.unwrap().physical_resource_id().unwrap();
    let template = aws.cloudformation().get_template().stack_name(nested).send().await.unwrap();
    assert!(template.template_body().unwrap().contains("provided.al2023"), "the rewritten one");
    cloud.stop().await;
}
