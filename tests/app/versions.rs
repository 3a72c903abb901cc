//! A version is published anew when what Lambda versions has changed, and at no other time: it refuses to publish the same twice.

use super::support::*;

/// The id of the version in the template with stubs, of a function with these further properties and this tag.
async fn version(app: &App, properties: &str, tag: &str) -> String {
    let code = r#"
        import { Duration, Stack, Tags } from "aws-cdk-lib";
        import { Alias, Code, Function, Runtime } from "aws-cdk-lib/aws-lambda";

        export default function main(app) {
          const stack = new Stack(app, "app");
          const published = new Function(stack, "Published", {
            code: Code.fromAsset("code"), handler: "index.handler", runtime: Runtime.NODEJS_22_X, timeout: Duration.seconds(3), PROPERTIES
          });
          new Alias(stack, "Alias", { aliasName: "live", version: published.currentVersion });
          Tags.of(published).add("tag", "TAG");
        }
    "#;
    app.write("stacks/index.js", &code.replace("PROPERTIES", properties).replace("TAG", tag));
    let assembly = app.synthesize().await.unwrap();
    let live = app.rewrite(&assembly, &app.discover(&assembly), false);
    let resources = live.templates[0].body["Resources"].as_object().unwrap();
    let versions = resources.iter().filter(|(_, resource)| resource["Type"] == "AWS::Lambda::Version");
    let versions: Vec<_> = versions.map(|(id, _)| id.clone()).collect();
    assert_eq!(versions.len(), 1);
    versions[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_lambda_versions_makes_another_version() {
    let app = App::with_main("");
    app.write("code/index.js", "exports.handler = async () => 1");
    let first = version(&app, "", "a").await;
    app.write("code/index.js", "exports.handler = async () => 2");
    assert_eq!(version(&app, "", "a").await, first, "the code is on this machine");
    assert_eq!(version(&app, "", "b").await, first, "another tag");
    assert_eq!(version(&app, "reservedConcurrentExecutions: 3", "a").await, first);
    for changed in [
        "memorySize: 256",
        "description: 'another'",
        "environment: { A: 'b' }",
        "timeout: Duration.seconds(9)",
    ] {
        assert_ne!(version(&app, changed, "a").await, first, "{changed}");
    }
}
