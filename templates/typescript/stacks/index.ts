import { type App, CfnOutput, Stack } from "aws-cdk-lib";
import { HttpApi, HttpMethod } from "aws-cdk-lib/aws-apigatewayv2";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { Runtime } from "aws-cdk-lib/aws-lambda";
import { NodejsFunction } from "aws-cdk-lib/aws-lambda-nodejs";
import type { Construct } from "constructs";

/** What `sst` gives to `main`: an app of the CDK that knows its name and stage. */
interface StagedApp extends App {
  logicalPrefixedName(name: string): string;
}

/** An HTTP API with one route, which `functions/hello.ts` answers. */
class ApiStack extends Stack {
  constructor(scope: Construct, id: string, stackName: string) {
    super(scope, id, { stackName });
    const hello = new NodejsFunction(this, "Hello", { entry: "functions/hello.ts", runtime: Runtime.NODEJS_22_X });
    const integration = new HttpLambdaIntegration("HelloIntegration", hello);
    const api = new HttpApi(this, "Api");
    api.addRoutes({ path: "/hello/{name}", methods: [HttpMethod.GET], integration });
    new CfnOutput(this, "ApiEndpoint", { value: api.apiEndpoint });
  }
}

export default function main(app: StagedApp): void {
  // Each stage has a stack of its own.
  new ApiStack(app, "api", app.logicalPrefixedName("api"));
}
