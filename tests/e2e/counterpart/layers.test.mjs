// A layer by its ARN, as AWS hands it out: asked for with a signature, and downloaded by an address that has one of its own.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import crypto from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";
import { repository } from "../support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { GetObjectCommand, PutObjectCommand, S3Client } = require("@aws-sdk/client-s3");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");

const ARN = "arn:aws:lambda:eu-central-1:017000801446:layer:Of-others_1:7";

const APP = `
const { App, CfnOutput, Stack } = require("aws-cdk-lib");
const { Code, Function: LambdaFunction, LayerVersion, Runtime } = require("aws-cdk-lib/aws-lambda");

const stack = new Stack(new App(), "counterpart");
const layers = [LayerVersion.fromLayerVersionArn(stack, "Layer", "${ARN}")];
const code = Code.fromAsset("functions");
const created = new LambdaFunction(stack, "layered", { code, layers, runtime: Runtime.NODEJS_22_X, handler: "layered.handler" });
new CfnOutput(stack, "Function", { value: created.functionName });
`;

const FUNCTION = `
exports.handler = async () => {
  try {
    return require("of-layer");
  } catch (error) {
    return error.code;
  }
};
`;

const ARCHIVE = `
import io, sys, zipfile
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w") as files:
    files.writestr("nodejs/node_modules/of-layer/index.js", "module.exports = 'of layer';")
sys.stdout.buffer.write(archive.getvalue())
`;

describe("a layer by its ARN", () => {
  const archive = execFileSync("python3", ["-c", ARCHIVE]);
  let deployed;
  let counterpart;
  let app;
  let bucket;
  let s3;

  before(async () => {
    deployed = await Deployed.prepare();
    ({ counterpart } = deployed);
    deployed.names = {};
    app = deployed.copy();
    fs.writeFileSync(path.join(app, "app.js"), APP);
    fs.writeFileSync(path.join(app, "functions/layered.js"), FUNCTION);
    ({ bucket } = await counterpart.debugStack());
    s3 = new S3Client({ ...counterpart.clientOptions(), forcePathStyle: true });
    await put(archive);
    const location = await getSignedUrl(s3, new GetObjectCommand({ Bucket: bucket, Key: "snapshots/layer+7" }), { expiresIn: 600 });
    const sha256 = crypto.createHash("sha256").update(archive).digest("base64");
    await counterpart.ask("layer", { arn: ARN, location, sha256, size: archive.length });
  });
  after(() => deployed?.close());

  const put = (Body) => s3.send(new PutObjectCommand({ Bucket: bucket, Key: "snapshots/layer+7", Body }));
  /** Serves the app with what is in a cache. Returns what the function says, how often AWS was asked for the layer, and the output. */
  const serve = async (cache) => {
    const from = counterpart.records.length;
    const sst = await deployed.serve({ app, env: { XDG_CACHE_HOME: cache } });
    const { value } = await counterpart.invoke(sst.stackOutput("Function"));
    await sst.stop();
    await counterpart.settled();
    const asked = counterpart.recorded({ kind: "layer", arn: ARN }, from).length;
    const downloaded = counterpart.recorded({ kind: "s3", operation: "GET object", key: "snapshots/layer+7" }, from).length;
    return { value, asked, downloaded, output: sst.output };
  };

  test("is downloaded, and at a later start it is there already", async () => {
    const cache = deployed.directory("sst-cache-");
    const first = await serve(cache);
    assert.deepEqual([first.value, first.asked, first.downloaded], ["of layer", 1, 1], first.output);
    const second = await serve(cache);
    assert.deepEqual([second.value, second.asked, second.downloaded], ["of layer", 0, 0], second.output);
    await counterpart.checkSignatures();
  });

  test("that is not what Lambda says is not used", async () => {
    await put(Buffer.concat([archive, Buffer.from("more")]));
    const { value, output } = await serve(deployed.directory("sst-cache-"));
    await put(archive);
    assert.equal(value, "MODULE_NOT_FOUND");
    assert.ok(output.includes(`\`counterpart/layered\` runs here without the layer \`${ARN}\`: its archive cannot be unpacked: it is not what Lambda says it is`), output);
  });

  test("for which there is no permission is named, with what to do, and is had once there is", async () => {
    const cache = deployed.directory("sst-cache-");
    const message = `User: someone is not authorized to perform: lambda:GetLayerVersion on resource: ${ARN}`;
    await counterpart.fault({ match: { service: "lambda", operation: "GetLayerVersionByArn" }, status: 403, error: "AccessDeniedException", message });
    const refused = await serve(cache);
    await counterpart.clearFaults();
    assert.equal(refused.value, "MODULE_NOT_FOUND");
    const said = `without the layer \`${ARN}\`: ${message}; see that your credentials may do \`lambda:GetLayerVersion\``;
    assert.ok(refused.output.includes(said), refused.output);
    assert.equal((await serve(cache)).value, "of layer");
  });
});
