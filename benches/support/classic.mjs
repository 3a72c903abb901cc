// What SST 0.69.7 deploys for each function and for its debug stack. All of it comes with the app of its version.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { repository } from "../../tests/e2e/support/sst.mjs";

/** The packages of that version. */
export const modules = path.join(repository, "tests/fixtures/apps/sst-0.69/node_modules");

/** Loads one of them. */
export const load = createRequire(path.join(modules, "../package.json"));

const resources = path.join(modules, "@serverless-stack/resources");

/** Puts the code of a function's stub into a directory: `main` of `index.js`. */
export function unpackStub(directory) {
  execFileSync("python3", ["-m", "zipfile", "-e", path.join(resources, "dist/stub.zip"), directory]);
}

/** Puts the code of the Lambdas between stubs and client into a directory. */
export function copyRelays(directory) {
  fs.cpSync(path.join(resources, "assets/DebugStack"), directory, { recursive: true });
}

/** Has what is in a directory find version 2 of the AWS SDK, which the runtimes of Lambda had at the time. */
export function giveSdk(directory) {
  fs.mkdirSync(path.join(directory, "node_modules"), { recursive: true });
  fs.symlinkSync(path.join(modules, "aws-sdk"), path.join(directory, "node_modules/aws-sdk"));
}

/**
 * The debug stack of that version and a stub, as a template: the functions' code is in `bucket`, as `relays.zip` and `stub.zip`, and the API is
 * at `endpoint` with its id.
 */
export function template(bucket, endpoint, functionId) {
  const code = (name) => ({ S3Bucket: bucket, S3Key: `${name}.zip` });
  const role = { "Fn::GetAtt": ["Role", "Arn"] };
  const add = (Handler, Code, Variables) => ({
    Type: "AWS::Lambda::Function",
    Properties: { Runtime: "nodejs20.x", Handler, Code, Role: role, Timeout: 20, MemorySize: 256, Environment: { Variables } },
  });
  const trust = { Effect: "Allow", Principal: { Service: "lambda.amazonaws.com" }, Action: "sts:AssumeRole" };
  const may = { Effect: "Allow", Action: ["dynamodb:*", "execute-api:ManageConnections"], Resource: "*" };
  const key = [{ AttributeName: "pk", AttributeType: "S" }];
  const Resources = {
    Role: {
      Type: "AWS::IAM::Role",
      Properties: {
        AssumeRolePolicyDocument: { Version: "2012-10-17", Statement: [trust] },
        Policies: [{ PolicyName: "relays", PolicyDocument: { Version: "2012-10-17", Statement: [may] } }],
      },
    },
    Table: {
      Type: "AWS::DynamoDB::Table",
      Properties: { BillingMode: "PAY_PER_REQUEST", AttributeDefinitions: key, KeySchema: [{ AttributeName: "pk", KeyType: "HASH" }] },
    },
    Api: { Type: "AWS::ApiGatewayV2::Api", Properties: { Name: "classic", ProtocolType: "WEBSOCKET", RouteSelectionExpression: "$request.body.action" } },
    Stage: { Type: "AWS::ApiGatewayV2::Stage", Properties: { ApiId: { Ref: "Api" }, StageName: "live", AutoDeploy: true } },
    Stub: add("index.main", code("stub"), { SST_FUNCTION_ID: functionId, SST_DEBUG_ENDPOINT: { "Fn::Sub": `${endpoint}/\${Api}/live` } }),
  };
  for (const name of ["connect", "disconnect", "default"]) {
    const uri = `arn:aws:apigateway:\${AWS::Region}:lambda:path/2015-03-31/functions/\${${name}.Arn}/invocations`;
    Resources[name] = add(`index.${name}`, code("relays"), { TABLE_NAME: { Ref: "Table" } });
    Resources[`${name}Permission`] = {
      Type: "AWS::Lambda::Permission",
      Properties: { Action: "lambda:InvokeFunction", FunctionName: { Ref: name }, Principal: "apigateway.amazonaws.com" },
    };
    Resources[`${name}Integration`] = {
      Type: "AWS::ApiGatewayV2::Integration",
      Properties: { ApiId: { Ref: "Api" }, IntegrationType: "AWS_PROXY", IntegrationUri: { "Fn::Sub": uri } },
    };
    Resources[`${name}Route`] = {
      Type: "AWS::ApiGatewayV2::Route",
      Properties: { ApiId: { Ref: "Api" }, RouteKey: `$${name}`, AuthorizationType: "NONE", Target: { "Fn::Sub": `integrations/\${${name}Integration}` } },
    };
  }
  return { Resources, Outputs: { Stub: { Value: { Ref: "Stub" } }, Endpoint: { Value: { "Fn::Sub": `${endpoint}/\${Api}/live` } } } };
}

/** Zips what is in a directory. */
export function zipped(directory) {
  const archive = `${directory}.zip`;
  const names = fs.readdirSync(directory).filter((name) => !name.startsWith("."));
  execFileSync("python3", ["-m", "zipfile", "-c", archive, ...names.map((name) => path.join(directory, name))]);
  return fs.readFileSync(archive);
}
