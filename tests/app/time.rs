//! How much time stubs have: more than their functions, as far as nothing refuses that.

use serde_json::{Value, json};
use sst_wire::StubConfig;

use super::support::*;

const APP: &str = r#"
    import { CfnParameter, Duration, Stack } from "aws-cdk-lib";
    import { Code, Function, Runtime } from "aws-cdk-lib/aws-lambda";
    import { SqsEventSource } from "aws-cdk-lib/aws-lambda-event-sources";
    import { Queue } from "aws-cdk-lib/aws-sqs";

    export default function main(app) {
      const stack = new Stack(app, "app");
      const make = (id, seconds) => new Function(stack, id, {
        code: Code.fromAsset("code"), handler: "index.handler", runtime: Runtime.NODEJS_22_X,
        timeout: seconds && Duration.seconds(seconds),
      });
      const queue = (id, seconds) => new Queue(stack, id, { visibilityTimeout: seconds && Duration.seconds(seconds) });
      const on = (id, seconds, ...queues) => {
        const made = make(id, seconds);
        for (const one of queues) made.addEventSource(new SqsEventSource(one));
      };
      make("Default");
      make("Declared", 29);
      make("NearlyLongest", 895);
      make("Longest", 900);
      const parameter = new CfnParameter(stack, "Seconds", { type: "Number", default: 5 });
      make("Parameter").node.defaultChild.timeout = parameter.valueAsNumber;
      on("OnLong", 20, queue("Long", 120));
      on("OnShort", 20, queue("Short", 25));
      on("OnEqual", 30, queue("Equal"));
      on("OnBoth", 20, queue("Both", 120), queue("Both2", 22));
      const unknown = queue("Unknown");
      unknown.node.defaultChild.visibilityTimeout = parameter.valueAsNumber;
      on("OnUnknown", 3, unknown);
      const arn = `arn:aws:sqs:${stack.region}:123456789012:foreign`;
      on("OnForeign", 7, Queue.fromQueueArn(stack, "Foreign", arn));
    }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn stubs_have_more_time_than_their_functions_where_they_may() {
    let app = App::with_main(APP);
    app.write("code/index.js", "exports.handler = async () => 1");
    let assembly = app.synthesize().await.unwrap();
    let manifest = app.discover(&assembly);
    let timeouts = |increase: bool| -> Vec<(String, Value, Option<u64>, Option<u64>)> {
        let live = app.rewrite(&assembly, &manifest, increase);
        assert_consistent(&live);
        let template = live_template(&live, "app.template.json");
        let of = |name: &str| {
            let id = format!("app/{name}");
            let function = manifest.functions.iter().find(|function| function.id.as_str() == id).unwrap();
            let properties = &template["Resources"][&function.logical_id]["Properties"];
            let variables = &properties["Environment"]["Variables"];
            let config: StubConfig = serde_json::from_str(variables["SST_STUB"].as_str().unwrap()).unwrap();
            (name.to_owned(), properties["Timeout"].clone(), config.timeout_s, function.timeout_s)
        };
        let names = [
            "Default",
            "Declared",
            "NearlyLongest",
            "Longest",
            "Parameter",
            "OnLong",
            "OnShort",
            "OnEqual",
            "OnBoth",
            "OnUnknown",
            "OnForeign",
        ];
        names.map(of).into()
    };
    // What is deployed, what the stub knows of its function, and what that is told.
    let of = |name: &str, deployed, known, declared: u64| (name.to_owned(), deployed, known, Some(declared));
    let parameter = json!({ "Ref": "Seconds" });
    assert_eq!(
        timeouts(false),
        [
            of("Default", json!(13), Some(3), 3),
            of("Declared", json!(39), Some(29), 29),
            of("NearlyLongest", json!(900), Some(895), 895),
            of("Longest", json!(900), None, 900),
            // Only the deployment tells its time.
            ("Parameter".to_owned(), parameter.clone(), None, None),
            of("OnLong", json!(30), Some(20), 20),
            // A queue may hide a message for no less than its function may run.
            of("OnShort", json!(25), Some(20), 20),
            of("OnEqual", json!(30), None, 30),
            of("OnBoth", json!(22), Some(20), 20),
            of("OnUnknown", json!(3), None, 3),
            of("OnForeign", json!(7), None, 7),
        ]
    );
    for (name, deployed, known, declared) in timeouts(true) {
        let expected = if name == "OnForeign" { 7 } else { 900 };
        assert_eq!((deployed, known), (json!(expected), None), "{name} {declared:?}");
    }
    // With its own code each has its own time.
    let own = app.rewrite(&assembly, &Default::default(), false);
    assert_eq!(own.templates[0].body, assembly.templates[0].body);
}
