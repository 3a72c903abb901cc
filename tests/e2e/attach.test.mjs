// `sst attach`: functions that something else has deployed run here, and get their own code back.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Deployed, write } from "./support/deployed.mjs";
import { Sst, copyApp, gone, repository, runIn, until } from "./support/sst.mjs";

const OWN = { "index.js": "exports.handler = async (event) => ({ from: 'the cloud', event, name: process.env.NAME });" };
const HERE = { "index.js": "exports.handler = async (event) => ({ from: 'here', event, name: process.env.NAME });" };

describe("a function that was deployed by hand", () => {
  let host;
  let cloud;
  let role;
  let directory;
  let was;
  let sst;

  before(async () => {
    host = await Sst.start(copyApp("tests/fixtures/apps/orphans"), ["--stage", "dev"], { ORPHANS_LANGUAGE: "node" });
    cloud = new Deployed(host.session());
    role = await cloud.role("orders-role");
    const options = {
      Role: role,
      Runtime: "nodejs20.x",
      Handler: "index.handler",
      Timeout: 7,
      MemorySize: 256,
      Environment: { Variables: { NAME: "orders", LD_LIBRARY_PATH: "/opt/lib" } },
      Tags: { team: "blue" },
    };
    await cloud.create("orders-list", OWN, options);
    await cloud.create("orders-create", OWN, options);
    was = await cloud.described("orders-list");
    directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-attach-"));
    write(directory, HERE);
  });
  after(async () => {
    await sst?.stop();
    await host?.stop();
    for (const each of [directory, host?.directory]) if (each) fs.rmSync(each, { recursive: true, force: true });
  });

  const attach = (args = [], options = {}) => new Sst(directory, ["attach", ...args], cloud.environment, options);

  test("answers in the cloud before", async () => {
    assert.deepEqual((await cloud.call("orders-list", { n: 1 })).value, { from: "the cloud", event: { n: 1 }, name: "orders" });
  });

  test("is not touched without a yes", async () => {
    const asked = attach(["--function", "orders-list"]);
    const { code } = await asked.exited;
    assert.equal(code, 2, asked.output);
    assert.match(asked.output, /there is no terminal in which you could be asked/);
    assert.deepEqual(await cloud.described("orders-list"), was);
  });

  test("a name that there is not is told with the nearest", async () => {
    const asked = attach(["--function", "orders-lisst", "--yes"]);
    const { code } = await asked.exited;
    assert.equal(code, 2, asked.output);
    assert.match(asked.output, /orders-lisst/);
    assert.match(asked.output, /orders-list/);
  });

  test("runs here once it is attached, with its own variables", async () => {
    sst = attach(["--function", "orders-list", "--yes"]);
    await sst.waitFor(/Listening for requests/);
    assert.deepEqual((await cloud.call("orders-list", { n: 2 })).value, { from: "here", event: { n: 2 }, name: "orders" });
    assert.deepEqual((await cloud.call("orders-create", {})).value.from, "the cloud", "another function stays as it is");
  });

  test("the next call runs what was saved", async () => {
    write(directory, { "index.js": "exports.handler = async () => 'saved';" });
    await until("what was saved", async () => (await cloud.call("orders-list")).value === "saved");
  });

  test("sst invoke, history and status know it", async () => {
    for (const [args, expected] of [
      [["invoke", "orders-list"], /saved/],
      [["history"], /orders-list/],
      [["status"], /orders-list/],
    ]) {
      const command = new Sst(directory, args, cloud.environment);
      const { code } = await command.exited;
      await command.closed;
      assert.equal(code, 0, command.output);
      assert.match(command.output, expected, args.join(" "));
    }
  });

  test("has its own code back at the end, field by field", async () => {
    const { code } = await sst.stop();
    assert.match(sst.output, /orders-list has its own code back \(verified\)/);
    assert.equal(code, 0, sst.output);
    await gone(directory);
    assert.deepEqual(await cloud.described("orders-list"), was);
    assert.deepEqual((await cloud.call("orders-list", { n: 3 })).value, { from: "the cloud", event: { n: 3 }, name: "orders" });
  });

  test("a session that was killed leaves it attached, and --restore gives it back", async () => {
    const killed = attach(["--function", "orders-list", "--yes"]);
    await killed.waitFor(/Listening for requests/);
    killed.child.kill("SIGKILL");
    await killed.exited;
    assert.notDeepEqual(await cloud.described("orders-list"), was);
    const restoring = attach(["--restore"]);
    const { code } = await restoring.exited;
    assert.equal(code, 0, restoring.output);
    assert.match(restoring.output, /orders-list has its own code back \(verified\)/);
    assert.deepEqual(await cloud.described("orders-list"), was);
  });

  test("what somebody else deploys meanwhile stays, and the rest comes back around it", async () => {
    const other = attach(["--function", "orders-list", "--yes"]);
    await other.waitFor(/Listening for requests/);
    await cloud.deploy("orders-list", { "index.js": "exports.handler = async () => 'a release';" });
    await other.stop();
    assert.match(other.output, /orders-list` was deployed by somebody else/);
    assert.equal((await cloud.call("orders-list")).value, "a release");
    const { CodeSha256, CodeSize, ...now } = await cloud.described("orders-list");
    const { CodeSha256: sha, CodeSize: size, ...then } = was;
    assert.deepEqual(now, then);
    assert.notEqual(CodeSha256, sha);
    await cloud.deploy("orders-list", OWN);
  });
});

describe("projects", () => {
  let host;
  let cloud;
  const directories = [];

  before(async () => {
    host = await Sst.start(copyApp("tests/fixtures/apps/orphans"), ["--stage", "dev"], { ORPHANS_LANGUAGE: "node" });
    directories.push(host.directory);
    cloud = new Deployed(host.session());
  });
  after(async () => {
    await host?.stop();
    for (const directory of directories) fs.rmSync(directory, { recursive: true, force: true });
  });

  const project = (files) => {
    const directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-attach-"));
    directories.push(directory);
    write(directory, files);
    return directory;
  };
  const ROLE = {
    Type: "AWS::IAM::Role",
    Properties: {
      AssumeRolePolicyDocument: {
        Version: "2012-10-17",
        Statement: [{ Effect: "Allow", Principal: { Service: "lambda.amazonaws.com" }, Action: "sts:AssumeRole" }],
      },
    },
  };
  const CLOUD = "exports.handler = async () => 'the cloud';";

  /** Deploys these functions as a stack, by logical id: their handlers. Returns their names. */
  const deploy = async (stack, handlers) => {
    const Role = { "Fn::GetAtt": ["Role", "Arn"] };
    const resources = { Role: ROLE };
    for (const [id, Handler] of Object.entries(handlers)) {
      const Code = await cloud.upload(`${stack}/${id}.zip`, { [`${Handler.split(".")[0]}.js`]: CLOUD });
      resources[id] = { Type: "AWS::Lambda::Function", Properties: { Runtime: "nodejs20.x", Handler, Role, Code } };
    }
    return cloud.stack(stack, { Resources: resources });
  };

  /** Attaches in a project, calls the functions, and expects them back at the end. */
  const attached = async (directory, names, args = []) => {
    const before = await Promise.all(names.map((name) => cloud.described(name)));
    const sst = new Sst(directory, ["attach", "--yes", ...args], cloud.environment);
    await sst.waitFor(/Listening for requests/);
    const results = [];
    for (const name of names) results.push((await cloud.call(name)).value);
    const { code } = await sst.stop();
    assert.equal(code, 0, sst.output);
    assert.deepEqual(await Promise.all(names.map((name) => cloud.described(name))), before);
    return { results, output: sst.output };
  };

  test("a SAM project: its stack is that of samconfig.toml, its sources are those of the template", async () => {
    const { Create, Report } = await deploy("orders-dev", { Create: "create.handler", Report: "app.handler", Audit: "gone.handler" });
    const directory = project({
      "samconfig.toml": 'version = 0.1\n[default.deploy.parameters]\nstack_name = "orders-dev"\n',
      "template.yaml": `
Transform: AWS::Serverless-2016-10-31
Globals: { Function: { Runtime: nodejs20.x, Timeout: 5 } }
Resources:
  Create:
    Type: AWS::Serverless::Function
    Properties: { CodeUri: orders/, Handler: create.handler }
    Metadata: { BuildMethod: esbuild, BuildProperties: { EntryPoints: [src/create.ts] } }
  Report:
    Type: AWS::Serverless::Function
    Properties: { CodeUri: report/, Handler: app.handler }
  Audit:
    Type: AWS::Serverless::Function
    Properties: { CodeUri: audit/, Handler: gone.handler }
`,
      "orders/src/create.ts": "export const handler = async (): Promise<string> => 'created here';",
      "report/app.js": "exports.handler = async () => 'reported here';",
    });
    const { results, output } = await attached(directory, [Create, Report]);
    assert.deepEqual(results, ["created here", "reported here"]);
    assert.match(output, /3 functions found in samconfig\.toml \(stack orders-dev\): Create \(orders\/src\/create\.ts\) · Report \(.*\) · Audit: no source found, left alone/);
  });

  test("a Serverless Framework service: its functions have its names", async () => {
    const role = await cloud.role("shop-role");
    const options = { Role: role, Runtime: "nodejs20.x", Handler: "src/list.main" };
    await cloud.create("shop-dev-list", { "src/list.js": "exports.main = async () => 'the cloud';" }, options);
    const directory = project({
      "serverless.yml": `
service: shop
provider: { name: aws, runtime: nodejs20.x, stage: "\${opt:stage, 'dev'}", region: ${cloud.place.region} }
functions:
  list: { handler: src/list.main }
`,
      "src/list.js": "exports.main = async () => 'listed here';",
    });
    const { results } = await attached(directory, ["shop-dev-list"]);
    assert.deepEqual(results, ["listed here"]);
  });

  test("a state of Terraform: its sources are those of its archives", async () => {
    const role = await cloud.role("stock-role");
    await cloud.create("stock-count", { "index.js": CLOUD }, { Role: role, Runtime: "nodejs20.x", Handler: "index.handler" });
    const directory = project({ "functions/count/index.js": "exports.handler = async () => 'counted here';", "main.tf": "" });
    const arn = `arn:aws:lambda:${cloud.place.region}:000000000000:function:stock-count`;
    const resource = (mode, type, name, attributes) => ({
      mode,
      type,
      name,
      provider: `provider["registry.terraform.io/hashicorp/${type.startsWith("aws") ? "aws" : "archive"}"]`,
      instances: [{ schema_version: 0, attributes }],
    });
    const state = {
      version: 4,
      terraform_version: "1.9.0",
      serial: 1,
      lineage: "x",
      outputs: {},
      resources: [
        resource("data", "archive_file", "count", { type: "zip", source_dir: "./functions/count", source_file: null, output_path: "./count.zip" }),
        resource("managed", "aws_lambda_function", "count", {
          arn,
          function_name: "stock-count",
          handler: "index.handler",
          runtime: "nodejs20.x",
          package_type: "Zip",
          filename: "./count.zip",
        }),
      ],
    };
    write(directory, { "terraform.tfstate": JSON.stringify(state) });
    const { results } = await attached(directory, ["stock-count"]);
    assert.deepEqual(results, ["counted here"]);
  });

  test("an app of the CDK: what it has deployed runs here without a deployment of stubs", async () => {
    const directory = copyApp("examples/rest-api", path.join(repository, "examples/rest-api/node_modules"));
    directories.push(directory);
    const deployed = new Sst(directory, ["deploy", "--stage", "own", "--outputs-file", "outputs.json"], cloud.environment);
    assert.equal((await deployed.exited).code, 0, deployed.output);
    const outputs = Object.assign({}, ...Object.values(JSON.parse(fs.readFileSync(path.join(directory, "outputs.json"), "utf8"))));
    const names = await cloud.names("own-rest-api");
    const before = await Promise.all(names.map((name) => cloud.described(name)));
    const sst = new Sst(directory, ["attach", "--stage", "own", "--yes"], cloud.environment);
    await sst.waitFor(/Listening for requests/);
    const answer = await fetch(`${outputs.ApiEndpoint}/notes`);
    assert.equal(answer.status, 200, sst.output);
    await sst.waitFor(/REQUEST .* API GET \/notes/);
    assert.equal((await sst.stop()).code, 0, sst.output);
    assert.deepEqual(await Promise.all(names.map((name) => cloud.described(name))), before);
  });

  test("a stack by its name, in a directory that says nothing of it", async () => {
    const { List } = await deploy("books-dev", { List: "list.handler" });
    const directory = project({ "src/list.ts": "export const handler = async () => 'here';" });
    const { results, output } = await attached(directory, [List], ["--stack", "books-dev"]);
    assert.deepEqual(results, ["here"]);
    assert.match(output, /1 function found in the stack books-dev: List \(src\/list\.ts\)/);
  });

  test("in a terminal it asks, and no is a no", async () => {
    const { Ask } = await deploy("ask-dev", { Ask: "ask.handler" });
    const directory = project({ "ask.js": "exports.handler = async () => 'here';" });
    const before = await cloud.described(Ask);
    const sst = new Sst(directory, ["attach", "--stack", "ask-dev"], cloud.environment, { terminal: [120, 30] });
    await sst.waitFor(/These will run on this machine until you end: .*Go on\? \[Y\/n\]/);
    sst.type("n\r");
    assert.equal((await sst.exited).code, 130, sst.output);
    assert.deepEqual(await cloud.described(Ask), before);
  });

  test("which of several places it is, is asked once and kept", async () => {
    const { Pick } = await deploy("pick-dev", { Pick: "pick.handler" });
    const directory = project({
      "one/pick.js": "exports.handler = async () => 'one';",
      "two/pick.js": "exports.handler = async () => 'two';",
    });
    const args = ["attach", "--stack", "pick-dev"];
    const unasked = await runIn(directory, [...args, "--yes"], cloud.environment);
    assert.equal(unasked.code, 2, unasked.said);
    assert.match(unasked.said, /`Pick` may be one\/, JavaScript or two\/, JavaScript; say which in `sst\.json`/);
    const sst = new Sst(directory, args, cloud.environment, { terminal: [160, 30] });
    await sst.waitFor(/Where is the code of `Pick`\? 1\. one\/.* 2\. two\/.*, or ENTER to leave it alone:/);
    sst.type("7\r");
    await sst.waitFor(/Where is the code[^]*Where is the code/);
    sst.type("2\r");
    await sst.waitFor(/Go on\? \[Y\/n\]/);
    sst.type("\r");
    await sst.waitFor(/Listening for requests/);
    assert.equal((await cloud.call(Pick)).value, "two");
    await sst.stop();
    const kept = JSON.parse(fs.readFileSync(path.join(directory, "sst.json"), "utf8"));
    assert.deepEqual(kept, { functions: { Pick: { directory: "two", handler: "pick.handler" } } });
    assert.deepEqual((await attached(directory, [Pick], ["--stack", "pick-dev"])).results, ["two"]);
  });

  test("production is not attached by mistake", async () => {
    const { Charge } = await deploy("charge-prod", { Charge: "charge.handler" });
    const directory = project({ "charge.js": "exports.handler = async () => 'here';" });
    const before = await cloud.described(Charge);
    const refused = new Sst(directory, ["attach", "--stack", "charge-prod", "--yes"], cloud.environment);
    assert.equal((await refused.exited).code, 2, refused.output);
    assert.match(refused.output, /production/);
    assert.deepEqual(await cloud.described(Charge), before);
    const { results } = await attached(directory, [Charge], ["--stack", "charge-prod", "--yes-production"]);
    assert.deepEqual(results, ["here"]);
  });

  test("sst doctor tells what is attached, and by whom", async () => {
    const { Look } = await deploy("look-dev", { Look: "look.handler" });
    const directory = project({ "look.js": "exports.handler = async () => 'here';", "template.yaml": "Resources: {}" });
    const sst = new Sst(directory, ["attach", "--stack", "look-dev", "--yes"], cloud.environment);
    await sst.waitFor(/Listening for requests/);
    const { said } = await runIn(directory, ["doctor"], cloud.environment);
    assert.match(said, new RegExp(`\`${Look}\` is attached by \\S+@\\S+, for \\d+ minutes?`));
    await sst.stop();
  });
});
