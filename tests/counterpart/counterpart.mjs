// Starts the counterpart for AWS and is a test's way to it. `README.md` says what can be set.

import { spawn } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

import { endsWithTests, repository, within } from "../e2e/support/sst.mjs";

const require = createRequire(path.join(repository, "tests/fixtures/package.json"));
const target = process.env.CARGO_TARGET_DIR ?? path.join(repository, "target");

/** How long something that a test waits for may take. Only a failing test waits that long. */
const PATIENCE_MS = 60_000;

/** The interpreter that has botocore. */
export const python = process.env.SST_COUNTERPART_PYTHON ?? path.join(target, "python/bin/python");

/** The runtime interface emulator. */
export const emulator = process.env.SST_COUNTERPART_RIE ?? path.join(target, "counterpart/bin/aws-lambda-rie");

/** The stub that was built. */
export const stub = process.env.SST_STUB_BINARY ?? path.join(target, "x86_64-unknown-linux-musl/stub/sst-stub");

/** What the stub reads from `SST_STUB`, by the names in there. The version is that of the stub. */
export function stubConfig(settings) {
  const source = fs.readFileSync(path.join(repository, "stub/wire/src/lib.rs"), "utf8");
  return { v: Number(/VERSION: u32 = (\d+)/.exec(source)[1]), ...settings };
}

/**
 * Starts it. `settings` are as for `settings()`. With `tls` (`h2` or `http/1.1`) all go through nghttpx; with `proxies`, sst and the
 * functions have a proxy each of their own, `network.client` and `network.functions`. With `tunnel`, and `tls`, there is no way for sst but
 * through a company's proxy.
 */
export async function startCounterpart({ region, account, settings, tls, proxies = false, tunnel = false } = {}) {
  const directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-counterpart-"));
  const script = path.join(repository, "tests/counterpart/server.py");
  const child = endsWithTests(
    spawn(python, [script, JSON.stringify({ directory, rie: emulator, region, account })], { stdio: ["pipe", "pipe", "inherit"] }),
  );
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const first = new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", (line) => resolve(JSON.parse(line)));
    child.once("error", reject).once("exit", (code) => reject(new Error(`the counterpart ended with ${code}`)));
  });
  const ready = await within(10_000, "a counterpart that is ready", first);
  const counterpart = new Counterpart(directory, child, exited, ready);
  await counterpart.begin({ settings, tls, proxies, tunnel });
  return counterpart;
}

/** Sends a command to the control port. */
function command(control, asked) {
  return new Promise((resolve, reject) => {
    const request = http.request(control, { method: "POST" }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (data) => (text += data));
      response.on("error", reject).on("end", () => {
        const answer = JSON.parse(text);
        if (response.statusCode === 200) resolve(answer);
        else reject(new Error(`${asked.command}: ${answer.error}`));
      });
    });
    request.on("error", reject).end(JSON.stringify(asked));
  });
}

export class Counterpart {
  /** The record so far. It is complete up to the last entry. */
  records = [];
  /** The proxies, when they were asked for. */
  network = {};
  #waiting = new Set();

  constructor(directory, child, exited, ready) {
    this.directory = directory;
    this.child = child;
    this.exited = exited;
    Object.assign(this, ready);
    this.functionEndpoint = this.endpoint;
  }

  async begin({ settings, tls, proxies, tunnel }) {
    await new Promise((resolve, reject) => {
      this.following = http.get(this.control, (response) => {
        let rest = "";
        response.setEncoding("utf8").on("data", (text) => {
          const lines = (rest + text).split("\n");
          rest = lines.pop();
          for (const line of lines) this.#recorded(JSON.parse(line));
        });
        // It ends with the counterpart, which is said elsewhere.
        response.on("error", () => {});
        resolve();
      });
      this.following.on("error", reject);
    });
    if (settings) await this.settings(settings);
    this.scheme = tls ? "https" : "http";
    if (tls) {
      const front = await this.ask("tls", { protocols: tls });
      this.bundle = front.bundle;
      this.behind = front.port;
      this.endpoint = this.functionEndpoint = front.endpoint;
    }
    if (proxies) {
      for (const name of ["client", "functions"]) this.network[name] = await this.way();
      this.endpoint = this.network.client.endpoint;
      this.functionEndpoint = this.network.functions.endpoint;
    }
    if (tunnel) {
      this.tunnel = await this.ask("tunnel", { target: this.behind });
      this.endpoint = this.tunnel.endpoint;
    }
    await this.ask("functionEndpoint", { endpoint: this.functionEndpoint });
  }

