// Calls of one handler, 1, 10 and 100 at once: of ours by the way of `sst invoke` and through the local cloud's HTTP API, beside
// `serverless-offline`: `make bench`. Each side has its turn in each round, after two rounds that start its processes and do not count.

import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import process from "node:process";

import { Sst, call, endsWithTests, freePort, until } from "../tests/e2e/support/sst.mjs";
import { ECHO, makeEcho, makePlace, write } from "./support/app.mjs";
import { Figures, timed } from "./support/figures.mjs";
import { npm } from "./support/install.mjs";

// The fourth major version of `serverless` wants an account.
const PACKAGES = ["serverless@3.40.0", "serverless-offline@13.9.0"];
const ROUNDS = Number(process.env.ROUNDS ?? 5);

const modules = npm("serverless-offline", PACKAGES);
const figures = new Figures("throughput");
const place = makePlace();
const [app, other] = ["app", "other"].map((name) => path.join(place, name));
makeEcho(app);
const sst = await Sst.start(app);
const offline = await startOffline();
const session = sst.session();
const sides = {
  "ours, as `sst invoke`": async () => {
    const { outcome } = await call(session, "bench/echo", { a: 1 });
    if (outcome !== "returned") throw new Error(outcome);
  },
  "ours, the local cloud's HTTP API": () => get(`${sst.stackOutput("Endpoint")}/echo`),
  "serverless-offline": () => get(offline.url),
};
try {
  for (const atOnce of [1, 10, 100]) await measure(atOnce);
} finally {
  offline.child.kill();
  await sst.stop();
  fs.rmSync(place, { recursive: true, force: true });
}
figures.save();

async function measure(atOnce) {
  const calls = Math.max(50, atOnce * 4);
  const found = Object.fromEntries(Object.keys(sides).map((name) => [name, { times: [], rates: [], failed: 0 }]));
  for (let round = -2; round < ROUNDS; round += 1) {
    for (const [name, run] of Object.entries(sides)) {
      const times = [];
      let [left, failed] = [calls, 0];
      const caller = async () => {
        while (left-- > 0) times.push(await timed(() => run().catch(() => (failed += 1))));
      };
      const took = await timed(() => Promise.all(Array.from({ length: atOnce }, caller)));
      if (round < 0) continue;
      found[name].times.push(...times);
      found[name].rates.push((calls / took) * 1_000);
      found[name].failed += failed;
    }
  }
  const each = (of) => Object.fromEntries(Object.entries(found).map(([name, one]) => [name, of(one)]));
  figures.values(`calls a second, ${atOnce} at once`, `median of ${ROUNDS}`, each(({ rates }) => rates.toSorted((a, b) => a - b)[rates.length >> 1]));
  figures.times(`each of ${atOnce} calls at once`, each(({ times }) => times));
  if (Object.values(found).some(({ failed }) => failed)) figures.values(`calls that failed, ${atOnce} at once`, `of ${calls * ROUNDS}`, each(({ failed }) => failed));
}

/** A request on a connection that is kept, as those of browsers are. */
function get(url) {
  get.agent ??= new http.Agent({ keepAlive: true });
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: get.agent }, (response) => {
      response.on("error", reject).on("end", () => (response.statusCode === 200 ? resolve() : reject(new Error(`status ${response.statusCode}`)))).resume();
    });
    request.on("error", reject);
  });
}

/** Starts `serverless-offline` with the same handler. */
async function startOffline() {
  const [port, lambdaPort] = [await freePort(), await freePort()];
  write(other, {
    "package.json": '{ "name": "bench", "private": true, "type": "module" }\n',
    "src/echo.js": ECHO,
    "serverless.yml": `service: bench
frameworkVersion: "3"
provider: { name: aws, runtime: nodejs20.x, timeout: 20 }
functions:
  echo: { handler: src/echo.main, events: [{ httpApi: "GET /echo" }] }
plugins: [serverless-offline]
`,
  });
  fs.symlinkSync(modules, path.join(other, "node_modules"));
  const script = path.join(modules, "serverless/bin/serverless.js");
  const args = ["offline", "--host", "127.0.0.1", "--httpPort", String(port), "--lambdaPort", String(lambdaPort)];
  const env = { ...process.env, SLS_TELEMETRY_DISABLED: "1", SLS_NOTIFICATIONS_MODE: "off", AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE: "1" };
  const child = endsWithTests(spawn(process.execPath, [script, ...args], { cwd: other, env, stdio: ["ignore", "ignore", "pipe"] }));
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (said += text));
  const url = `http://127.0.0.1:${port}/echo`;
  const ended = once(child, "exit").then(() => Promise.reject(new Error(`serverless-offline has ended:\n${said}`)));
  ended.catch(() => {});
  await Promise.race([ended, until("an answer of serverless-offline", () => get(url).then(() => true, () => false), 60_000)]);
  return { child, url };
}
