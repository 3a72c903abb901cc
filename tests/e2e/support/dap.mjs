// A client of the Debug Adapter Protocol, and one that does with `startDebugging` what VS Code does.

import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import net from "node:net";
import path from "node:path";

const PATIENCE = 60_000;

/** One connection. Emits what it is told as `event` and `request`. */
export class Dap extends EventEmitter {
  #sequence = 0;
  #pending = new Map();
  #received = Buffer.alloc(0);
  events = [];
  closed = false;

  static async connect(port) {
    const dap = new Dap();
    dap.socket = net.connect(port, "127.0.0.1");
    dap.socket.on("data", (data) => dap.#take(data));
    dap.socket.on("error", () => {});
    dap.socket.on("close", () => {
      dap.closed = true;
      for (const { reject, command } of dap.#pending.values()) reject(new Error(`closed before \`${command}\` was answered`));
      dap.emit("close");
    });
    await new Promise((resolve, reject) => dap.socket.once("connect", resolve).once("error", reject));
    return dap;
  }

  /** Sends a request and waits for its body. */
  request(command, args = {}) {
    const seq = ++this.#sequence;
    const answered = new Promise((resolve, reject) => this.#pending.set(seq, { resolve, reject, command }));
    this.send({ seq, type: "request", command, arguments: args });
    return answered;
  }

  /** Answers a request. */
  respond(request, success, body = {}) {
    this.send({ seq: ++this.#sequence, type: "response", request_seq: request.seq, command: request.command, success, body });
  }

  send(message) {
    const text = JSON.stringify(message);
    this.socket.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
  }

  /** The next event of a kind that was not waited for yet. */
  async event(name, accept = () => true) {
    for (const end = Date.now() + PATIENCE; ; ) {
      const index = this.events.findIndex((event) => event.event === name && accept(event.body));
      if (index >= 0) return this.events.splice(index, 1)[0].body;
      assert.ok(!this.closed, `closed before the event \`${name}\``);
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`no event \`${name}\``)), end - Date.now());
        const done = () => {
          clearTimeout(timer);
          this.off("event", done).off("close", done);
          resolve();
        };
        this.once("event", done).once("close", done);
      });
    }
  }

  /** Goes away as a program does that is killed. */
  vanish() {
    this.socket.destroy();
  }

