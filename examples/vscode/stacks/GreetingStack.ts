import { CfnOutput, Stack } from "aws-cdk-lib";
import { HttpApi, HttpMethod } from "aws-cdk-lib/aws-apigatewayv2";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { Runtime } from "aws-cdk-lib/aws-lambda";
import { NodejsFunction } from "aws-cdk-lib/aws-lambda-nodejs";
import { Topic } from "aws-cdk-lib/aws-sns";
import { LambdaSubscription } from "aws-cdk-lib/aws-sns-subscriptions";
import type { Construct } from "constructs";

/** An API that greets, and a function that hears of every greeting. */
export class GreetingStack extends Stack {
  constructor(scope: Construct, id: string) {
    super(scope, id);
    const topic = new Topic(this, "Greetings");
    topic.addSubscription(new LambdaSubscription(this.createFunction("Listen", "src/listen.ts")));

    const greet = this.createFunction("Greet", "src/greet.ts", { TOPIC_ARN: topic.topicArn });
    topic.grantPublish(greet);

    const api = new HttpApi(this, "Api");
    const integration = new HttpLambdaIntegration("GreetIntegration", greet);
    api.addRoutes({ path: "/greet/{name}", methods: [HttpMethod.GET], integration });
    new CfnOutput(this, "ApiEndpoint", { value: api.apiEndpoint });
  }

  private createFunction(id: string, entry: string, environment?: Record<string, string>): NodejsFunction {
    return new NodejsFunction(this, id, { entry, environment, runtime: Runtime.NODEJS_22_X });
  }
}
