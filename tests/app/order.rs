//! What a stub may do is there before the stub, and before whatever sends it events.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sst::app::{Assembly, Rewritten};

use super::support::*;

/// What each resource of a template needs to be there first, directly or through others. Fails when that is a circle.
fn needs(template: &Value) -> BTreeMap<String, BTreeSet<String>> {
    fn names(value: &Value, found: &mut BTreeSet<String>) {
        let add = |name: &str, found: &mut BTreeSet<String>| {
            found.extend(name.split('.').next().map(str::to_owned));
        };
        match value {
            Value::Array(items) => items.iter().for_each(|item| names(item, found)),
            Value::Object(fields) => {
                for (key, field) in fields {
                    match (key.as_str(), field) {
                        ("Ref" | "DependsOn" | "Fn::GetAtt", Value::String(name)) => add(name, found),
                        ("Fn::GetAtt", Value::Array(both)) => add(both[0].as_str().unwrap(), found),
                        ("DependsOn", Value::Array(all)) => {
                            all.iter().for_each(|one| add(one.as_str().unwrap(), found))
                        }
                        ("Fn::Sub", Value::String(text)) => {
                            text.split("${")
                                .skip(1)
                                .for_each(|rest| add(rest.split('}').next().unwrap(), found));
                        }
                        _ => names(field, found),
                    }
                }
            }
            _ => {}
        }
    }
    let resources = template["Resources"].as_object().unwrap();
    let mut direct: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (id, resource) in resources {
        let mut found = BTreeSet::new();
        names(resource, &mut found);
        found.retain(|name| resources.contains_key(name));
        direct.insert(id, found);
    }
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    while all.len() < direct.len() {
        let next = direct
            .iter()
            .find(|(id, needs)| !all.contains_key(**id) && needs.iter().all(|need| all.contains_key(need)))
            .unwrap_or_else(|| {
                let left: Vec<_> = direct.keys().filter(|id| !all.contains_key(**id)).collect();
                panic!("a circle among {left:?}")
            });
        let mut found = next.1.clone();
        for need in next.1 {
            found.extend(all[need].iter().cloned());
        }
        all.insert((*next.0).to_owned(), found);
    }
    all
}

/// The policies of a template: id → the roles.
fn policies(template: &Value) -> BTreeMap<&str, BTreeSet<&str>> {
    let resources = template["Resources"].as_object().unwrap();
    let policies = resources.iter().filter(|(id, _)| id.starts_with("SstStubPolicy"));
    policies
        .map(|(id, policy)| {
            let roles = policy["Properties"]["Roles"].as_array().unwrap();
            (id.as_str(), roles.iter().map(|role| role["Ref"].as_str().unwrap()).collect())
        })
        .collect()
}

/// The one resource of an app whose path in the construct tree ends so: its id in its template.
fn at<'a>(assembly: &'a Assembly, end: &str) -> &'a str {
    let all = assembly.templates.iter().flat_map(|template| template.resources());
    let of_path = all.filter(|(_, resource)| {
        resource["Metadata"]["aws:cdk:path"].as_str().is_some_and(|path| path.ends_with(&format!("/{end}")))
    });
    let found: Vec<&String> = of_path.map(|(id, _)| id).collect();
    let [id] = found[..] else { panic!("{end}: {found:?}") };
    id
}

