// Mistakes that users make with arguments and accounts: what is said of each, with which exit code, and that nothing was begun before it was
// said, word for word. Those of a project and its stacks are in `mistakes-project.test.mjs`, those of functions in `mistakes-functions.test.mjs`.
//
// Others are tried elsewhere:
//
// | mistake | where |
// |---|---|
// | a command or an option that there is not, values out of range, options that exclude one another, an editor that there is not | `tests/docs/help.txt` |
// | Node that is missing or too old, no Python | `bad-moments.test.mjs` |
// | Ctrl-C while the app is deployed, or while a function runs | `bad-moments.test.mjs`, `orphans.test.mjs` |
// | credentials that have expired | `counterpart/expired.test.mjs` |
// | `sst invoke`: a function that there is not, no session, an event that is no JSON | `commands.test.mjs` |
// | a `launch.json` that cannot be understood | `commands.test.mjs` |
// | a second `sst start`; `sst deploy`, `sst remove` and `sst cdk` beside one | `lock.test.mjs` |
// | a session that has ended: its callers get a 503 | `counterpart/ended.test.mjs` |
// | a launcher that is killed | `launcher.test.mjs` |

import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { begun, run } from "./support/mistakes.mjs";
import { copyApp } from "./support/sst.mjs";

const LOG_IN = "log in with `aws login`, `aws sso login` or `aws configure`, or choose a profile with `--profile`; `--local` needs none";
const NAMED_BY = "`--endpoint-url` or `AWS_ENDPOINT_URL` names it: see that a local cloud is there, or leave it out";

describe("a mistake", () => {
  let directory;
  let server;
  let other;

  before(async () => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    // Somebody's, but not a cloud.
    server = http.createServer((request, response) => response.writeHead(404).end("<html>Not found</html>"));
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    other = `http://127.0.0.1:${server.address().port}`;
  });
  after(() => {
    server?.close();
    server?.closeAllConnections();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  const keys = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test" };
  const config = "[default]\nregion = eu-west-1\n[profile dev]\n[profile work]\n";
  const table = [
    {
      of: "a region by the name of its city",
      args: ["start", "--region", "Frankfurt"],
      env: keys,
      code: 2,
      said: "error: `Frankfurt` is not a region of AWS\nhint: did you mean `eu-central-1`, Europe (Frankfurt)?",
    },
    {
      of: "a zone in place of its region",
      args: ["build", "--region", "us-west-2b"],
      env: keys,
      code: 2,
      said: "error: `us-west-2b` is not a region of AWS\nhint: did you mean `us-west-2`, US West (Oregon)?",
    },
    {
      of: "a region that there is not, or not yet",
      args: ["start", "--region", "us-east-9"],
      env: keys,
      code: 6,
      said:
        "error: AWS cannot be reached\n\n         there is no address for the name `sts.us-east-9.amazonaws.com`\n\n" +
        "hint: there may be no region `us-east-9`: did you mean `us-east-1`, US East (N. Virginia), or `us-east-2`, US East (Ohio)?",
    },
    {
      of: "an endpoint where nobody is",
      args: ["start", "--region", "us-east-1", "--endpoint-url", "http://127.0.0.1:9"],
      env: keys,
      code: 6,
      said: `error: \`http://127.0.0.1:9\` cannot be reached\n\n         nothing listens at \`127.0.0.1:9\`\n\nhint: ${NAMED_BY}`,
    },
    {
      of: "an endpoint by a name that there is not",
      args: ["deploy", "--region", "us-east-1", "--endpoint-url", "http://cloud.invalid:4566"],
      env: keys,
      code: 6,
      said: `error: \`http://cloud.invalid:4566\` cannot be reached\n\n         there is no address for the name \`cloud.invalid:4566\`\n\nhint: ${NAMED_BY}`,
    },
    {
      of: "an endpoint of something else",
      args: ["diff", "--region", "us-east-1", "--endpoint-url", "OTHER"],
      env: keys,
      code: 6,
      said:
        "error: `OTHER` does not answer as AWS does\n\n         it was asked for `GetCallerIdentity`, and has answered with status 404\n\n" +
        `hint: ${NAMED_BY}`,
    },
    {
      of: "a profile that there is not, as the first one",
      args: ["start", "--profile", "nope"],
      code: 2,
      said: "error: there is no profile `nope` in `~/.aws/config`\nhint: there are none; `aws configure --profile nope` makes one",
    },
    {
      of: "a profile with two letters in the wrong order",
      args: ["start", "--profile", "wokr", "--region", "us-east-1"],
      config,
      env: keys,
      code: 2,
      said: "error: there is no profile `wokr` in `~/.aws/config`\nhint: did you mean `work`? There are `default`, `dev`, `work`",
    },
    {
      of: "a profile of the environment that has gone",
      args: ["build"],
      config,
      env: { AWS_PROFILE: "former" },
      code: 2,
      said: "error: there is no profile `former` in `~/.aws/config`\nhint: there are `default`, `dev`, `work`",
    },
    {
      of: "not being logged in",
      args: ["start", "--region", "us-east-1"],
      code: 6,
      said: `error: there are no AWS credentials: neither the environment nor a profile has any\nhint: ${LOG_IN}`,
    },
    {
      of: "not being logged in, with a profile that has a region only",
      args: ["remove"],
      config,
      code: 6,
      said: `error: there are no AWS credentials: neither the environment nor a profile has any\nhint: ${LOG_IN}`,
    },
    {
      of: "the local cloud of a session that does not run",
      args: ["deploy", "--local"],
      code: 2,
      said: "error: `sst start` does not run in this project\nhint: run `sst start --local` in another terminal",
    },
    {
      of: "a port for debuggers that somebody has",
      args: ["start", "--local", "--inspect-port", "PORT"],
      code: 3,
      said: "error: port PORT is taken\nhint: name another one with `--inspect-port`, or none: then it is the next one that is free",
    },
    {
      of: "tests that Node does not find",
      args: ["test"],
      code: 1,
      said:
        "error: there are no tests in `HERE`\n" +
        "hint: Node's test runner looks for files such as `list.test.js`, and in directories called `test`",
    },
    {
      of: "an endpoint that is no URL",
      args: ["start", "--endpoint-url", "127.0.0.1:4566"],
      code: 2,
      said: "error: `127.0.0.1:4566` is not an endpoint\nhint: give a URL without a path, e.g. `--endpoint-url http://127.0.0.1:4566`",
    },
    {
      of: "a file for an event that there is not",
      args: ["invoke", "Explicit", "--event", "nope.json"],
      code: 2,
      said: "error: `sst start` does not run in this project\nhint: start it in another terminal",
    },
    {
      of: "a stage with an underscore",
      args: ["start", "--local", "--stage", "a_b"],
      code: 2,
      said: "error: the stage `a_b` cannot be part of the names of stacks: use letters, digits, and hyphens, starting with a letter\nhint: give another name with `--stage`",
    },
    {
      of: "a stage that begins with a digit",
      args: ["start", "--local", "--stage", "1dev"],
      code: 2,
      said: "error: the stage `1dev` cannot be part of the names of stacks: use letters, digits, and hyphens, starting with a letter\nhint: give another name with `--stage`",
    },
  ];
  for (const { of, args, code, said, ...options } of table) {
    test(`is told: ${of}`, async () => {
      const names = { OTHER: other, PORT: new URL(other).port };
      const found = await run(directory, args.map((arg) => names[arg] ?? arg), options);
      for (const [name, value] of Object.entries(names)) found.said = found.said.replaceAll(value, name);
      assert.deepEqual(found, { code, said });
      assert.deepEqual(begun(directory), []);
    });
  }
});