  /** A proxy: another way to this server, of which a test says what is wrong with it. */
  async way() {
    const { id, port } = await this.ask("proxy", { target: this.behind });
    return { port, endpoint: `${this.scheme}://127.0.0.1:${port}`, set: (wanted) => this.ask("network", { id, ...wanted }) };
  }

  #recorded(entry) {
    this.records.push(entry);
    for (const check of this.#waiting) check();
  }

  /** One command of the control port; see `control.py`. */
  ask(name, rest = {}) {
    return command(this.control, { ...rest, command: name });
  }

  /** Sets some of what is in `settings.py`, e.g. `{ gateway: { pong: false } }`. */
  settings(changes) {
    return this.ask("settings", changes);
  }

  /** Has requests go wrong; see `README.md`. Returns the rule's number. */
  async fault(rule) {
    return (await this.ask("fault", rule)).id;
  }

  clearFaults() {
    return this.ask("clearFaults");
  }

  /** Moves the clock forward, by which connections grow old. */
  advance(ms) {
    return this.ask("advance", { ms });
  }

  /** Connections, tables, objects, functions with their environments, stacks, proxies, counters. */
  state() {
    return this.ask("state");
  }

  /** Entries of the record. `wanted` is a predicate, or fields that they have. */
  recorded(wanted, from = 0) {
    const matches = typeof wanted === "function" ? wanted : (entry) => Object.entries(wanted).every(([name, value]) => entry[name] === value);
    return this.records.slice(from).filter(matches);
  }

  /** Waits until there are `count` such entries from position `from` of the record on, and returns them. */
  until(wanted, { count = 1, from = 0, patience = PATIENCE_MS } = {}) {
    return new Promise((resolve, reject) => {
      const finish = (action, value) => {
        clearTimeout(timer);
        this.#waiting.delete(check);
        action(value);
      };
      const check = () => {
        const found = this.recorded(wanted, from);
        if (found.length >= count) finish(resolve, found);
      };
      const timer = setTimeout(() => {
        const last = this.records.slice(-30).map((entry) => JSON.stringify(entry).slice(0, 300)).join("\n");
        finish(reject, new Error(`after ${patience / 1000} s there were not ${count} entries ${JSON.stringify(wanted)}:\n${last}`));
      }, patience);
      this.#waiting.add(check);
      check();
    });
  }

  /** The URL of the company's proxy for one who has its user's name and password, or others. */
  throughTunnel({ user, password, port } = this.tunnel) {
    return `http://${encodeURIComponent(user)}:${encodeURIComponent(password)}@127.0.0.1:${port ?? this.tunnel.port}`;
  }

  /** The environment of an `sst` that takes this for AWS. It has nothing else that could lead it to AWS. */
  get environment() {
    const { accessKeyId, secretAccessKey, sessionToken } = this.credentials.developer;
    return {
      AWS_ENDPOINT_URL: this.endpoint,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_SESSION_TOKEN: sessionToken,
      AWS_REGION: this.region,
      AWS_DEFAULT_REGION: this.region,
      AWS_PROFILE: undefined,
      AWS_CONFIG_FILE: path.join(this.directory, "no-config"),
      AWS_SHARED_CREDENTIALS_FILE: path.join(this.directory, "no-credentials"),
      AWS_EC2_METADATA_DISABLED: "true",
      AWS_CA_BUNDLE: this.bundle,
      NODE_EXTRA_CA_CERTS: this.bundle,
      ...(this.tunnel && { HTTPS_PROXY: this.throughTunnel(), NODE_EXTRA_CA_CERTS: undefined }),
    };
  }

  /** Options of an AWS SDK client with the credentials of the tests, straight to the counterpart: no proxy is in its way. */
  clientOptions() {
    return { endpoint: `http://127.0.0.1:${this.port}`, region: this.region, credentials: this.credentials.tests, maxAttempts: 1 };
  }

