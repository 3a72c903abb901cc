// What a cold start of the stub costs, under AWS's runtime interface emulator, beside the stub of SST 0.69.7, a function in Node that loads
// the AWS SDK and opens a WebSocket: `make bench`.
//
// The old stub runs on the least that runs a handler, which loads less than Lambda's own runtime for Node. Its relay and its client are in
// this process and answer at once. Ours calls a real `sst start`, which starts a process for each new environment.

import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import zlib from "node:zlib";

import { emulator, stub, stubConfig } from "../tests/counterpart/counterpart.mjs";
import { Deployed } from "../tests/counterpart/deployed.mjs";
import { endsWithTests, freePort, until, within } from "../tests/e2e/support/sst.mjs";
import { giveSdk, unpackStub } from "./support/classic.mjs";
import { Figures, inTurns, timed } from "./support/figures.mjs";

const OLD = "SST 0.69.7's stub";
const VARIABLES = {
  PATH: "/usr/local/bin:/usr/bin:/bin", AWS_REGION: "us-east-1", AWS_LAMBDA_FUNCTION_NAME: "function", AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
  AWS_LAMBDA_FUNCTION_MEMORY_SIZE: "128", AWS_LAMBDA_FUNCTION_TIMEOUT: "30", AWS_ACCESS_KEY_ID: "key", AWS_SECRET_ACCESS_KEY: "secret",
  AWS_SESSION_TOKEN: "token",
};

const figures = new Figures("cold-start");
const place = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "bench-"));
try {
  const old = oldBootstrap();
  figures.values("size of the stub", "MB", { ours: fs.statSync(stub).size / 1e6 }, "2.1");
  await initialisation(old);
  await firstCalls(old);
} finally {
  fs.rmSync(place, { recursive: true, force: true });
}
figures.save();

/** From the start of its process until it asks for its first event. */
async function initialisation(old) {
  const config = stubConfig({ f: "bench/function", s: "bench", e: "ws://127.0.0.1:1/live", m: "http://127.0.0.1:1/live", t: "table", b: "bucket", r: "us-east-1" });
  const sides = { ours: () => untilReady(stub, { SST_STUB: JSON.stringify(config) }), [OLD]: () => untilReady(old, { SST_DEBUG_ENDPOINT: "ws://127.0.0.1:1" }) };
  figures.times("start of the process → first `next`", await inTurns(sides), "10");
}

async function untilReady(bootstrap, variables) {
  const note = path.join(place, "began");
  let asked;
  const ready = new Promise((resolve) => (asked = resolve));
  // What asks for an event is told by this, and gets none.
  const door = http.createServer(({ url }) => url.endsWith("/next") && asked(performance.timeOrigin + performance.now()));
  await once(door.listen(0, "127.0.0.1"), "listening");
  const [port, runtimePort] = [await freePort(), await freePort()];
  const addresses = ["--runtime-interface-emulator-address", `127.0.0.1:${port}`, "--runtime-api-address", `127.0.0.1:${runtimePort}`];
  // Bash writes its process id and the time without starting anything, and becomes the stub then.
  const begin = ["/usr/bin/env", `AWS_LAMBDA_RUNTIME_API=127.0.0.1:${door.address().port}`, "bash", "-c", 'echo $$ $EPOCHREALTIME >"$0"; exec "$1"', note, bootstrap];
  const env = { ...VARIABLES, ...variables };
  const program = endsWithTests(spawn(emulator, [...addresses, "--log-level", "error", ...begin], { env, stdio: "ignore" }));
  try {
    // The emulator starts the process when the first call comes, which ends with the emulator.
    await until("an emulator that listens", () => fetch(`http://127.0.0.1:${port}/`).then(() => true, () => false));
    fetch(`http://127.0.0.1:${port}/2015-03-31/functions/function/invocations`, { method: "POST", body: "{}" }).catch(() => {});
    const moment = await within(20_000, "a stub that asks for an event", ready);
    const [pid, began] = fs.readFileSync(note, "utf8").split(" ");
    process.kill(Number(pid), "SIGKILL");
    return moment - Number(began) * 1_000;
  } finally {
    program.kill("SIGKILL");
    door.close().closeAllConnections();
  }
}

/** Calls that find no environment. */
async function firstCalls(old) {
  const relay = await oldRelay();
  const deployed = await Deployed.start({ proxies: false });
  try {
    const { counterpart } = deployed;
    const variables = { SST_DEBUG_ENDPOINT: `ws://127.0.0.1:${relay.address().port}`, SST_FUNCTION_ID: "function" };
    await counterpart.registerFunction("old", { bootstrap: old, variables });
    const inside = { ours: [], [OLD]: [] };
    const first = (side, name) => async (round) => {
      await counterpart.ask("recycle", { name });
      let id;
      const took = await timed(async () => {
        const { error, bytes, requestId } = await counterpart.invoke(name, { a: 1 });
        if (error) throw new Error(`${side}: ${bytes}`);
        id = requestId;
      });
      await counterpart.settled();
      const [[called], [answered]] = ["called", "answered"].map((kind) => counterpart.recorded({ kind, request: id }));
      if (round >= 0) inside[side].push(answered.time - called.time);
      return took;
    };
    const warm = (side, name) => () => counterpart.invoke(name, { a: 1 }).then(({ error, bytes }) => error && Promise.reject(new Error(`${side}: ${bytes}`)));
    const names = { ours: deployed.names.echo, [OLD]: "old" };
    const sides = (work) => Object.fromEntries(Object.entries(names).map(([side, name]) => [side, work(side, name)]));
    const seen = await inTurns(sides(first));
    figures.times("first call, from the emulator's start", seen);
    figures.times("first call, from when the emulator listens", inside);
    figures.times("a later call", await inTurns(sides(warm)));
  } finally {
    await deployed.close();
    relay.close();
  }
}

/** What the old stub connects to: does the work of API Gateway, of a relay Lambda and of the client, by giving back what it gets. */
async function oldRelay() {
  // It is the stub's own.
  const { Server } = createRequire(path.join(place, "old/index.js"))("ws");
  const server = new Server({ port: 0, host: "127.0.0.1" });
  server.on("connection", (socket) => {
    socket.on("message", (message) => {
      const { debugRequestId, payload } = JSON.parse(message);
      const { event } = JSON.parse(zlib.gunzipSync(Buffer.from(payload, "base64")));
      const answer = zlib.gzipSync(JSON.stringify({ responseData: { event } })).toString("base64");
      socket.send(JSON.stringify({ action: "client.lambdaResponse", debugRequestId, payload: answer }));
    });
  });
  await once(server, "listening");
  return server;
}

function oldBootstrap() {
  const directory = path.join(place, "old");
  unpackStub(directory);
  giveSdk(directory);
  const [runtime, bootstrap] = [fileURLToPath(new URL("support/node-runtime.cjs", import.meta.url)), path.join(place, "bootstrap")];
  fs.writeFileSync(bootstrap, `#!/bin/sh\nexec '${process.execPath}' '${runtime}' '${directory}/index.js'\n`, { mode: 0o755 });
  return bootstrap;
}
