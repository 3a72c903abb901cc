// The app of `tests/fixtures/apps/counterpart`, deployed to the counterpart and served by a real `sst start`.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

import { Sst, copyApp, gone, until } from "../e2e/support/sst.mjs";
import { startCounterpart } from "./counterpart.mjs";

/** What is made for a test, and taken away by `close`. */
export class Deployed {
  #made = [];
  #started = [];

  /** Starts a counterpart as `options` say, has it made ready by `prepare`, and starts an `sst start` that serves the app. */
  static async start({ prepare = async () => {}, ...options } = {}) {
    const deployed = await Deployed.prepare(options);
    try {
      await prepare(deployed.counterpart);
      deployed.app = deployed.copy();
      deployed.sst = await deployed.serve();
    } catch (error) {
      await deployed.close();
      throw error;
    }
    return deployed;
  }

  /** Starts a counterpart as `options` say. Nothing is deployed yet. */
  static async prepare(options = {}) {
    const deployed = new Deployed();
    deployed.counterpart = await startCounterpart({ proxies: true, ...options });
    deployed.where = deployed.directory("sst-where-");
    return deployed;
  }

  directory(prefix) {
    const made = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), prefix));
    this.#made.push(made);
    return made;
  }

  /** Another copy of the app. */
  copy() {
    const made = copyApp("tests/fixtures/apps/counterpart");
    this.#made.push(made);
    return made;
  }

  /** Somebody on a machine of their own: with a name, a home, a copy of the app, and a network. */
  async person(name) {
    const [home, network] = [this.directory(`sst-${name}-`), await this.counterpart.way()];
    const env = { USER: name, HOME: home, XDG_CACHE_HOME: path.join(home, "cache"), AWS_ENDPOINT_URL: network.endpoint };
    return { owner: `${name}@${os.hostname()}`, app: this.copy(), network, env };
  }

  /** Who is registered for a function: connection, client, owner and so on, as texts. */
  async registered(name) {
    const { tables } = await this.counterpart.state();
    const items = Object.values(tables).flat();
    const found = items.find(({ pk }) => pk.S === `counterpart/${name}`);
    return found && Object.fromEntries(Object.entries(found).map(([key, value]) => [key, Object.values(value)[0]]));
  }

  /** What an `sst` needs to take the counterpart for AWS. */
  get environment() {
    return { ...this.counterpart.environment, COUNTERPART_WHERE: this.where };
  }

  /** Starts `sst start`. */
  begin({ app = this.app, args = [], env = {}, options = {} } = {}) {
    const sst = new Sst(app, ["start", "--stage", "dev", "--yes", ...args], { ...this.environment, ...env }, options);
    this.#started.push(sst);
    return sst;
  }

  /** Serves the app, and waits until it does. */
  async serve(settings = {}) {
    const sst = this.begin(settings);
    await sst.waitFor(/Listening for requests/);
    // Whoever was killed has left no session behind that says so.
    this.names ??= Object.fromEntries(["echo", "count", "sleep", "stream", "throws", "brief", "hasty"].map((name) => [name, sst.stackOutput(`Function${name}`)]));
    return sst;
  }

  /** Calls a function by its name in the app. */
  call(name, event, options) {
    return this.counterpart.invoke(this.names[name], event, options);
  }

  /** How often each request was run, by its id. */
  executions() {
    const file = path.join(this.where, "executions");
    const lines = fs.existsSync(file) ? fs.readFileSync(file, "utf8").trim().split("\n") : [];
    const counts = new Map();
    for (const line of lines) {
      const [id] = line.split(" ");
      counts.set(id, (counts.get(id) ?? 0) + 1);
    }
    return counts;
  }

  /** Each of these requests was run once. */
  onlyOnce(ids) {
    const executions = this.executions();
    assert.deepEqual(ids.map((id) => executions.get(id) ?? 0), ids.map(() => 1));
  }

  /** Calls `sleep`, and waits until it sleeps, and its stub is told that the call was taken. `wake` ends that; `answer` is the call's. */
  async asleep(name) {
    const from = this.counterpart.records.length;
    const answer = this.call("sleep", { until: name });
    await until("a sleeping function", () => fs.existsSync(path.join(this.where, `${name}.asleep`)));
    await this.taken(from);
    return { answer, wake: () => fs.writeFileSync(path.join(this.where, name), "") };
  }

  /** Waits until a stub is told something, from this entry of the record on. */
  taken(from) {
    return this.counterpart.until(({ kind, status, who }) => kind === "post" && status === 200 && who.startsWith("function/"), { from });
  }

  async close() {
    for (const sst of this.#started) await sst.stop();
    await this.counterpart?.close();
    for (const made of this.#made) {
      await gone(made);
      fs.rmSync(made, { recursive: true, force: true });
    }
  }
}
