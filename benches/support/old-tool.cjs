// The runtime server and the builder of SST v0.69.7, called as its `sst start` calls them: lines of JSON in, lines of JSON out. Its watch of files
// is left out, so what it is compared with has the harder task.
//
//   {"call": "hello"} → {"took": 1.2, "result": …}
//   {"save": "hello", "text": "…"} → the same, for the build of what was saved and the first call after it
//   {"listen": "ws://…"} → the same, when it is the client of that debug stack, which sends it calls of stubs

const fs = require("node:fs");
const path = require("node:path");
const process = require("node:process");
const readline = require("node:readline");
const { Runtime, initializeLogger } = require("@serverless-stack/core");

const root = process.cwd();
initializeLogger(path.join(root, ".build"));
const server = new Runtime.Server({ port: Number(process.env.PORT) });
server.listen();

let calls = 0;
const functions = new Map();

function describe(id) {
  if (!functions.has(id)) functions.set(id, { id, handler: `src/${id}.main`, runtime: "nodejs14.x", srcPath: ".", root, bundle: true });
  return functions.get(id);
}

function call(fn) {
  calls += 1;
  const context = {
    functionName: fn.id,
    memoryLimitInMB: 1024,
    awsRequestId: `request-${calls}`,
    invokedFunctionArn: "arn",
    identity: {},
    clientContext: {},
  };
  return invoke(fn, {}, { event: {}, context, deadline: Date.now() + 20_000 });
}

function invoke(fn, env, payload) {
  return server.invoke({ function: fn, env: { ...process.env, ...env }, payload });
}

function listen(endpoint) {
  const ws = new Runtime.WS();
  ws.onRequest(async ({ functionId, env, event, context, debugRequestTimeoutInMs }) => {
    const result = await invoke(describe(functionId), env, { event, context, deadline: Date.now() + debugRequestTimeoutInMs });
    return { type: result.type, body: result.type === "success" ? result.data : result.error };
  });
  return new Promise((resolve) => {
    ws.onMessage.add(({ action }) => action === "server.clientRegistered" && resolve());
    // The bucket is for long payloads, and there are none.
    ws.start("us-east-1", endpoint, "none");
  });
}

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const message = JSON.parse(line);
  const began = process.hrtime.bigint();
  const fn = message.listen ? undefined : describe(message.call ?? message.save);
  if (message.save) {
    fs.writeFileSync(path.join(root, "src", `${fn.id}.ts`), message.text);
    await Runtime.Handler.build(fn);
    await server.drain(fn);
  }
  const result = await (fn ? call(fn) : listen(message.listen));
  const took = Number(process.hrtime.bigint() - began) / 1e6;
  // It prints as well.
  process.stdout.write(`\n@@${JSON.stringify({ took, result: result?.data?.body ?? result?.data ?? result })}\n`);
});
