// The inspector endpoint, as clients other than js-debug use it: chrome-remote-interface, and sockets by hand.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, clientOptions, copyApp, repository } from "./support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const { InvokeCommand, LambdaClient } = require("@aws-sdk/client-lambda");
const CDP = require("chrome-remote-interface");
const WebSocket = createRequire(require.resolve("chrome-remote-interface"))("ws");

let directory;
let sst;
let address;

/** Gets a page with headers that `fetch` would not let through. */
async function get(page, headers = {}, at = address) {
  const [host, port] = at.split(":");
  const request = http.get({ host, port, path: page, headers });
  const [response] = await once(request, "response");
  let text = "";
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, headers: response.headers, text, json: () => JSON.parse(text) };
}

const invoke = async (name, event = {}) => {
  const lambda = new LambdaClient({ ...clientOptions(sst), maxAttempts: 1 });
  const answer = await lambda.send(
    new InvokeCommand({ FunctionName: sst.stackOutput(`Function${name}`), Payload: JSON.stringify(event) }),
  );
  return JSON.parse(Buffer.from(answer.Payload));
};

/** A debugger that speaks JSON over a WebSocket and remembers everything it was told. */
class Client {
  messages = [];
  #id = 0;
  #waiting = new Set();

  static async open(url, headers = {}) {
    const client = new Client();
    client.socket = new WebSocket(url, { headers, maxPayload: 1 << 30 });
    client.socket.on("message", (data) => {
      client.messages.push(JSON.parse(data));
      for (const check of client.#waiting) check();
    });
    client.closed = new Promise((resolve) => client.socket.once("close", resolve));
    await once(client.socket, "open");
    return client;
  }

  static async root() {
    const [target] = (await get("/json/list")).json();
    return Client.open(target.webSocketDebuggerUrl);
  }

  /** Waits for a message that matches, also one that is there already. */
  async message(matches, what) {
    const find = () => this.messages.find(matches);
    if (find()) return find();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${what}: ${JSON.stringify(this.messages).slice(0, 4000)}`)), 30_000);
      const check = () => {
        if (!find()) return;
        clearTimeout(timer);
        this.#waiting.delete(check);
        resolve(find());
      };
      this.#waiting.add(check);
    });
  }

  event = (method) => this.message((message) => message.method === method, method);

  async send(method, params = {}, sessionId) {
    const id = (this.#id += 1);
    this.socket.send(JSON.stringify({ id, method, params, sessionId }));
    return this.message((message) => message.id === id, `answer to ${method}`);
  }

  /** Asks a child, in the NodeWorker dialect. */
  async ask(sessionId, method, params = {}) {
    const id = (this.#id += 1);
    const inner = JSON.stringify({ id, method, params });
    await this.send("NodeWorker.sendMessageToWorker", { sessionId, message: inner });
    const answer = await this.told(sessionId, (message) => message.id === id, method);
    assert.equal(answer.error, undefined);
    return answer.result;
  }

  /** Waits for what a child says, in the NodeWorker dialect. */
  async told(sessionId, matches, what) {
    const inner = (message) =>
      message.method === "NodeWorker.receivedMessageFromWorker" && message.params.sessionId === sessionId
        ? JSON.parse(message.params.message)
        : {};
    return inner(await this.message((message) => matches(inner(message)), what));
  }

  /** The session id of a function's worker. */
  async worker(title) {
    const matches = ({ method, params }) => method === "NodeWorker.attachedToWorker" && params.workerInfo.title === title;
    return (await this.message(matches, `worker of ${title}`)).params.sessionId;
  }

  /** Attaches to a worker and sets a breakpoint by the text of a line in a file. */
  async breakAt(sessionId, text) {
    await this.ask(sessionId, "Runtime.enable");
    await this.ask(sessionId, "Debugger.enable");
    const scripts = this.messages.flatMap(({ method, params }) => {
      if (method !== "NodeWorker.receivedMessageFromWorker" || params.sessionId !== sessionId) return [];
      const message = JSON.parse(params.message);
      return message.method === "Debugger.scriptParsed" && message.params.url.includes(directory) ? [message.params] : [];
    });
    for (const { scriptId, url } of scripts) {
      const { scriptSource } = await this.ask(sessionId, "Debugger.getScriptSource", { scriptId });
      const lineNumber = scriptSource.split("\n").findIndex((line) => line.includes(text));
      if (lineNumber >= 0) return this.ask(sessionId, "Debugger.setBreakpointByUrl", { url, lineNumber });
    }
    throw new Error(`no script has ${text}: ${JSON.stringify(scripts.map(({ url }) => url))}`);
  }

  paused = (sessionId) => this.told(sessionId, ({ method }) => method === "Debugger.paused", "pause");

  leave() {
    this.socket.terminate();
    return this.closed;
  }
}

before(async () => {
  directory = copyApp("tests/fixtures/apps/cdk-plain");
  fs.writeFileSync(
    path.join(directory, "functions/asset/index.js"),
    'exports.handler = async (event) => {\n  if (event.exit) process.exit(3);\n  const answer = `asset ${process.env.ANSWER}`;\n  return answer;\n};\n',
  );
  sst = await Sst.start(directory, ["--increase-timeout"]);
  address = sst.session().inspector;
});
after(async () => {
  await sst?.stop();
  fs.rmSync(directory, { recursive: true, force: true });
});

describe("discovery", () => {
  test("one entry, whose addresses are those that the client used; no address of a browser", async () => {
    for (const page of ["/json", "/json/list"]) {
      const list = (await get(page, { Host: "localhost:1" })).json();
      assert.equal(list.length, 1);
      assert.equal(list[0].type, "node");
      assert.equal(list[0].webSocketDebuggerUrl, `ws://localhost:1/${list[0].id}`);
      assert.match(list[0].devtoolsFrontendUrl, /inspector\.html\?.*ws=localhost:1\//);
    }
    const version = (await get("/json/version")).json();
    assert.deepEqual(Object.keys(version), ["Browser", "Protocol-Version"]);
  });

