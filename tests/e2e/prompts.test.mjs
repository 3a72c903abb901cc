// Questions in a real terminal: for the stage, and for the code of an MFA device; and what is said when there is nobody to answer.

import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { Sst, copyApp } from "./support/sst.mjs";

/** A terminal that nobody would call wide. */
const TERMINAL = [100, 30];

describe("questions", () => {
  let cloud;
  let directory;
  let variables;
  const programs = [];

  before(async () => {
    // Without checks of policies, whatever the suite is run with: the role below is only a name.
    cloud = new Sst(copyApp("tests/fixtures/apps/cdk-plain"), ["start", "--local"]);
    await cloud.waitFor(/Listening for requests/);
  });
  after(async () => {
    await cloud?.stop();
    if (cloud) fs.rmSync(cloud.directory, { recursive: true, force: true });
  });
  beforeEach(() => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    const { endpoint, region } = cloud.session();
    variables = {
      // Only STS is in the local cloud. As far as the program knows, the rest is AWS, which has no stage that could be taken without asking.
      AWS_ENDPOINT_URL_STS: endpoint,
      AWS_ACCESS_KEY_ID: "test",
      AWS_SECRET_ACCESS_KEY: "test",
      AWS_REGION: region,
      AWS_CONFIG_FILE: path.join(directory, "aws-config"),
      AWS_SHARED_CREDENTIALS_FILE: path.join(directory, "aws-credentials"),
      USER: "sponge.bob",
    };
  });
  afterEach(async () => {
    for (const program of programs.splice(0)) await program.stop("SIGKILL");
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const run = (args, { terminal = TERMINAL, env = {} } = {}) => {
    const program = new Sst(directory, args, { ...variables, ...env }, { terminal });
    programs.push(program);
    return program;
  };
  const stage = () => fs.readFileSync(path.join(directory, ".sst/stage"), "utf8");

  test("the stage is asked for once, with a suggestion that ENTER takes", async () => {
    const first = run(["build"]);
    await first.waitFor(/no stage yet[^]*Name of your stage, or ENTER for `sponge-bob`:/);
    let from = first.output.length;
    first.type("9 lives\r");
    await first.waitFor(/the stage `9 lives` cannot be part of the names of stacks: use letters, digits, and hyphens[^]*Name of your stage, or/, from);
    first.type("\r");
    assert.deepEqual(await first.exited, { code: 0, signal: null });
    assert.match(first.output, /The cloud assembly is in/);
    assert.equal(stage(), "sponge-bob\n");

    const second = run(["build"]);
    assert.deepEqual(await second.exited, { code: 0, signal: null });
    assert.doesNotMatch(second.output, /Name of your stage/);
  });

  test("another name than the suggested one is taken as well, and colours are left out when they are not wanted", async () => {
    const program = run(["build", "--no-color"], { env: { NO_COLOR: undefined } });
    await program.waitFor(/Name of your stage/);
    program.type("patrick\r");
    assert.equal((await program.exited).code, 0);
    assert.equal(stage(), "patrick\n");
    assert.doesNotMatch(program.output, /\x1b\[[0-9;]*m/);
  });

  test("Ctrl-C at the question ends the program, and stores nothing", async () => {
    const program = run(["build"]);
    await program.waitFor(/Name of your stage/);
    program.type("\x03");
    assert.deepEqual(await program.exited, { code: 130, signal: null });
    assert.equal(fs.existsSync(path.join(directory, ".sst/stage")), false);
  });

  test("without a terminal a stage has to be named", async () => {
    const program = run(["build"], { terminal: null });
    assert.equal((await program.exited).code, 2);
    await program.closed;
    assert.match(program.output, /error: no stage is known, and there is no terminal to ask for one\s+hint: name it with `--stage <name>`/);
    const named = run(["build", "--stage", "prod"], { terminal: null });
    assert.equal((await named.exited).code, 0);
  });

  test("`stage` of `sst.json` works, and warns", async () => {
    fs.writeFileSync(path.join(directory, "sst.json"), '{ "name": "plain", "stage": "shared" }');
    const program = run(["build"]);
    assert.equal((await program.exited).code, 0);
    assert.match(program.output, /`stage` in `.*sst.json` is deprecated/);
  });

  test("a profile with an MFA device asks for its code, and works as its role", async () => {
    const profile = "[profile device]\nrole_arn = arn:aws:iam::000000000000:role/Developer\nsource_profile = me\n" +
      "mfa_serial = arn:aws:iam::000000000000:mfa/phone\nrole_session_name = bob\n\n[profile me]\nregion = us-east-1\n";
    fs.writeFileSync(variables.AWS_CONFIG_FILE, profile);
    fs.writeFileSync(variables.AWS_SHARED_CREDENTIALS_FILE, "[me]\naws_access_key_id = test\naws_secret_access_key = test\n");
    const program = run(["build", "--profile", "device"]);
    await program.waitFor(/Code of the MFA device arn:aws:iam::000000000000:mfa\/phone:/);
    program.type("123456\r");
    // The session's name is the suggestion, so the role was assumed.
    await program.waitFor(/Name of your stage, or ENTER for `bob`:/);
    program.type("\r");
    assert.equal((await program.exited).code, 0, program.output);

    const nobody = run(["build", "--profile", "device"], { terminal: null });
    assert.equal((await nobody.exited).code, 2);
    await nobody.closed;
    assert.match(nobody.output, /error: the profile `device` wants a code of `arn:\S+`, and there is no terminal to ask/);
  });

  test("an endpoint that is empty is a mistake", async () => {
    const program = run(["build"], { terminal: null, env: { AWS_ENDPOINT_URL: "" } });
    assert.equal((await program.exited).code, 2);
    await program.closed;
    assert.match(program.output, /error: `AWS_ENDPOINT_URL` is ``, which is not an endpoint\s+hint: unset it, or set it to a URL/);
  });

  test("a profile that is named wins over the credentials of the environment", async () => {
    fs.writeFileSync(variables.AWS_CONFIG_FILE, "[profile other]\nregion = us-east-1\n");
    const program = run(["doctor", "--profile", "other"], { terminal: null });
    await program.exited;
    await program.closed;
    assert.match(program.output, /- AWS: there are no AWS credentials: neither the environment nor a profile has any/, "it has none");
  });
});

test("a clock that is wrong is noticed, and made up for", async () => {
  const directory = copyApp("tests/fixtures/apps/cdk-plain");
  // STS as it answers to somebody whose clock is behind, until the request is signed at its own time.
  let refused = 0;
  const server = http.createServer((request, response) => {
    const theirs = Date.now() + 3_600_000;
    const headers = { Date: new Date(theirs).toUTCString(), "Content-Type": "text/xml" };
    const [, ...parts] = /^(....)(..)(..T..)(..)(..Z)$/.exec(request.headers["x-amz-date"]);
    const signed = Date.parse(`${parts[0]}-${parts[1]}-${parts[2]}:${parts[3]}:${parts[4]}`);
    if (Math.abs(signed - theirs) > 300_000) {
      refused += 1;
      const error = "<Error><Code>SignatureDoesNotMatch</Code><Message>Signature expired</Message></Error>";
      return response.writeHead(403, headers).end(`<ErrorResponse>${error}</ErrorResponse>`);
    }
    const identity = "<Arn>arn:aws:iam::000000000000:user/a</Arn><Account>000000000000</Account>";
    const result = `<GetCallerIdentityResult>${identity}</GetCallerIdentityResult>`;
    response.writeHead(200, headers).end(`<GetCallerIdentityResponse>${result}</GetCallerIdentityResponse>`);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const keys = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_REGION: "us-east-1" };
    const endpoint = `http://127.0.0.1:${server.address().port}`;
    for (const [args, expected] of [
      [["doctor", "--endpoint-url", endpoint], /- this machine's clock is 60 minutes behind: set it/],
      [["build", "--endpoint-url", endpoint], /warning: this machine's clock is 60 minutes behind: set it/],
    ]) {
      refused = 0;
      const program = new Sst(directory, args, keys);
      await program.exited;
      await program.closed;
      assert.match(program.output, expected);
      assert.doesNotMatch(program.output, /AWS does not know who you are/);
      assert.equal(refused, 1, "only the first request was signed at the wrong time");
    }
  } finally {
    server.close();
    server.closeAllConnections();
    fs.rmSync(directory, { recursive: true, force: true });
  }
});
