//! What calls each function, in an app of the CDK's own constructs.

use sst::app::triggers;

use super::support::*;

const APP: &str = r#"
    import { Duration, NestedStack, Stack } from "aws-cdk-lib";
    import { LambdaIntegration, LambdaRestApi, RestApi, TokenAuthorizer } from "aws-cdk-lib/aws-apigateway";
    import { HttpApi, HttpMethod, WebSocketApi, WebSocketStage } from "aws-cdk-lib/aws-apigatewayv2";
    import { HttpLambdaIntegration, WebSocketLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
    import { Alarm, Metric } from "aws-cdk-lib/aws-cloudwatch";
    import { LambdaAction } from "aws-cdk-lib/aws-cloudwatch-actions";
    import { UserPool, UserPoolOperation } from "aws-cdk-lib/aws-cognito";
    import { AttributeType, StreamViewType, Table } from "aws-cdk-lib/aws-dynamodb";
    import { CfnListenerRule, CfnTargetGroup } from "aws-cdk-lib/aws-elasticloadbalancingv2";
    import { Rule, RuleTargetInput, Schedule } from "aws-cdk-lib/aws-events";
    import * as targets from "aws-cdk-lib/aws-events-targets";
    import { Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
    import { CfnTopicRule } from "aws-cdk-lib/aws-iot";
    import { Stream } from "aws-cdk-lib/aws-kinesis";
    import { Alias, CfnEventSourceMapping, Code, Function, Runtime, StartingPosition } from "aws-cdk-lib/aws-lambda";
    import { LambdaDestination } from "aws-cdk-lib/aws-lambda-destinations";
    import { DynamoEventSource, KinesisEventSource, SqsEventSource } from "aws-cdk-lib/aws-lambda-event-sources";
    import { FilterPattern, LogGroup } from "aws-cdk-lib/aws-logs";
    import * as logs from "aws-cdk-lib/aws-logs-destinations";
    import { Bucket, EventType } from "aws-cdk-lib/aws-s3";
    import * as s3 from "aws-cdk-lib/aws-s3-notifications";
    import { CfnSchedule } from "aws-cdk-lib/aws-scheduler";
    import { Topic } from "aws-cdk-lib/aws-sns";
    import { LambdaSubscription } from "aws-cdk-lib/aws-sns-subscriptions";
    import { Queue } from "aws-cdk-lib/aws-sqs";
    import { StateMachine, DefinitionBody } from "aws-cdk-lib/aws-stepfunctions";
    import { LambdaInvoke } from "aws-cdk-lib/aws-stepfunctions-tasks";

    export default function main(app) {
      const stack = new Stack(app, "app");
      const make = (id, more = {}) => new Function(stack, id, {
        code: Code.fromAsset("code"), handler: "index.handler", runtime: Runtime.NODEJS_22_X, ...more,
      });
      const rest = new RestApi(stack, "Rest", { deployOptions: { stageName: "live" } });
      const notes = rest.root.addResource("notes");
      notes.addMethod("GET", new LambdaIntegration(make("List")));
      const authorizer = new TokenAuthorizer(stack, "Tokens", { handler: make("Authorizer") });
      const get = make("Get");
      const alias = new Alias(stack, "Alias", { aliasName: "live", version: get.currentVersion });
      notes.addResource("{id}").addMethod("GET", new LambdaIntegration(alias), { authorizer });
      new LambdaRestApi(stack, "Proxy", { handler: make("Proxied") });
      const http = new HttpApi(stack, "Http", { defaultIntegration: new HttpLambdaIntegration("Fallback", make("Fallback")) });
      http.addRoutes({ path: "/orders/{id}", methods: [HttpMethod.PUT], integration: new HttpLambdaIntegration("Put", make("Put")) });
      const sockets = new WebSocketApi(stack, "Sockets");
      sockets.addRoute("$connect", { integration: new WebSocketLambdaIntegration("Connect", make("Socket")) });
      sockets.addRoute("send", { integration: new WebSocketLambdaIntegration("Send", make("Send")) });
      new WebSocketStage(stack, "Stage", { webSocketApi: sockets, stageName: "dev" });
      make("Url").addFunctionUrl();
      const group = new CfnTargetGroup(stack, "Group", { targetType: "lambda", targets: [{ id: make("Balanced").functionArn }] });
      new CfnListenerRule(stack, "Listener", {
        priority: 1, conditions: [{ field: "path-pattern", pathPatternConfig: { values: ["/shop/*"] } }],
        actions: [{ type: "forward", targetGroupArn: group.ref }],
      });

      const worker = make("Worker");
      worker.addEventSource(new SqsEventSource(new Queue(stack, "Orders", { queueName: "orders.fifo", fifo: true })));
      worker.addEventSource(new KinesisEventSource(new Stream(stack, "Clicks"), { startingPosition: StartingPosition.LATEST }));
      const table = new Table(stack, "Notes", {
        partitionKey: { name: "owner", type: AttributeType.STRING }, sortKey: { name: "number", type: AttributeType.NUMBER },
        stream: StreamViewType.NEW_AND_OLD_IMAGES,
      });
      worker.addEventSource(new DynamoEventSource(table, { startingPosition: StartingPosition.LATEST }));
      new CfnEventSourceMapping(stack, "Foreign", {
        functionName: worker.functionName, eventSourceArn: `arn:aws:sqs:${stack.region}:${stack.account}:theirs`,
      });
      new Topic(new NestedStack(stack, "Inner"), "News").addSubscription(new LambdaSubscription(make("Reader")));
      const bucket = new Bucket(stack, "Uploads");
      bucket.addEventNotification(EventType.OBJECT_CREATED, new s3.LambdaDestination(make("Resize")), { prefix: "in/", suffix: ".png" });
      const timed = make("Timed", { onSuccess: new LambdaDestination(make("After"), { responseOnly: false }) });
      new Rule(stack, "Often", { schedule: Schedule.rate(Duration.minutes(5)), targets: [new targets.LambdaFunction(timed)] });
      new Rule(stack, "Placed", {
        eventPattern: { source: ["shop"], detailType: ["OrderPlaced"] },
        targets: [new targets.LambdaFunction(timed, { event: RuleTargetInput.fromObject({ fixed: true }) })],
      });
      const role = new Role(stack, "Role", { assumedBy: new ServicePrincipal("scheduler.amazonaws.com") });
      new CfnSchedule(stack, "Nightly", {
        flexibleTimeWindow: { mode: "OFF" }, scheduleExpression: "cron(0 3 * * ? *)",
        target: { arn: timed.functionArn, roleArn: role.roleArn },
      });
      const pool = new UserPool(stack, "Users");
      pool.addTrigger(UserPoolOperation.PRE_SIGN_UP, make("PreSignUp"));
      const observer = make("Observer");
      new LogGroup(stack, "Log", { logGroupName: "/shop" })
        .addSubscriptionFilter("Errors", { destination: new logs.LambdaDestination(observer), filterPattern: FilterPattern.literal("ERROR") });
      const metric = new Metric({ namespace: "shop", metricName: "errors" });
      new Alarm(stack, "TooMany", { metric, threshold: 1, evaluationPeriods: 1 }).addAlarmAction(new LambdaAction(observer));
      new CfnTopicRule(stack, "Sensors", {
        topicRulePayload: { sql: "SELECT * FROM 'sensors'", actions: [{ lambda: { functionArn: observer.functionArn } }] },
      });
      const step = new LambdaInvoke(stack, "Pay", { lambdaFunction: make("Step") });
      new StateMachine(stack, "Checkout", { definitionBody: DefinitionBody.fromChainable(step) });
      make("Nobody");
    }
"#;

#[tokio::test]
async fn what_calls_each_function_is_found_in_the_templates() {
    let app = App::with_main(APP);
    app.write("code/index.js", "exports.handler = async () => {};\n");
    let assembly = app.synthesize().await.unwrap();
    let manifest = app.discover(&assembly);
    let found = triggers(&assembly, &manifest.functions);
    let mut lines: Vec<String> = Vec::new();
    for (function, triggers) in &found {
        for trigger in triggers {
            let more = serde_json::to_string(&trigger.more).unwrap();
            let name = trigger.name.as_deref().unwrap_or("-");
            lines.push(format!("{function} <- {}: {} ({name}) {more}", trigger.kind, trigger.text));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
    let trigger = &found[&"app/Get".into()][0];
    assert_eq!((trigger.method.as_deref(), trigger.path.as_deref()), (Some("GET"), Some("/notes/{id}")));
    assert_eq!((trigger.account.as_str(), trigger.region.as_str()), (ACCOUNT, REGION));
    assert!(trigger.logical_id.as_ref().is_some_and(|id| id.starts_with("Rest")), "{trigger:?}");
    assert!(!found.contains_key(&"app/Nobody".into()));
    // What is written for others can be read again.
    let text = serde_json::to_string(&found).unwrap();
    let read: std::collections::BTreeMap<_, _> = serde_json::from_str(&text).unwrap();
    assert_eq!(found, read);
}
