//! The stubs of somebody else are deployed as they are.

use std::collections::BTreeMap;

use serde_json::Value;
use sst::{
    app::{Kept, Rewritten, kept},
    ids::FunctionId,
    project::{Choice, SERVES_DEPLOYMENT, manifest::Manifest},
};

use super::support::*;

const APP: &str = r#"
    import { CustomResource, Duration, NestedStack, Stack } from "aws-cdk-lib";
    import { Alias, Code, Function, Runtime } from "aws-cdk-lib/aws-lambda";
    import { SqsEventSource } from "aws-cdk-lib/aws-lambda-event-sources";
    import { Queue } from "aws-cdk-lib/aws-sqs";

    export default function main(app) {
      const stack = new Stack(app, "app");
      const make = (scope, id, props) => new Function(scope, id, {
        code: Code.fromAsset("code"), handler: "index.handler", runtime: Runtime.NODEJS_22_X, ...props,
      });
      make(stack, "Mine", { timeout: Duration.seconds(7) });
      make(stack, "Nobodys", { timeout: Duration.seconds(7) });
      make(stack, "Theirs", { timeout: Duration.seconds(7), environment: { NAME: "value", LD_PRELOAD: "x" } });
      const queue = new Queue(stack, "Queue", { visibilityTimeout: Duration.seconds(60) });
      make(stack, "TheirsOnQueue", { retryAttempts: 2 }).addEventSource(new SqsEventSource(queue));
      new Alias(stack, "Alias", { aliasName: "live", version: make(stack, "TheirsPublished").currentVersion });
      make(new NestedStack(stack, "Inner"), "TheirsNested");
      new CustomResource(stack, "Custom", { serviceToken: make(stack, "Provider").functionArn });
    }
"#;

/// What differs between two rewritten assemblies: the ids of resources, behind the paths of their templates.
fn differing(one: &Rewritten, other: &Rewritten) -> Vec<String> {
    let mut found = Vec::new();
    for (one, other) in one.templates.iter().zip(&other.templates) {
        let resources = |body: &Value| body["Resources"].as_object().unwrap().clone();
        let (mine, theirs) = (resources(&one.body), resources(&other.body));
        for id in mine.keys().chain(theirs.keys().filter(|id| !mine.contains_key(*id))) {
            // Byte for byte, the order of keys included.
            let text = |resources: &serde_json::Map<String, Value>| resources.get(id).map(Value::to_string);
            // A nested template is named by its hash, and is looked at by itself.
            if text(&mine) != text(&theirs)
                && !text(&mine).is_some_and(|text| text.contains("AWS::CloudFormation::Stack"))
            {
                found.push(format!("{}{id}", one.path));
            }
        }
    }
    found
}

/// The manifest of whoever runs only what matches these.
fn choose(manifest: &Manifest, patterns: &[&str]) -> Manifest {
    let patterns: Vec<String> = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    let mut manifest = manifest.clone();
    Choice::new(&patterns, &[]).unwrap().apply(&mut manifest).unwrap();
    manifest
}

/// What is deployed of them, as it is read from CloudFormation.
fn deployed(mut kept: Kept, by: &Rewritten) -> Kept {
    for stub in kept.values_mut() {
        let at = |template: &&sst::app::DeployedTemplate| {
            (&template.stack, &template.path) == (&stub.place.stack, &stub.place.path)
        };
        let template = by.templates.iter().find(at).unwrap();
        stub.deployed = template.body["Resources"][&stub.place.logical_id].as_object().cloned();
        assert!(stub.deployed.is_some(), "{:?}", stub.place);
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stubs_of_others_stay_as_they_are() {
    let app = App::with_main(APP);
    app.write("code/index.js", "exports.handler = async () => 1");
    let assembly = app.synthesize().await.unwrap();
    let all = app.discover(&assembly);
    assert!(
        all.left_alone.iter().any(|function| function.reason == SERVES_DEPLOYMENT),
        "{:?}",
        all.left_alone
    );

    // Alice runs theirs, with another build of the stub, and with more time.
    let alices = app.rewrite(&assembly, &choose(&all, &["Theirs*"]), true);
    app.write("stub", "another executable");
    let mine = choose(&all, &["Mine"]);
    let ids = ["Theirs", "TheirsOnQueue", "TheirsPublished", "Inner/TheirsNested", "Provider"];
    let served: BTreeMap<FunctionId, String> =
        ids.iter().map(|id| (FunctionId::from(format!("app/{id}")), "alice@laptop".to_owned())).collect();
    let found = kept(&assembly, &mine, &served);
    let kept_ids: Vec<&str> = found.keys().map(FunctionId::as_str).collect();
    assert_eq!(
        kept_ids,
        ["app/Inner/TheirsNested", "app/Theirs", "app/TheirsOnQueue", "app/TheirsPublished"],
        "during a deployment nobody would answer"
    );
    assert_eq!(found[&FunctionId::from("app/Theirs")].owner, "alice@laptop");

    let bobs = app.rewrite_beside(&assembly, &mine, false, &deployed(found.clone(), &alices));
    assert_eq!(bobs.manifest.functions.len(), 1, "he runs only his own");
    assert_eq!(bobs.notices, [] as [&str; 0]);
    let own = mine.functions[0].logical_id.clone();
    // Of what was there, only his function differs, and what allows its stub to reach him.
    let role = assembly.templates[0].body["Resources"][&own]["Properties"]["Role"]["Fn::GetAtt"][0].clone();
    let expected = [role.as_str().unwrap().to_owned(), own.clone()];
    let mut differs = differing(&alices, &bobs);
    differs.sort();
    let mut sorted = expected.to_vec();
    sorted.sort();
    assert_eq!(differs, sorted);
    assert_consistent(&bobs);

    // What nobody serves keeps its own code, as without anybody.
    let alone = app.rewrite(&assembly, &mine, false);
    let without = app.rewrite_beside(&assembly, &mine, false, &Kept::new());
    assert_eq!(differing(&alone, &without), [] as [&str; 0]);
    assert!(differing(&alone, &bobs).iter().any(|id| id.contains("Theirs")));
    let nobodys = all.functions.iter().find(|function| function.id.as_str() == "app/Nobodys").unwrap();
    let template = &bobs.templates[0].body;
    assert_eq!(template["Resources"][&nobodys.logical_id]["Properties"]["Runtime"], "nodejs22.x");

    // Of one that is about to be deployed, nothing is known: it becomes a stub like any other.
    let early = app.rewrite_beside(&assembly, &mine, false, &found);
    let usual = app.rewrite(&assembly, &choose(&all, &["Theirs*", "Mine"]), false);
    assert_eq!(differing(&usual, &early), [] as [&str; 0]);

    // Both together are what one would be who runs all of it as they do.
    let (bobs, both) = (
        app.rewrite_beside(&assembly, &mine, true, &deployed(found, &app.rewrite(&assembly, &all, true))),
        app.rewrite(&assembly, &choose(&all, &["Theirs*", "Mine"]), true),
    );
    assert_eq!(differing(&both, &bobs), [] as [&str; 0]);
}
