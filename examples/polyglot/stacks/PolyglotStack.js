import { GoFunction } from "@aws-cdk/aws-lambda-go-alpha";
import { PythonFunction } from "@aws-cdk/aws-lambda-python-alpha";
import { CfnOutput, Stack } from "aws-cdk-lib";
import { HttpApi } from "aws-cdk-lib/aws-apigatewayv2";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { Runtime } from "aws-cdk-lib/aws-lambda";
import { NodejsFunction } from "aws-cdk-lib/aws-lambda-nodejs";
import { RustFunction } from "cargo-lambda-cdk";

export class PolyglotStack extends Stack {
  constructor(scope, id, props) {
    super(scope, id, props);
    this.api = new HttpApi(this, "Api");
    const environment = { GREETING: "Hello" };

    this.addRoute("/node/{name}", new NodejsFunction(this, "Node", {
      entry: "services/node/hello.ts",
      runtime: Runtime.NODEJS_22_X,
      environment,
    }));
    this.addRoute("/python/{name}", new PythonFunction(this, "Python", {
      entry: "services/python",
      index: "hello.py",
      runtime: Runtime.PYTHON_3_12,
      environment,
    }));
    this.addRoute("/go/{name}", new GoFunction(this, "Go", { entry: "services/go", environment }));
    this.addRoute("/rust/{name}", new RustFunction(this, "Rust", { manifestPath: "services/rust/Cargo.toml", environment }));

    new CfnOutput(this, "ApiEndpoint", { value: this.api.apiEndpoint });
  }

  addRoute(path, handler) {
    const integration = new HttpLambdaIntegration(`${handler.node.id}Integration`, handler);
    this.api.addRoutes({ path, integration });
  }
}
