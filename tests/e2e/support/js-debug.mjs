// The real js-debug, VS Code's debugger for JavaScript, without VS Code: a stand-in for the `vscode` module is enough for it to
// register its debug adapter, and the rest is the Debug Adapter Protocol.

import { execFileSync, spawn } from "node:child_process";
import { EventEmitter } from "node:events";
import fs from "node:fs";
import Module, { createRequire } from "node:module";
import net from "node:net";
import os from "node:os";
import path from "node:path";

import { endsWithTests, repository, within } from "./sst.mjs";

/** The release whose js-debug is used: VS Code 1.100.3. Its npm package holds the built extension. */
const CODE_SERVER = "code-server@4.100.3";

/** The directory of js-debug: where VS Code is installed, it is there; else it is downloaded once. */
function installedExtension() {
  const target = process.env.CARGO_TARGET_DIR ?? path.join(repository, "target");
  const inside = "lib/vscode/extensions/ms-vscode.js-debug";
  const [name, version] = CODE_SERVER.split("@");
  if (fs.existsSync(path.join(target, `vscode/complete-${version}`))) return path.join(target, "vscode/node_modules", name, inside);
  const installed = path.join(target, "js-debug-extension", CODE_SERVER);
  if (!fs.existsSync(installed)) {
    // Others may be at it as well.
    fs.mkdirSync(path.dirname(installed), { recursive: true });
    const scratch = fs.mkdtempSync(`${installed}-`);
    const [archive] = JSON.parse(execFileSync("npm", ["pack", CODE_SERVER, "--json", "--silent"], { cwd: scratch, encoding: "utf8" }));
    execFileSync("tar", ["xzf", archive.filename, `package/${inside}`], { cwd: scratch });
    if (!fs.existsSync(installed)) fs.renameSync(path.join(scratch, "package"), installed);
    fs.rmSync(scratch, { recursive: true, force: true });
  }
  return path.join(installed, inside);
}

// ---- the stand-in for the `vscode` module ------------------------------------

// Anything asked of it, called or constructed, gives another such thing.
function anything() {
  const target = function () {};
  return new Proxy(target, {
    get(_, key) {
      if (key === "then") return undefined;
      if (key === Symbol.toPrimitive) return () => "";
      if (key === Symbol.iterator) return function* () {};
      if (key in target) return target[key];
      return (target[key] = anything());
    },
    apply: () => anything(),
    construct: () => anything(),
  });
}

// The known members, and anything() for all others. The fallback is the object's
// prototype, as that survives the copy that esbuild's __toESM makes.
function withFallback(known) {
  const made = {};
  const fallback = new Proxy({}, {
    get: (_, key) => (typeof key === "symbol" || key === "then" || key === "__esModule" ? undefined : (made[key] ??= anything())),
  });
  return Object.setPrototypeOf(known, fallback);
}

