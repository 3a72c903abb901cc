import { execFileSync } from "node:child_process";
import fs from "node:fs";

import { CfnOutput, Duration, Stack } from "aws-cdk-lib";
import { HttpApi, HttpMethod } from "aws-cdk-lib/aws-apigatewayv2";
import { HttpLambdaIntegration } from "aws-cdk-lib/aws-apigatewayv2-integrations";
import { Code, Function, Runtime } from "aws-cdk-lib/aws-lambda";

/** The project of Maven that the function is. */
const HELLO = "functions/hello";

/** An HTTP API with one route, which `functions/hello/src/main/java/hello/Hello.java` answers. */
class ApiStack extends Stack {
  constructor(scope, id, stackName) {
    super(scope, id, { stackName });
    const hello = new Function(this, "Hello", {
      code: Code.fromAsset(HELLO, { bundling: { image: Runtime.JAVA_17.bundlingImage, local: { tryBundle } } }),
      handler: "hello.Hello::handle",
      runtime: Runtime.JAVA_17,
      memorySize: 512,
      timeout: Duration.seconds(15),
    });
    const integration = new HttpLambdaIntegration("HelloIntegration", hello);
    const api = new HttpApi(this, "Api");
    api.addRoutes({ path: "/hello/{name}", methods: [HttpMethod.GET], integration });
    new CfnOutput(this, "ApiEndpoint", { value: api.apiEndpoint });
  }
}

/** What is deployed: the classes and what they depend on. Not needed for `sst start`, which runs the project itself. */
function tryBundle(output) {
  const goals = ["compile", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=target/lib"];
  execFileSync("mvn", ["-q", "-B", ...goals], { cwd: HELLO, stdio: "inherit" });
  fs.cpSync(`${HELLO}/target/classes`, output, { recursive: true });
  if (fs.existsSync(`${HELLO}/target/lib`)) fs.cpSync(`${HELLO}/target/lib`, `${output}/lib`, { recursive: true });
  return true;
}

export default function main(app) {
  // Each stage has a stack of its own.
  new ApiStack(app, "api", app.logicalPrefixedName("api"));
}
