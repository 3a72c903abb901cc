// A function's log in JSON is what AWS's own runtime clients write; one of text is what the function has written.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { startOfficial } from "./official.mjs";
import { RuntimeApi, start, tree, variables } from "./support.mjs";

const CODE = `
class OwnError extends Error {
  constructor(message) {
    super(message);
    this.code = 7;
  }
}
const circle = {};
circle.circle = circle;
console.log("while it is loaded");
exports.says = async () => {
  for (const method of ["trace", "debug", "info", "log", "warn", "error", "fatal"]) console[method](method, 1);
  console.log();
  console.log("one %s", "two", { three: 3 });
  console.log({ an: "object", with: [1, null, undefined] });
  console.log([1, 2]);
  console.log("two\\nlines");
  console.log(circle);
  console.log(new OwnError("alone"));
  console.log({ error: new OwnError("within") });
  console.log("with", new OwnError("behind"), 1);
  console.log(new OwnError("first"), "and more");
  console.log("no stack", Object.assign(new Error("bare"), { stack: undefined }));
  console.log(5n, Symbol("s"));
  console.log(Symbol("alone"));
  console.table([{ a: 1 }]);
};
exports.speaks = async () => console.log("low");
exports.throws = async () => {
  throw new OwnError("thrown");
};
exports.throwsNow = () => {
  throw new OwnError("thrown at once");
};
exports.throwsText = async () => {
  throw "only text";
};
exports.circular = async () => circle;
exports.rejects = async () => {
  Promise.reject(new OwnError("late"));
  await new Promise((resolve) => setTimeout(resolve, 60_000));
};
exports.uncaught = async () => {
  setImmediate(() => {
    throw new OwnError("in a timer");
  });
  await new Promise((resolve) => setTimeout(resolve, 60_000));
};
exports.never = () => new Promise(() => {});
`;

const JSON_LOG = { AWS_LAMBDA_LOG_FORMAT: "JSON" };
const rows = {
  "what it says": ["says", JSON_LOG],
  "what it says, at a level": ["says", { ...JSON_LOG, AWS_LAMBDA_LOG_LEVEL: "WARN" }],
  "what it says, at the highest level": ["says", { ...JSON_LOG, AWS_LAMBDA_LOG_LEVEL: "fatal" }],
  "what it says, for a tenant": ["says", JSON_LOG, { "Lambda-Runtime-Aws-Tenant-Id": "t" }],
  "an error": ["throws", JSON_LOG],
  "an error at once": ["throwsNow", JSON_LOG],
  "an error that is text": ["throwsText", JSON_LOG],
  "no JSON": ["circular", JSON_LOG],
  // Where it was rejected is said of the error that is reported, too.
  "an unhandled rejection": ["rejects", JSON_LOG, {}, ["classic"], (line) => line.replace(/(UnhandledPromiseRejection: [^"]*")[^\]]*/, "$1")],
  "an uncaught exception": ["uncaught", JSON_LOG, {}, ["classic"]],
};

/** The lines of a log, without what differs by its nature: times, and frames of the clients. */
function lines(text, root) {
  const frames = (stack) => stack.filter((line) => !/^\s+at /.test(line) || line.includes(root)).map((line) => line.replace(/at .* \(/, "at ("));
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const { timestamp, ...rest } = JSON.parse(line, (name, value) => {
        if (name === "message" && typeof value === "string") return value.replace(/\n +at [^\n]*?(?= \{\n|\n|$| \d| and)/g, "");
        return name === "stackTrace" ? frames(value) : value;
      });
      assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      // Their order counts as well.
      return JSON.stringify(rest);
    });
}

/** Calls a function once and ends its process; what it has written to its standard output. */
async function call(context, begin, headers) {
  const api = await new RuntimeApi().listen();
  const worker = begin(api);
  context.after(() => worker.child.kill("SIGKILL"));
  let stdout = "";
  worker.child.stdout.on("data", (text) => (stdout += text));
  api.deliver({}, headers);
  await Promise.race([api.post(), worker.closed]);
  worker.child.kill("SIGKILL");
  await worker.closed;
  api.close();
  return stdout;
}

describe("a log in JSON", { concurrency: 3 }, () => {
  for (const [kind, runtime] of [
    ["classic", "nodejs22.x"],
    ["modern", "nodejs24.x"],
  ]) {
    for (const [name, [handler, more, headers, kinds = ["classic", "modern"], same = (line) => line]] of Object.entries(rows)) {
      if (!kinds.includes(kind)) continue;
      test(`${runtime}: ${name}`, async (context) => {
        const root = tree(context, { "index.js": CODE });
        const environment = { AWS_EXECUTION_ENV: `AWS_Lambda_${runtime}`, ...more };
        const own = { LAMBDA_TASK_ROOT: root, _HANDLER: `index.${handler}`, ...environment };
        const official = await call(context, (api) => startOfficial(kind, variables(api, own)), headers);
        const ours = await call(context, (api) => start(api, `index.${handler}`, { root, more: environment }), headers);
        assert.ok(official.includes('"requestId":"request-1"'), official);
        assert.deepEqual(lines(ours, root).map(same), lines(official, root));
      });
    }
  }
});

test("a promise that never settles is told of in a log in JSON", async (context) => {
  const root = tree(context, { "index.js": CODE.replace("exports.never = () =>", "exports.never = async () =>") });
  const ours = await call(context, (api) => start(api, "index.never", { root, more: JSON_LOG }));
  assert.match(ours, /"level":"ERROR","requestId":"request-1","message":\{"errorType":"NodeJsExit","errorMessage":"The Lambda runtime client/);
});

test("a log of text is what the function has written, from its level on", async (context) => {
  const root = tree(context, { "index.js": CODE });
  const plain = await call(context, (api) => start(api, "index.says", { root }));
  assert.match(plain, /^while it is loaded\ndebug 1\ninfo 1\nlog 1\n\none two \{ three: 3 \}\n/);
  const quiet = { root, more: { AWS_LAMBDA_LOG_LEVEL: "WARN" } };
  assert.equal(await call(context, (api) => start(api, "index.speaks", quiet)), "");
});