  test("the protocol is that of the Node that runs the workers, also before there is one", async () => {
    const { flatInspector } = sst.session();
    const script = `
      const inspector = require("node:inspector");
      inspector.open(0, "127.0.0.1");
      fetch(new URL("/json/protocol", inspector.url().replace("ws:", "http:"))).then(async (page) => {
        process.stdout.write(JSON.stringify({ type: page.headers.get("content-type"), protocol: await page.json() }), () => process.exit());
      });`;
    const ofNode = JSON.parse(execFileSync(process.execPath, ["-e", script], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], maxBuffer: 64 << 20 }));
    assert.deepEqual((await get("/json/list", {}, flatInspector)).json(), [], "no worker has been called yet");
    for (const at of [address, flatInspector]) {
      const { status, headers, text } = await get("/json/protocol", {}, at);
      assert.equal(status, 200, text);
      assert.equal(headers["content-type"].toLowerCase(), ofNode.type.toLowerCase());
      assert.deepEqual(JSON.parse(text), ofNode.protocol);
      assert.equal((await get("/json/protocol", { Origin: "https://evil.example" }, at)).status, 403);
    }
  });

  test("hosts and origins", async () => {
    const [{ id }] = (await get("/json/list")).json();
    const table = [
      [{}, 200],
      [{ Host: "localhost:9229" }, 200],
      [{ Origin: "devtools://devtools" }, 200],
      [{ Host: "evil.example" }, 403],
      [{ Origin: "https://evil.example" }, 403],
      [{ Origin: "null" }, 403],
    ];
    for (const [headers, status] of table) {
      assert.equal((await get("/json/list", headers)).status, status, JSON.stringify(headers));
      const opened = await Client.open(`ws://${address}/${id}`, headers).then(
        (client) => client.leave().then(() => 200),
        (error) => Number(/Unexpected server response: (\d+)/.exec(error.message)?.[1]),
      );
      assert.equal(opened, status, JSON.stringify(headers));
    }
    await assert.rejects(Client.open(`ws://${address}/other`), /404/);
  });
});

describe("the root", () => {
  test("answers everything, as a client that looks like WebStorm asks it", async () => {
    const client = await Client.root();
    for (const method of ["Runtime.enable", "Debugger.enable", "Debugger.setPauseOnExceptions", "Debugger.setAsyncCallStackDepth", "Debugger.setBlackboxPatterns", "Runtime.runIfWaitingForDebugger"]) {
      assert.ok((await client.send(method)).result, method);
    }
    assert.equal((await client.send("Nothing.known")).error.code, -32601);
    await client.leave();
  });

  test("killer 1: a breakpoint set on the root gets an id and no locations", async () => {
    const client = await Client.root();
    const { result } = await client.send("Debugger.setBreakpointByUrl", { url: "file:///a.js", lineNumber: 1 });
    assert.deepEqual(result.locations, []);
    assert.equal(typeof result.breakpointId, "string");
    await client.leave();
  });

  test("killer 2: evaluation fails, so that no client learns a process to kill", async () => {
    const client = await Client.root();
    assert.equal((await client.send("Runtime.evaluate", { expression: "process.pid" })).error.code, -32601);
    await client.leave();
  });
});