class Emitter {
  #emitter = new EventEmitter();
  event = (listener, self) => {
    const bound = self ? listener.bind(self) : listener;
    this.#emitter.on("x", bound);
    return { dispose: () => this.#emitter.off("x", bound) };
  };
  fire(value) { this.#emitter.emit("x", value); }
  dispose() { this.#emitter.removeAllListeners(); }
}

class Uri {
  constructor(scheme, file) { this.scheme = scheme; this.path = this.fsPath = file; this.authority = this.query = this.fragment = ""; }
  static file(file) { return new Uri("file", file); }
  static parse(text) { const url = new URL(text); return new Uri(url.protocol.slice(0, -1), decodeURIComponent(url.pathname)); }
  static joinPath(uri, ...parts) { return new Uri(uri.scheme, path.posix.join(uri.path, ...parts)); }
  with(change) { return Object.assign(new Uri(this.scheme, this.path), change); }
  toString() { return `${this.scheme}://${this.path}`; }
}

class Host {
  factories = new Map();
  providers = new Map();
  started = new Emitter();
  terminated = new Emitter();

  static #only;

  /** The extension can be loaded once in a process; every debugger opens sessions of its own in it. */
  static for(workspace) {
    const host = (Host.#only ??= new Host(installedExtension()));
    host.folder = { uri: Uri.file(workspace), name: path.basename(workspace), index: 0 };
    return host;
  }

  constructor(extension) {
    const host = this;
    const manifest = JSON.parse(fs.readFileSync(path.join(extension, "package.json"), "utf8"));
    const defaults = Object.assign({}, ...[manifest.contributes.configuration].flat().map((part) => part.properties));
    const configuration = (section) => ({
      get: (key, fallback) => defaults[section ? `${section}.${key}` : key]?.default ?? fallback,
      inspect: () => undefined,
      has: () => false,
      update: async () => {},
    });
    const never = () => ({ dispose() {} });
    this.vscode = withFallback({
      EventEmitter: Emitter,
      Uri,
      Disposable: class { constructor(f) { this.dispose = f; } static from() { return { dispose() {} }; } },
      TreeItem: class {},
      DebugAdapterNamedPipeServer: class { constructor(pipe) { this.path = pipe; } },
      CancellationTokenSource: class { token = { isCancellationRequested: false, onCancellationRequested: never }; cancel() {} dispose() {} },
      DebugConsoleMode: { Separate: 0, MergeWithParent: 1 },
      ExtensionKind: { UI: 1, Workspace: 2 },
      l10n: { t: (text) => text, bundle: undefined },
      env: withFallback({ remoteName: undefined, appName: "js-debug host", language: "en" }),
      extensions: withFallback({ getExtension: () => undefined, all: [], onDidChange: never }),
      commands: withFallback({ registerCommand: never, executeCommand: async () => undefined }),
      window: withFallback({ terminals: [], activeTextEditor: undefined, visibleTextEditors: [] }),
      workspace: withFallback({
        get workspaceFolders() { return [host.folder]; },
        getWorkspaceFolder: () => this.folder,
        getConfiguration: configuration,
        onDidChangeConfiguration: never,
        isTrusted: true,
        textDocuments: [],
        findFiles: async () => [],
      }),
      debug: withFallback({
        breakpoints: [],
        registerDebugAdapterDescriptorFactory: (type, factory) => (this.factories.set(type, factory), never()),
        registerDebugConfigurationProvider: (type, provider) => {
          if (!this.providers.has(type)) this.providers.set(type, []);
          this.providers.get(type).push(provider);
          return never();
        },
        onDidStartDebugSession: this.started.event,
        onDidTerminateDebugSession: this.terminated.event,
        startDebugging: async (_folder, config, options) => (options.parentSession.owner.adopt(config, options.parentSession), true),
      }),
    });

    const load = Module._load;
    Module._load = (request, ...rest) => (request === "vscode" ? this.vscode : load(request, ...rest));
    const storage = fs.mkdtempSync(path.join(os.tmpdir(), "js-debug-"));
    process.on("exit", () => fs.rmSync(storage, { recursive: true, force: true }));
    const state = { get: (_key, fallback) => fallback, update: async () => {}, keys: () => [] };
    createRequire(import.meta.url)(path.join(extension, manifest.main)).activate(
      withFallback({
        subscriptions: [],
        extensionPath: extension,
        extensionUri: Uri.file(extension),
        extension: { packageJSON: manifest },
        storagePath: storage,
        globalState: state,
        workspaceState: state,
        environmentVariableCollection: withFallback({}),
        asAbsolutePath: (file) => path.join(extension, file),
      }),
    );
  }

  // What VS Code does with a launch.json configuration before it starts it.
  async resolve(config) {
    let current = config;
    for (const step of ["resolveDebugConfiguration", "resolveDebugConfigurationWithSubstitutedVariables"]) {
      for (const provider of this.providers.get(current.type) ?? []) {
        if (provider[step]) current = await provider[step](this.folder, current, { isCancellationRequested: false, onCancellationRequested: () => ({ dispose() {} }) });
        if (!current) throw new Error(`js-debug refused the configuration in ${step}`);
      }
    }
    return current;
  }
}

// ---- the Debug Adapter Protocol ----------------------------------------------

class Session extends EventEmitter {
  static #count = 0;
  #seq = 1;
  #waiting = new Map();
  #disconnected;

  static async start(owner, config, parentSession) {
    const { host } = owner;
    const session = new Session();
    const debugSession = {
      id: `session-${(Session.#count += 1)}`,
      type: config.type,
      name: config.name,
      workspaceFolder: host.folder,
      configuration: config,
      parentSession,
      owner,
      customRequest: (command, args) => session.request(command, args),
    };
    const descriptor = await host.factories.get(config.type).createDebugAdapterDescriptor(debugSession);
    session.name = config.name;
    session.socket = net.connect(descriptor.path);
    session.initialized = new Promise((resolve) => session.once("event:initialized", resolve));
    session.#read();
    await session.request("initialize", {
      clientID: "test", adapterID: config.type, pathFormat: "path", linesStartAt1: true, columnsStartAt1: true,
      supportsRunInTerminalRequest: true, supportsStartDebuggingRequest: true,
    });
    session.on("event:terminated", () => {
      // As VS Code does. Until then js-debug does not call the session that it belongs to ended.
      session.disconnect();
      host.terminated.fire(debugSession);
    });
    host.started.fire(debugSession);
    return session;
  }

  #read() {
    let buffer = Buffer.alloc(0);
    this.socket.on("error", () => {});
    this.socket.on("close", () => {
      this.closed = true;
      for (const { reject } of this.#waiting.values()) reject(new Error(`the session of ${this.name} is closed`));
      this.#waiting.clear();
    });
    this.socket.on("data", (chunk) => {
      buffer = Buffer.concat([buffer, chunk]);
      for (;;) {
        const head = buffer.indexOf("\r\n\r\n");
        if (head < 0) return;
        const length = Number(/Content-Length: (\d+)/i.exec(buffer.subarray(0, head))[1]);
        if (buffer.length < head + 4 + length) return;
        const message = JSON.parse(buffer.subarray(head + 4, head + 4 + length));
        buffer = buffer.subarray(head + 4 + length);
        if (message.type === "event") this.emit(`event:${message.event}`, message.body ?? {});
        else if (message.type === "request") this.emit("request", message);
        else {
          const { resolve, reject } = this.#waiting.get(message.request_seq);
          this.#waiting.delete(message.request_seq);
          message.success ? resolve(message.body ?? {}) : reject(new Error(`${message.command}: ${message.message}`));
        }
      }
    });
  }

  #write(message) {
    const body = JSON.stringify({ seq: this.#seq, ...message });
    this.#seq += 1;
    this.socket.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  }

  /** Ends it, once; waits for the answer, or until it is closed. */
  disconnect(args = {}) {
    return (this.#disconnected ??= this.request("disconnect", args).catch(() => {}));
  }

  request(command, args) {
    return new Promise((resolve, reject) => {
      if (this.closed) return reject(new Error(`the session of ${this.name} is closed`));
      this.#waiting.set(this.#seq, { resolve, reject });
      this.#write({ type: "request", command, arguments: args });
    });
  }

  respond(request, body) {
    this.#write({ type: "response", request_seq: request.seq, success: true, command: request.command, body });
  }
}

// ---- what a test does --------------------------------------------------------

/** A debugger with breakpoints, and the sessions that it has opened. */
export class JsDebug {
  sessions = [];
  programs = [];
  output = "";
  rootEnded = false;
  #stops = [];
  #changes = new EventEmitter().setMaxListeners(0);

  /** `breakpoints` maps a file to its lines. */
  constructor(workspace, breakpoints) {
    this.workspace = fs.realpathSync(workspace);
    this.breakpoints = breakpoints;
    this.host = Host.for(this.workspace);
  }

  /** Opens the session that js-debug wants for a child process. */
  adopt(config, parentSession) {
    this.start(config, parentSession).catch((error) => {
      this.error ??= error;
      this.#changes.emit("change");
    });
  }

  /** Starts a configuration of a `launch.json`. */
  async start(wanted, parentSession) {
    const text = JSON.stringify(wanted).replaceAll("${workspaceRoot}", this.workspace).replaceAll("${workspaceFolder}", this.workspace);
    const config = parentSession ? wanted : JSON.parse(text);
    const resolved = await this.host.resolve(config);
    const session = await Session.start(this, resolved, parentSession);
    this.sessions.push(session);
    if (this.root === undefined) {
      this.root = session;
      session.once("event:terminated", () => {
        this.rootEnded = true;
        this.#changes.emit("change");
      });
    }
    session.on("request", (request) => {
      if (request.command === "runInTerminal") session.respond(request, this.#runInTerminal(request.arguments));
    });
    session.on("event:stopped", (body) => {
      this.#stops.push({ session, threadId: body.threadId });
      this.#changes.emit("change");
    });
    const launched = session.request(resolved.request, resolved);
    launched.catch(() => {});
    await session.initialized;
    await this.#setBreakpoints(session);
    await session.request("configurationDone", {});
    await launched;
    return session;
  }

  /** Changes the breakpoints of all sessions, as an editor does when lines move. */
  async moveBreakpoints(breakpoints) {
    this.breakpoints = breakpoints;
    await Promise.all(this.sessions.map((session) => this.#setBreakpoints(session).catch(() => {})));
  }

  /** The next stop: its place as `file:line`, and what can be done there. */
  async stopped() {
    const stop = await this.#until(60_000, () => `nothing has stopped\n${this.output}`, () => this.#stops.shift());
    const { stackFrames } = await stop.session.request("stackTrace", { threadId: stop.threadId, levels: 5 });
    const [frame] = stackFrames;
    const place = `${path.relative(this.workspace, frame.source?.path ?? "?")}:${frame.line}`;
    const evaluate = async (expression) => {
      const { result } = await stop.session.request("evaluate", { expression, frameId: frame.id, context: "hover" });
      return result;
    };
    return { ...stop, place, evaluate, resume: () => stop.session.request("continue", { threadId: stop.threadId }) };
  }

  /** Waits until what the launched program has printed, from position `from` on, matches. */
  async waitFor(pattern, from = 0) {
    const missing = () => `${pattern} was not printed:\n${this.output}`;
    return this.#until(120_000, missing, () => {
      const match = pattern.exec(this.output.slice(from));
      if (!match && this.rootEnded) throw new Error(missing());
      return match;
    });
  }

  /** Waits until `holds` returns something true, which it is asked whenever something has changed. */
  #until(patience, missing, holds) {
    return new Promise((resolve, reject) => {
      const finish = (action, value) => {
        clearTimeout(timer);
        this.#changes.off("change", look);
        action(value);
      };
      const look = () => {
        try {
          const value = holds();
          if (value) finish(resolve, value);
          else if (this.error) finish(reject, this.error);
        } catch (error) {
          finish(reject, error);
        }
      };
      const timer = setTimeout(() => finish(reject, new Error(missing())), patience);
      this.#changes.on("change", look);
      look();
    });
  }

  /** The red square: it ends the sessions of the processes as well, without which js-debug would not call its own ended. */
  async stop() {
    if (!this.root || this.rootEnded) return;
    const ends = this.sessions.map((session) => session.disconnect({ terminateDebuggee: session === this.root })).slice(0, 1);
    ends.push(new Promise((resolve) => this.root.once("event:terminated", resolve)));
    // There is no terminal that would tell js-debug of the end of what it has launched.
    if (this.programs.length > 0) ends.push(Promise.all(this.programs.map((program) => program.exited)));
    await within(20_000, "the end of the debugger's session", Promise.race(ends));
  }

  #setBreakpoints(session) {
    const files = Object.entries(this.breakpoints);
    return Promise.all(
      files.map(([file, lines]) => {
        const source = { path: path.resolve(this.workspace, file) };
        return session.request("setBreakpoints", { source, breakpoints: lines.map((line) => ({ line })) });
      }),
    );
  }

  #runInTerminal({ args: [command, ...rest], cwd, env = {} }) {
    const merged = { ...process.env, ...env };
    for (const [name, value] of Object.entries(env)) if (value === null) delete merged[name];
    // A test runner among the programs would take itself for a file of this one.
    delete merged.NODE_TEST_CONTEXT;
    const program = endsWithTests(spawn(command, rest, { cwd: cwd || this.workspace, env: merged, stdio: ["pipe", "pipe", "pipe"] }));
    for (const stream of [program.stdout, program.stderr]) stream.setEncoding("utf8").on("data", (text) => {
      this.output += text;
      this.#changes.emit("change");
    });
    program.exited = new Promise((resolve) => program.once("exit", resolve));
    this.programs.push(program);
    return { shellProcessId: program.pid };
  }
}
