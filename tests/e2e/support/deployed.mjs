// Functions that are deployed without `sst`: what a test makes in a cloud, and what there is to be said of them.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { repository, until } from "./sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const lambda = require("@aws-sdk/client-lambda");

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
    this.client = new lambda.LambdaClient({ endpoint, region, credentials: { accessKeyId: "test", secretAccessKey: "test" } });
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

  /** Deploys a function of these files, and waits until it can be called. */
  async create(name, files, options) {
    await this.client.send(new lambda.CreateFunctionCommand({ FunctionName: name, Code: { ZipFile: zipped(files) }, ...options }));
    await this.rested(name);
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
    const { RevisionId, LastModified, LastUpdateStatus, LastUpdateStatusReason, LastUpdateStatusReasonCode, ...rest } = Configuration;
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
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(directory, name)), { recursive: true });
    fs.writeFileSync(path.join(directory, name), text);
  }
}