describe("children", () => {
  test("chrome-remote-interface attaches to the root and hears of a worker", async () => {
    const [host, port] = address.split(":");
    // Without `local: true` it asks for the protocol first.
    const client = await CDP({ host, port: Number(port) });
    const attached = new Promise((resolve) => client.on("NodeWorker.attachedToWorker", resolve));
    await client.send("NodeWorker.enable", { waitForDebuggerOnStart: true });
    const call = invoke("Asset");
    const { workerInfo } = await attached;
    assert.equal(workerInfo.title, "plain/Asset");
    await client.close();
    assert.equal(await call, "asset 42");
  });

  test("the NodeWorker dialect: breakpoint, variable, and a new session for a new process", async () => {
    const client = await Client.root();
    await client.send("NodeWorker.enable", { waitForDebuggerOnStart: true });
    const session = await client.worker("plain/Asset");
    await client.breakAt(session, "return answer");
    await client.ask(session, "Runtime.runIfWaitingForDebugger");
    const call = invoke("Asset");
    const { params } = await client.paused(session);
    const { callFrameId } = params.callFrames[0];
    const { result } = await client.ask(session, "Debugger.evaluateOnCallFrame", { callFrameId, expression: "answer" });
    assert.equal(result.value, "asset 42");
    await client.ask(session, "Debugger.resume");
    assert.equal(await call, "asset 42");

    const file = path.join(directory, "functions/asset/index.js");
    fs.appendFileSync(file, "// Edited.\n");
    const gone = await client.event("NodeWorker.detachedFromWorker");
    assert.equal(gone.params.sessionId, session);
    const next = await client.message(
      ({ method, params }) => method === "NodeWorker.attachedToWorker" && params.sessionId !== session,
      "next worker",
    );
    assert.equal(next.params.workerInfo.title, "plain/Asset");
    // Killers 3 and 4: this client has not spoken the Target dialect.
    assert.deepEqual(client.messages.filter(({ method, sessionId }) => method?.startsWith("Target.") || sessionId), []);
    await client.leave();
  });

  test("the Target dialect", async () => {
    const client = await Client.root();
    await client.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: true, flatten: false });
    const { params } = await client.message(
      ({ method, params }) => method === "Target.attachedToTarget" && params.targetInfo.title === "plain/Asset",
      "target",
    );
    assert.equal(params.targetInfo.type, "node_worker");
    const answer = await client.send("Runtime.evaluate", { expression: "6 * 7" }, params.sessionId);
    assert.equal(answer.sessionId, params.sessionId);
    assert.equal(answer.result.result.value, 42);
    assert.equal((await client.send("Runtime.enable", {}, "unknown")).error.code, -32001);
    fs.appendFileSync(path.join(directory, "functions/asset/index.js"), "// Edited again.\n");
    const { targetId } = params.targetInfo;
    await client.message(({ method, params: of }) => method === "Target.detachedFromTarget" && of.targetId === targetId, "detached");
    await client.message(({ method, params: of }) => method === "Target.targetDestroyed" && of.targetId === targetId, "destroyed");
    assert.deepEqual(client.messages.filter(({ method }) => method?.startsWith("NodeWorker.")), []);
    await client.leave();
  });

  test("messages of more than a megabyte, both ways", async () => {
    const client = await Client.root();
    await client.send("NodeWorker.enable");
    const session = await client.worker("plain/Asset");
    const text = "x".repeat(2 << 20);
    const { result } = await client.ask(session, "Runtime.evaluate", { expression: `"${text}".toUpperCase()`, returnByValue: true });
    assert.equal(result.value, text.toUpperCase());
    await client.leave();
  });

  test("two debuggers at once: both see the pause, one leaves, the other lets it go on", async () => {
    const clients = [await Client.root(), await Client.root()];
    const sessions = [];
    for (const client of clients) {
      await client.send("NodeWorker.enable");
      const session = await client.worker("plain/Asset");
      sessions.push(session);
      await client.breakAt(session, "return answer");
      await client.ask(session, "Runtime.runIfWaitingForDebugger");
    }
    const call = invoke("Asset");
    await Promise.all(clients.map((client, index) => client.paused(sessions[index])));
    await clients[0].leave();
    await clients[1].ask(sessions[1], "Debugger.resume");
    assert.equal(await call, "asset 42");
    await clients[1].leave();
  });

  test("a debugger that vanishes while paused: the call goes on", async () => {
    const client = await Client.root();
    await client.send("NodeWorker.enable");
    const session = await client.worker("plain/Asset");
    await client.breakAt(session, "return answer");
    const call = invoke("Asset");
    await client.paused(session);
    await client.leave();
    assert.equal(await call, "asset 42");
  });

  test("a debugger that leaves before it says that a worker may go on", async () => {
    const client = await Client.root();
    await client.send("NodeWorker.enable");
    const from = sst.output.length;
    const call = invoke("Discovered");
    await client.worker("plain/discovered");
    assert.doesNotMatch(sst.output.slice(from), /RESPONSE/, "the call waits for the debugger");
    await client.leave();
    assert.equal(await call, "discovered 42");
  });

  test("a debugger that is late is told of once and by its name, and one that has promised to say when it is ready has more time", async () => {
    const [target] = (await get("/json/list")).json();
    const late = await Client.open(target.webSocketDebuggerUrl, { "User-Agent": "slow-debugger/1" });
    await late.send("NodeWorker.enable");
    // As js-debug does, which an editor on a busy machine keeps waiting.
    const busy = await Client.root();
    await busy.send("NodeWorker.enable", { waitForDebuggerOnStart: true });
    const from = sst.output.length;
    const call = invoke("Explicit");
    const session = await busy.worker("plain/Explicit");
    // The other one attaches, and never says that it has set its breakpoints.
    await sst.waitFor(/a process of `plain\/Explicit` goes on without breakpoints: slow-debugger\/1 has not set its breakpoints in 5 s; call it once more when it has\n/, from);
    await busy.breakAt(session, "explicit $");
    await busy.ask(session, "Runtime.runIfWaitingForDebugger");
    await busy.paused(session);
    await busy.ask(session, "Debugger.resume");
    assert.deepEqual(await call, { text: "explicit 42" });
    assert.equal(sst.output.slice(from).match(/breakpoints:/g).length, 1, sst.output.slice(from));
    await late.leave();
    await busy.leave();
  });

  test("a worker that exits under a debugger does not hang", async () => {
    const client = await Client.root();
    await client.send("NodeWorker.enable");
    const session = await client.worker("plain/Asset");
    await client.ask(session, "Runtime.enable");
    const { errorType } = await invoke("Asset", { exit: true });
    assert.equal(errorType, "Runtime.ExitError");
    const gone = ({ method, params }) => method === "NodeWorker.detachedFromWorker" && params.sessionId === session;
    await client.message(gone, "end of the worker");
    await client.leave();
    assert.equal(await invoke("Asset"), "asset 42");
  });
});