  #take(data) {
    this.#received = Buffer.concat([this.#received, data]);
    for (;;) {
      const end = this.#received.indexOf("\r\n\r\n");
      if (end < 0) return;
      const length = Number(/content-length: *(\d+)/i.exec(this.#received.subarray(0, end))[1]);
      if (this.#received.length < end + 4 + length) return;
      const message = JSON.parse(this.#received.subarray(end + 4, end + 4 + length));
      this.#received = this.#received.subarray(end + 4 + length);
      if (message.type === "response") {
        const { resolve, reject, command } = this.#pending.get(message.request_seq);
        this.#pending.delete(message.request_seq);
        if (message.success) resolve(message.body ?? {});
        else reject(new Error(`${command}: ${message.message}`));
      } else if (message.type === "event") {
        this.events.push(message);
        this.emit("event", message);
      } else {
        this.emit("request", message);
      }
    }
  }
}

const INITIALIZE = {
  clientID: "test", adapterID: "pwa-node", pathFormat: "path", linesStartAt1: true, columnsStartAt1: true,
  supportsVariableType: true, supportsStartDebuggingRequest: true,
};

/** A session that debugs one process: what an editor does from `initialize` to `configurationDone`. */
export class Session {
  constructor(dap, name) {
    this.dap = dap;
    this.name = name;
  }

  static async attach(port, configuration, breakpoints, name) {
    const dap = await Dap.connect(port);
    const session = new Session(dap, name);
    session.capabilities = await dap.request("initialize", INITIALIZE);
    const attached = dap.request("attach", { ...configuration, request: "attach" });
    attached.catch(() => {});
    await dap.event("initialized");
    session.verified = {};
    for (const [file, lines] of breakpoints) session.verified[file] = await session.setBreakpoints(file, lines);
    if (session.capabilities.exceptionBreakpointFilters) await dap.request("setExceptionBreakpoints", { filters: [] });
    await dap.request("configurationDone");
    await attached;
    return session;
  }

  async setBreakpoints(file, lines) {
    const source = { path: file, name: path.basename(file) };
    const { breakpoints } = await this.dap.request("setBreakpoints", {
      source, lines, breakpoints: lines.map((line) => ({ line })), sourceModified: false,
    });
    return breakpoints.map((breakpoint) => breakpoint.verified);
  }

  /** Waits until it stops; where, and with what in its variables. */
  async stopped() {
    const { threadId, reason } = await this.dap.event("stopped");
    const { stackFrames } = await this.dap.request("stackTrace", { threadId, startFrame: 0, levels: 5 });
    const [frame] = stackFrames;
    return {
      threadId,
      reason,
      frame,
      place: `${path.basename(frame.source?.path ?? "?")}:${frame.line}`,
      evaluate: async (expression) => (await this.dap.request("evaluate", { expression, frameId: frame.id, context: "hover" })).result,
      variables: async () => {
        const { scopes } = await this.dap.request("scopes", { frameId: frame.id });
        const all = {};
        for (const scope of scopes.slice(0, 2)) {
          const { variables } = await this.dap.request("variables", { variablesReference: scope.variablesReference });
          for (const { name, value } of variables) all[name] = value;
        }
        return all;
      },
      resume: () => this.dap.request("continue", { threadId }),
    };
  }
}

/** A client of the adapter for all languages. */
export class Hub extends EventEmitter {
  children = [];
  #node = {};
  /** What the debugger for Node is to be started with. */
  node = new Promise((resolve) => (this.#node.resolve = resolve));

  /**
   * @param {Map<string, number[]>} breakpoints absolute file → lines
   * @param {{ node?: boolean }} options whether there is a debugger for Node; whoever says so starts it
   */
  static async attach(port, breakpoints, { node = false } = {}) {
    const hub = new Hub();
    hub.hasNode = node;
    hub.breakpoints = breakpoints;
    hub.dap = await Dap.connect(port);
    hub.dap.on("request", (request) => hub.#start(request));
    await hub.dap.request("initialize", INITIALIZE);
    await hub.dap.event("initialized");
    await hub.dap.request("attach", { type: "pwa-node", request: "attach", debugServer: port });
    for (const [file, lines] of breakpoints) {
      const source = { path: file };
      const answer = await hub.dap.request("setBreakpoints", { source, breakpoints: lines.map((line) => ({ line })) });
      assert.deepEqual(answer.breakpoints.map((breakpoint) => breakpoint.verified), lines.map(() => false));
    }
    // js-debug sends one that it does not know.
    await assert.rejects(hub.dap.request("enableNetworking", { mirrorEvents: [] }));
    await hub.dap.request("configurationDone");
    assert.deepEqual(await hub.dap.request("threads"), { threads: [] });
    return hub;
  }

  async #start(request) {
    const { configuration } = request.arguments;
    if (request.command !== "startDebugging") return this.dap.respond(request, false);
    if (configuration.debugServer === undefined) {
      if (!this.hasNode) return this.dap.respond(request, false);
      this.nodeStarted = () => this.dap.respond(request, true);
      return this.#node.resolve(request.arguments);
    }
    try {
      const child = await Session.attach(configuration.debugServer, configuration, this.breakpoints, configuration.name);
      this.children.push(child);
      child.dap.on("event", () => this.emit("change"));
      this.dap.respond(request, true);
    } catch (error) {
      this.failure = error;
      this.dap.respond(request, false);
    }
    this.emit("change");
  }

  /** The next stop in any process of a function, and the session that it is in. */
  async stopped(name) {
    for (const end = Date.now() + PATIENCE; ; ) {
      const session = this.children.find((child) => child.name.startsWith(name) && child.dap.events.some((event) => event.event === "stopped"));
      if (session) return { session, stop: await session.stopped() };
      await new Promise((resolve, reject) => {
        const sessions = this.children.map((child) => child.name);
        const timer = setTimeout(() => reject(new Error(`no stop in ${name}, but sessions ${sessions}; ${this.failure ?? ""}`)), end - Date.now());
        this.once("change", () => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }
}
