// What Lambda's runtimes bring along: functions may load it without having it installed.

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, onlyLocalCloud, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");
const { HeadBucketCommand, PutObjectCommand, S3Client } = require("@aws-sdk/client-s3");

describe("an app that installs no AWS SDK", () => {
  let directory;
  let cache;
  let sst;
  let lambda;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/provided", null);
    fs.mkdirSync(path.join(directory, "node_modules"));
    for (const name of ["aws-cdk-lib", "constructs"]) {
      fs.symlinkSync(path.join(repository, "tests/fixtures/node_modules", name), path.join(directory, "node_modules", name));
    }
    cache = onlyLocalCloud();
    sst = await Sst.start(directory, [], { XDG_CACHE_HOME: cache });
    lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  });
  after(async () => {
    await sst?.stop();
    for (const one of [directory, cache]) if (one) fs.rmSync(one, { recursive: true, force: true });
  });

  const invoke = async (name) => {
    const FunctionName = sst.stackOutput(`Function${name}`);
    const { Payload } = await lambda.send(new InvokeCommand({ FunctionName, Payload: "{}" }));
    return JSON.parse(Buffer.from(Payload));
  };
  const installations = () => sst.output.match(/^.*Installing what .*once$/gm) ?? [];

  test("it is installed once for all functions, while the app is deployed", () => {
    // What takes long is said again, with how long it has taken.
    const names = installations().flatMap((line) => /\((.*)\) into `.*\/sst\/provided`, once$/.exec(line)?.[1].split(", ") ?? []);
    assert.deepEqual(names.sort(), ["@aws-sdk/client-s3", "@aws-sdk/client-ssm", "aws-sdk", "boto3"], sst.output);
    assert.match(sst.output, /Not live, since they serve the deployment itself: 2 functions/);
    // Of runtimes, more may be said on some machines.
    assert.doesNotMatch(sst.output.replace(/^.*functions of `\w+[.\d]+x?` run here on .*$/gm, ""), /warning/);
    assert.ok(sst.output.lastIndexOf("is installed (") < sst.output.indexOf("Listening for requests"));
  });

  test("functions in Node have the SDK of their runtime, bundled or not", async () => {
    assert.equal(await invoke("Bundled"), "found");
    assert.equal(await invoke("Directory"), "found");
  });

  test("version 2 of the SDK finds the local cloud, although it does not know how", async () => {
    assert.equal(await invoke("Old"), "found");
  });

  test("functions in Python have boto3, in a file or in the template", async () => {
    assert.deepEqual(await Promise.all([invoke("Python"), invoke("Inline")]), ["found", "found"]);
  });

  test("the CDK's own functions have it in the local cloud: for notifications of buckets, and to empty them", async () => {
    const from = sst.output.length;
    const options = clientOptions(sst);
    const Bucket = sst.stackOutput("Bucket");
    await new S3Client({ ...options, forcePathStyle: true }).send(new PutObjectCommand({ Bucket, Key: "a.txt", Body: "a" }));
    await sst.waitFor(/REQUEST {2}\S+ provided\/Bundled S3 bucket \S+ \(ObjectCreated:Put a.txt\)[^]*RESPONSE/, from);
  });

  test("a save keeps it", async () => {
    const before = installations().length;
    const file = path.join(directory, "bundled/v3.js");
    const from = sst.output.length;
    fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace("return Parameter.Value", "return `again ${Parameter.Value}`"));
    await sst.waitFor(/BUILT/, from);
    assert.equal(await invoke("Bundled"), "again found");
    assert.equal(installations().length, before, sst.output);
  });

  test("a package that there is not is missing, as on Lambda", async () => {
    const file = path.join(directory, "directory/index.mjs");
    const from = sst.output.length;
    fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace("@aws-sdk/client-ssm", "@aws-sdk/client-nothing-like-this"));
    await sst.waitFor(/\(@aws-sdk\/client-nothing-like-this\) cannot be installed; install it in the project/, from);
    await sst.waitFor(/BUILT +provided\/Directory/, from);
    const { errorMessage } = await invoke("Directory");
    assert.match(errorMessage, /Cannot find package '@aws-sdk\/client-nothing-like-this'/);
  });

  test("a bucket that is not empty is removed with its stack", async () => {
    const { region, endpoint } = sst.session();
    const keys = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_REGION: region };
    const remove = new Sst(directory, ["remove", "--yes"], { ...keys, AWS_ENDPOINT_URL: endpoint, XDG_CACHE_HOME: cache });
    assert.equal((await remove.exited).code, 0, remove.output);
    const s3 = new S3Client({ ...clientOptions(sst), forcePathStyle: true });
    await assert.rejects(s3.send(new HeadBucketCommand({ Bucket: sst.stackOutput("Bucket") })));
  });
});