  /** Calls a function and waits for the answer. `bytes` is what came, `value` what it says, `error` the kind of the error, if it is one. */
  async invoke(name, event = {}, options = {}) {
    const { InvokeCommand } = require("@aws-sdk/client-lambda");
    const Payload = Buffer.isBuffer(event) ? event : JSON.stringify(event);
    const answer = await this.#lambda().send(new InvokeCommand({ FunctionName: name, Payload, ...options }));
    const bytes = Buffer.from(answer.Payload ?? []);
    return {
      error: answer.FunctionError,
      bytes,
      requestId: answer.$metadata.requestId,
      get value() {
        return JSON.parse(bytes.toString());
      },
    };
  }

  /** Calls a function whose answer is streamed. `part` is called with each part when it comes. */
  async invokeStreamed(name, event = {}, part = () => {}) {
    const { InvokeWithResponseStreamCommand } = require("@aws-sdk/client-lambda");
    const answer = await this.#lambda().send(new InvokeWithResponseStreamCommand({ FunctionName: name, Payload: JSON.stringify(event) }));
    const parts = [];
    let complete = {};
    for await (const { PayloadChunk, InvokeComplete } of answer.EventStream) {
      if (PayloadChunk) parts.push(Buffer.from(PayloadChunk.Payload));
      if (PayloadChunk) await part(parts.at(-1));
      complete = InvokeComplete ?? complete;
    }
    return { bytes: Buffer.concat(parts), parts, error: complete.ErrorCode, details: complete.ErrorDetails, requestId: answer.$metadata.requestId };
  }

  #lambda() {
    if (this.lambda) return this.lambda;
    const { LambdaClient } = require("@aws-sdk/client-lambda");
    const { NodeHttpHandler } = require("@smithy/node-http-handler");
    // Tests have hundreds of calls in flight at the same time.
    const requestHandler = new NodeHttpHandler({ httpAgent: new http.Agent({ keepAlive: true, maxSockets: 2000 }) });
    return (this.lambda = new LambdaClient({ ...this.clientOptions(), requestHandler }));
  }

  /** A function that runs the stub, without a deployment. `config` are the stub's settings as it reads them from `SST_STUB`. */
  async registerFunction(name, { config, timeout = 30, variables = {}, bootstrap = stub, ...rest } = {}) {
    const all = config ? { ...variables, SST_STUB: JSON.stringify(config) } : variables;
    await this.ask("function", { name, bootstrap, timeout, variables: all, ...rest });
  }

  /**
   * What a debug stack consists of, without a deployment: `api`, `stage`, `table`, `bucket`, and the endpoints as `sst` sees them. The
   * counterpart exchanges them for those of functions when it starts an environment. `parameters` are those of its template, in which
   * `replace` makes mistakes: `[{ text, by }]`.
   */
  async debugStack(parameters = {}) {
    const names = await this.ask("debugStack", parameters);
    const management = `${this.endpoint}/_aws/execute-api/${names.api}/${names.stage}`;
    return { ...names, management, endpoint: management.replace(/^http/, "ws") };
  }

  /** Waits until everything that has happened is in `records`. */
  async settled() {
    const { entries } = await this.ask("entries");
    await this.until(() => true, { count: entries });
  }

  /** Throws unless every signature was equal to botocore's. Returns how many there were, by service. */
  async checkSignatures(from = 0) {
    await this.settled();
    const found = this.recorded({ kind: "signature" }, from);
    const bad = found.filter((entry) => !entry.ok);
    if (bad.length) throw new Error(`${bad.length} of ${found.length} signatures were refused:\n${bad.map((entry) => JSON.stringify(entry)).join("\n")}`);
    const counts = {};
    for (const { service, form } of found) counts[`${service} ${form}`] = (counts[`${service} ${form}`] ?? 0) + 1;
    return counts;
  }

  /** Ends it, with all that it has started. Throws when the counterpart itself has made a mistake. */
  async close() {
    await this.settled();
    this.lambda?.destroy();
    this.following?.destroy();
    this.child.stdin.end();
    await within(20_000, "the end of the counterpart", this.exited);
    fs.rmSync(this.directory, { recursive: true, force: true });
    const [broken] = this.recorded({ kind: "broken" });
    if (broken) throw new Error(`the counterpart failed at ${broken.request}:\n${broken.why}`);
  }
}
