import { CfnOutput, Stack } from "aws-cdk-lib";
import { HttpApi, HttpMethod } from "aws-cdk-lib/aws-apigatewayv2";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { Runtime } from "aws-cdk-lib/aws-lambda";
import { NodejsFunction } from "aws-cdk-lib/aws-lambda-nodejs";

/** An HTTP API with one route, which `functions/hello.js` answers. */
class ApiStack extends Stack {
  constructor(scope, id, stackName) {
    super(scope, id, { stackName });
    const hello = new NodejsFunction(this, "Hello", { entry: "functions/hello.js", runtime: Runtime.NODEJS_22_X });
    const integration = new HttpLambdaIntegration("HelloIntegration", hello);
    const api = new HttpApi(this, "Api");
    api.addRoutes({ path: "/hello/{name}", methods: [HttpMethod.GET], integration });
    new CfnOutput(this, "ApiEndpoint", { value: api.apiEndpoint });
  }
}

export default function main(app) {
  // Each stage has a stack of its own.
  new ApiStack(app, "api", app.logicalPrefixedName("api"));
}