/// Every stub comes after the policy with its role, as far as that is in the same template.
fn assert_policies_first(live: &Rewritten) {
    for template in &live.templates {
        let (needs, policies) = (needs(&template.body), policies(&template.body));
        let roles: Vec<&str> = policies.values().flatten().copied().collect();
        assert_eq!(roles.iter().collect::<BTreeSet<_>>().len(), roles.len(), "each role has one policy");
        for function in live.manifest.functions.iter().filter(|function| function.stack == template.stack) {
            let Some(needed) = needs.get(&function.logical_id) else { continue };
            for (policy, roles) in &policies {
                let is_its = needed.iter().any(|need| roles.contains(need.as_str()));
                assert!(!is_its || needed.contains(*policy), "{} does not come after {policy}", function.id);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_comes_before_its_stubs_and_what_sends_them_events() {
    let app = App::with_main(
        r#"
        import { CfnCondition, Fn, NestedStack, Stack } from "aws-cdk-lib";
        import { Effect, ManagedPolicy, PolicyDocument, PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
        import { Alias, Code, Function, Runtime } from "aws-cdk-lib/aws-lambda";
        import { SqsEventSource } from "aws-cdk-lib/aws-lambda-event-sources";
        import { LambdaFunction } from "aws-cdk-lib/aws-events-targets";
        import { Rule, Schedule } from "aws-cdk-lib/aws-events";
        import { Topic } from "aws-cdk-lib/aws-sns";
        import { LambdaSubscription } from "aws-cdk-lib/aws-sns-subscriptions";
        import { Queue } from "aws-cdk-lib/aws-sqs";

        export default function main(app) {
          const stack = new Stack(app, "app");
          const make = (scope, id, props) => new Function(scope, id, {
            code: Code.fromAsset("code"), handler: "index.handler", runtime: Runtime.NODEJS_22_X, ...props,
          });
          const role = (id, props) => new Role(stack, id, { assumedBy: new ServicePrincipal("lambda.amazonaws.com"), ...props });
          const called = make(stack, "Called");
          called.addEventSource(new SqsEventSource(new Queue(stack, "Queue")));
          new Topic(stack, "Topic").addSubscription(new LambdaSubscription(called));
          new Rule(stack, "Rule", { schedule: Schedule.expression("rate(1 day)"), targets: [new LambdaFunction(called)] });
          new Alias(stack, "Alias", { aliasName: "live", version: called.currentVersion });
          called.addFunctionUrl();

          // Its role needs the one that it calls, and that of the next one needs this one, by a policy between them.
          const statement = (of) => new PolicyStatement({ effect: Effect.ALLOW, actions: ["lambda:InvokeFunction"], resources: [of.functionArn] });
          const inline = { Call: new PolicyDocument({ statements: [statement(called)] }) };
          const caller = make(stack, "Caller", { role: role("CallerRole", { inlinePolicies: inline }) });
          const managed = new ManagedPolicy(stack, "Managed", { statements: [statement(caller)] });
          make(stack, "Outer", { role: role("OuterRole", { managedPolicies: [managed] }) });

          // What depends on something already, in a text of its own.
          make(stack, "Text").node.defaultChild.addOverride("DependsOn", stack.getLogicalId(managed.node.defaultChild));

          const condition = new CfnCondition(stack, "Sometimes", { expression: Fn.conditionEquals("a", "b") });
          const conditional = make(stack, "Conditional");
          for (const one of [conditional, conditional.role]) one.node.defaultChild.cfnOptions.condition = condition;

          // With a role of the stack around it, and with one of its own.
          const inner = new NestedStack(stack, "Inner");
          make(inner, "Nested", { role: role("NestedRole") });
          make(inner, "NestedOwn");
        }
        "#,
    );
    app.write("code/index.js", "exports.handler = async () => 1");
    let assembly = app.synthesize().await.unwrap();
    // Roles that have the policy of the debug stack need nothing else.
    let live = app.rewrite(&assembly, &app.discover(&assembly), false);
    for (live, before) in live.templates.iter().zip(&assembly.templates) {
        assert_eq!(ids_of(&live.body, "AWS::IAM::Policy"), ids_of(&before.body, "AWS::IAM::Policy"));
        let (needed, before) = (needs(&live.body), needs(&before.body));
        for id in ids_of(&live.body, "AWS::Lambda::Function") {
            assert_eq!(needed[id], before[id], "{id}");
        }
    }
    assert_eq!(live.manifest.functions.len(), 7, "{:?}", live.manifest.left_alone);

    let live = app.rewrite_without_policy(&assembly, &app.discover(&assembly));
    assert_eq!(live.manifest.functions.len(), 7, "{:?}", live.manifest.left_alone);
    assert_consistent(&live);
    assert_policies_first(&live);

    let [outer, inner] = &live.templates[..] else { panic!("two templates") };
    let id = |end: &str| at(&assembly, end);
    let (own, managed) = (id("CallerRole/Resource"), id("OuterRole/Resource"));
    let (of_own, of_managed) = (format!("SstStubPolicy{own}"), format!("SstStubPolicy{managed}"));
    let shared = ["Called/ServiceRole/Resource", "Text/ServiceRole/Resource", "NestedRole/Resource"].map(id);
    let expected: BTreeMap<&str, BTreeSet<&str>> = [
        ("SstStubPolicy", shared.into()),
        ("SstStubPolicySometimes", [id("Conditional/ServiceRole/Resource")].into()),
        (of_own.as_str(), [own].into()),
        (of_managed.as_str(), [managed].into()),
    ]
    .into();
    assert_eq!(policies(&outer.body), expected);
    let conditions: Vec<&Value> = expected
        .keys()
        .map(|id| &outer.body["Resources"][id]["Condition"])
        .filter(|one| !one.is_null())
        .collect();
    assert_eq!(conditions, ["Sometimes"]);
    let text = &outer.body["Resources"][id("Text/Resource")]["DependsOn"];
    assert_eq!(text, &serde_json::json!([id("Managed/Resource"), "SstStubPolicy"]));

    // Whatever needs a function, or has one in it, comes after its policy.
    let needs_of = needs(&outer.body);
    let called = id("Called/Resource");
    let senders: Vec<&str> = (needs_of.iter())
        .filter(|(_, needs)| needs.contains(called))
        .map(|(id, _)| outer.body["Resources"][id]["Type"].as_str().unwrap())
        .collect();
    for kind in [
        "AWS::Lambda::EventSourceMapping",
        "AWS::Lambda::Permission",
        "AWS::Lambda::Alias",
        "AWS::Lambda::Url",
        "AWS::SNS::Subscription",
        "AWS::Events::Rule",
    ] {
        assert!(senders.contains(&kind), "{kind} in {senders:?}");
    }
    assert!((needs_of.values()).all(|needs| !needs.contains(called) || needs.contains("SstStubPolicy")));
    let nested = ids_of(&outer.body, "AWS::CloudFormation::Stack").into_iter().next().unwrap();
    assert!(needs_of[nested].contains("SstStubPolicy"));
    assert_eq!(policies(&inner.body).len(), 1);

    // What goes back to its own code depends on nothing more.
    let own = app.rewrite(&assembly, &Default::default(), false);
    for (own, before) in own.templates.iter().zip(&assembly.templates) {
        assert_eq!(own.body["Resources"], before.body["Resources"]);
    }
}