describe("the flat endpoint", () => {
  test("lists the worker that was called last first, stops in it, and ends its connection with the worker", async () => {
    const flat = sst.session().flatInspector;
    await invoke("Explicit");
    await invoke("Asset");
    const list = (await get("/json/list", {}, flat)).json();
    assert.deepEqual(list.slice(0, 2).map(({ title }) => title), ["plain/Asset", "plain/Explicit"]);
    assert.equal((await get("/json/list", { Host: "evil.example" }, flat)).status, 403);
    const [host, port] = flat.split(":");
    const remote = await CDP({ host, port: Number(port) });
    assert.equal((await remote.Runtime.evaluate({ expression: "6 * 7" })).result.value, 42);
    await remote.close();
    const client = await Client.open(list[0].webSocketDebuggerUrl);
    for (const method of ["Runtime.enable", "Debugger.enable", "Runtime.runIfWaitingForDebugger"]) {
      assert.ok((await client.send(method)).result, method);
    }
    const source = ({ method, params }) => method === "Debugger.scriptParsed" && params.url.endsWith("functions/asset/index.js");
    const { params } = await client.message(source, "script");
    await client.send("Debugger.setBreakpointByUrl", { url: params.url, lineNumber: 3 });
    const from = sst.output.length;
    const call = invoke("Asset");
    await client.event("Debugger.paused");
    await sst.waitFor(/PAUSED +\S+ plain\/Asset at functions\/asset\/index\.js:4/, from);
    await client.send("Debugger.resume");
    assert.equal(await call, "asset 42");
    fs.appendFileSync(path.join(directory, "functions/asset/index.js"), "// Edited once more.\n");
    assert.equal(await client.closed, 1001);
  });
});
