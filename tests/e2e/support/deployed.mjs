// Functions that are deployed without `sst`: what a test makes in a cloud, and what there is to be said of them.

import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";

import { repository, until, writeInto } from "./sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const lambda = require("@aws-sdk/client-lambda");
const s3 = require("@aws-sdk/client-s3");

/** Asks a service that speaks AWS's query protocol, such as IAM and CloudFormation. */
export async function query({ endpoint, region }, service, parameters) {
  const scope = `test/20260101/${region}/${service}/aws4_request`;
  const answer = await fetch(endpoint, {
    method: "POST",
    headers: { authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=0` },
    body: new URLSearchParams(parameters),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${service} ${parameters.Action}: ${text}`);
  return text;
}

/** A zip archive of these files, by name. */
export function zipped(files) {
  const script = `
import io, json, sys, zipfile
out = io.BytesIO()
with zipfile.ZipFile(out, "w") as archive:
    for name, text in json.load(sys.stdin).items():
        info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
        info.external_attr = 0o755 << 16
        archive.writestr(info, text)
sys.stdout.buffer.write(out.getvalue())`;
  return execFileSync("python3", ["-c", script], { input: JSON.stringify(files), maxBuffer: 1 << 26 });
}

/** A cloud in which functions are deployed. */
export class Deployed {
  constructor({ endpoint, region }) {
    this.place = { endpoint, region };
    const options = { endpoint, region, credentials: { accessKeyId: "test", secretAccessKey: "test" } };
    this.client = new lambda.LambdaClient(options);
    this.s3 = new s3.S3Client({ ...options, forcePathStyle: true });
  }

  /** What `sst` needs to know to find it. */
  get environment() {
    const { endpoint, region } = this.place;
    return { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_REGION: region, AWS_ENDPOINT_URL: endpoint };
  }

  /** Makes a role that functions can have. Returns its ARN. */
  async role(name) {
    const trust = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Principal: { Service: "lambda.amazonaws.com" }, Action: "sts:AssumeRole" }] };
    const text = await query(this.place, "iam", {
      Action: "CreateRole",
      Version: "2010-05-08",
      RoleName: name,
      AssumeRolePolicyDocument: JSON.stringify(trust),
    });
    return /<Arn>([^<]+)<\/Arn>/.exec(text)[1];
  }

  /** Uploads these files as an archive. Returns the `Code` of a function in a template. */
  async upload(key, files) {
    await this.s3.send(new s3.CreateBucketCommand({ Bucket: "artifacts" }));
    await this.s3.send(new s3.PutObjectCommand({ Bucket: "artifacts", Key: key, Body: zipped(files) }));
    return { S3Bucket: "artifacts", S3Key: key };
  }

  /** Deploys a stack with CloudFormation, and returns the names of its resources by their logical ids. */
  async stack(name, template) {
    const version = "2010-05-15";
    const ask = (parameters) => query(this.place, "cloudformation", { Version: version, StackName: name, ...parameters });
    await ask({ Action: "CreateStack", TemplateBody: JSON.stringify(template), "Capabilities.member.1": "CAPABILITY_IAM" });
    await until(`the stack ${name}`, async () => {
      const text = await ask({ Action: "DescribeStacks" });
      if (/FAILED|ROLLBACK/.test(text)) throw new Error(text);
      return text.includes("<StackStatus>CREATE_COMPLETE<");
    });
    const text = await ask({ Action: "ListStackResources" });
    const member = /<LogicalResourceId>([^<]+)<\/LogicalResourceId>|<PhysicalResourceId>([^<]+)<\/PhysicalResourceId>/g;
    const names = {};
    for (const one of text.split("<member>").slice(1)) {
      const found = [...one.matchAll(member)];
      const logical = found.find((match) => match[1])?.[1];
      names[logical] = found.find((match) => match[2])?.[2];
    }
    return names;
  }

  /** Deploys a function of these files, and waits until it can be called. */
  async create(name, files, options) {
    await this.client.send(new lambda.CreateFunctionCommand({ FunctionName: name, Code: { ZipFile: zipped(files) }, ...options }));
    await this.rested(name);
  }

  /** The names of all functions that begin so. */
  async names(beginning) {
    const { Functions } = await this.client.send(new lambda.ListFunctionsCommand({}));
    return Functions.map((one) => one.FunctionName).filter((name) => name.startsWith(beginning));
  }

  /** Waits until no update of a function is under way. */
  rested(name) {
    return until(`${name} at rest`, async () => {
      const { Configuration } = await this.client.send(new lambda.GetFunctionCommand({ FunctionName: name }));
      return Configuration.LastUpdateStatus !== "InProgress" && Configuration.State !== "Pending";
    });
  }

  /** Calls a function: its result, or its error. */
  async call(name, event = {}) {
    const answer = await this.client.send(new lambda.InvokeCommand({ FunctionName: name, Payload: JSON.stringify(event) }));
    const value = JSON.parse(Buffer.from(answer.Payload).toString() || "null");
    return answer.FunctionError ? { error: value } : { value };
  }

  /** Everything that Lambda and IAM say of a function, but for what each update changes. */
  async described(name) {
    const { Configuration, Tags, Concurrency } = await this.client.send(new lambda.GetFunctionCommand({ FunctionName: name }));
    const { RevisionId, LastModified, LastUpdateStatus, LastUpdateStatusReason, LastUpdateStatusReasonCode, StateReason, StateReasonCode, ...rest } = Configuration;
    // AWS says nothing of variables that there are none of; the local cloud does once they have been set.
    if (Object.keys(rest.Environment?.Variables ?? {}).length === 0) delete rest.Environment;
    const role = rest.Role.split("/").at(-1);
    const policies = await query(this.place, "iam", { Action: "ListAttachedRolePolicies", Version: "2010-05-08", RoleName: role });
    const attached = [...policies.matchAll(/<PolicyArn>([^<]+)<\/PolicyArn>/g)].map((match) => match[1]).sort();
    return { ...rest, Tags: Tags ?? {}, Concurrency: Concurrency ?? null, attached };
  }

  /** Changes the code of a function, as its own tool would. */
  async deploy(name, files) {
    await this.client.send(new lambda.UpdateFunctionCodeCommand({ FunctionName: name, ZipFile: zipped(files) }));
    await this.rested(name);
  }
}

/** Writes files into a directory. */
export function write(directory, files) {
  for (const [name, text] of Object.entries(files)) writeInto(directory, name, text);
}
