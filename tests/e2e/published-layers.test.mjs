// Layers that an app names by their ARNs: published by somebody, downloaded once, and kept for every later start.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { compile } from "./support/compiled.mjs";
import { Sst, canMount, clientOptions, copyApp, gone, onlyLocalCloud, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { AddLayerVersionPermissionCommand, InvokeCommand, LambdaClient, PublishLayerVersionCommand } = require("@aws-sdk/client-lambda");

/** A function with each layer that `layers.json` names, by the function's name. */
const APP = `
const { App, CfnOutput, Stack } = require("aws-cdk-lib");
const { Code, Function, LayerVersion, Runtime } = require("aws-cdk-lib/aws-lambda");

const stack = new Stack(new App(), "published");
for (const [id, arns] of Object.entries(require("./layers.json"))) {
  const layers = arns.map((arn, index) => LayerVersion.fromLayerVersionArn(stack, id + "Layer" + index, arn));
  const code = Code.fromAsset("node");
  const created = new Function(stack, id, { code, layers, runtime: Runtime.NODEJS_22_X, handler: "index.handler" });
  new CfnOutput(stack, "Function" + id, { value: created.functionName });
}
`;

/** An archive with a package, a file, a compiled program, and a link to that. */
const ARCHIVE = `
import io, sys, zipfile
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
    def add(name, content, mode):
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        files.writestr(info, content)
    add("nodejs/node_modules/of-layer/index.js", "module.exports = " + repr(sys.argv[1]), 0o100644)
    add("data.txt", "data of " + sys.argv[1], 0o100644)
    add("bin/" + sys.argv[1] + "-tool", open(sys.argv[2], "rb").read(), 0o100755)
    add("bin/" + sys.argv[1] + "-link", sys.argv[1] + "-tool", 0o120777)
sys.stdout.buffer.write(archive.getvalue())
`;

/** Another account: the local cloud takes an access key of twelve digits for one. */
const VENDOR = "210987654321";

describe("layers by ARN", () => {
  let directory;
  let cache;
  let sst;
  let shared;

  const archive = (name) => execFileSync("python3", ["-c", ARCHIVE, name, path.join(directory, "compiled")], { maxBuffer: 64 << 20 });
  const lambdaOf = (accessKeyId) => new LambdaClient({ ...clientOptions(sst), credentials: { accessKeyId, secretAccessKey: "test" }, maxAttempts: 1 });
  const publish = async (account, name, content = archive(name)) => {
    const lambda = lambdaOf(account);
    const published = await lambda.send(new PublishLayerVersionCommand({ LayerName: name, Content: { ZipFile: content } }));
    return { arn: published.LayerVersionArn, VersionNumber: Number(published.Version), LayerName: name, lambda };
  };
  /** Anybody may use it then. */
  const share = ({ lambda, LayerName, VersionNumber }) =>
    lambda.send(
      new AddLayerVersionPermissionCommand({ LayerName, VersionNumber, StatementId: "all", Action: "lambda:GetLayerVersion", Principal: "*" }),
    );
  /** What a program reads in `/opt`. */
  const data = (name) => (canMount() ? `data of ${name}` : "NotFound");
  const start = () => Sst.start(directory, [], { XDG_CACHE_HOME: cache }, { terminal: [1000, 60] });
  const named = (layers) => fs.writeFileSync(path.join(directory, "layers.json"), JSON.stringify(layers));
  const value = async (id, event) => {
    const input = { FunctionName: sst.stackOutput(`Function${id}`), Payload: JSON.stringify(event) };
    const answer = await lambdaOf("test").send(new InvokeCommand(input));
    const body = JSON.parse(Buffer.from(answer.Payload));
    assert.equal(answer.FunctionError, undefined, JSON.stringify(body));
    return body;
  };

  before(async () => {
    directory = copyApp("tests/fixtures/apps/layers");
    fs.writeFileSync(path.join(directory, "app.js"), APP);
    compile(path.join(directory, "compiled"));
    cache = onlyLocalCloud();
    named({ Plain: [] });
    sst = await start();
  });
  after(async () => {
    await sst?.stop();
    await gone(directory);
    for (const one of [directory, cache]) fs.rmSync(one, { recursive: true, force: true });
  });

  test("are downloaded, those of the account and those of others, and the function runs without one that it may not have", async () => {
    shared = await publish(VENDOR, "shared");
    await share(shared);
    const own = await publish("test", "own");
    const secret = await publish(VENDOR, "secret");
    const deleted = own.arn.replace(/:own:1$/, ":own:7");
    const outside = await publish("test", "outside", execFileSync("python3", ["-c", `
import io, sys, zipfile
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w") as files:
    files.writestr("../../outside", "evil")
sys.stdout.buffer.write(archive.getvalue())
`]));
    const from = sst.output.length;
    named({ Plain: [], Own: [own.arn], Shared: [shared.arn, own.arn], Without: [secret.arn, deleted, outside.arn, own.arn] });
    await sst.waitFor(/Press ENTER to deploy/, from);
    const enter = sst.output.length;
    sst.type("\r");
    await sst.waitFor(/4 functions live/, enter);

    assert.deepEqual(await value("Plain", { modules: ["of-layer"] }), ["MODULE_NOT_FOUND"]);
    assert.deepEqual(await value("Own", { modules: ["of-layer"] }), ["own"]);
    assert.deepEqual(await value("Own", { commands: [["own-tool", "a"], ["own-link", "b"], ["shared-tool"]] }), [
      `compiled: a, ${data("own")}`,
      `compiled: b, ${data("own")}`,
      "ENOENT",
    ]);
    assert.deepEqual(await value("Shared", { modules: ["of-layer"] }), ["own"], "the later layer wins");
    assert.deepEqual(await value("Shared", { commands: [["shared-link", "c"]] }), [`compiled: c, ${data("own")}`]);

    const said = sst.output.slice(from).replaceAll("\r", "");
    assert.match(said, /Downloading the layer shared, \d+ KB/);
    const without = (arn, why) => {
      const line = said.split("\n").find((one) => one.includes(`\`published/Without\` runs here without the layer \`${arn}\`: `));
      assert.match(line ?? said, why);
    };
    without(secret.arn, /is not authorized to perform: lambda:GetLayerVersion.*see that your credentials may do `lambda:GetLayerVersion`/);
    without(deleted, /does not exist.*see that.*there is this version/);
    without(outside.arn, /cannot be unpacked: its entry 0 names a file outside of itself/);
    assert.deepEqual(fs.readdirSync(path.join(cache, "sst"), { recursive: true }).filter((file) => file.endsWith("outside")), []);
    assert.deepEqual(await value("Without", { modules: ["of-layer"] }), ["own"]);
  });

  test("are kept: another local cloud, which knows nothing of it, is not asked for one of another account", async () => {
    await sst.stop();
    named({ Shared: [shared.arn] });
    sst = await start();
    assert.doesNotMatch(sst.output, /Downloading the layer|without the layer/);
    assert.deepEqual(await value("Shared", { modules: ["of-layer"] }), ["shared"]);
    assert.deepEqual(await value("Shared", { commands: [["shared-tool", "kept"]] }), [`compiled: kept, ${data("shared")}`]);
  });
});
