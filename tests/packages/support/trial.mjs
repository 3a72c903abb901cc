// What a user does first: installs the package, starts an app in a local cloud, calls it, saves a file, calls it again.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { PARTS, fileOf, manifestOf, source } from "../../../npm/pack.mjs";
import { Registry } from "../../../npm/test/support/registry.mjs";

export const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");

/** Where `make package` puts them. */
export const packages = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "packages");

/** A registry on this machine with the tarballs of a directory. */
export function registryOf(directory) {
  const there = PARTS.map((part) => ({ manifest: manifestOf(part), file: path.join(directory, fileOf(part)) }));
  return Registry.start(there.filter(({ file }) => fs.existsSync(file)));
}

/**
 * Somewhere to run programs. `command` is what goes before each command line there: a program that starts the one that it is given, and ends
 * with it. `at` tells what a path here is called there.
 */
export class Place {
  constructor({ command = [], at = (directory) => directory, env = {} } = {}) {
    Object.assign(this, { prefix: command, at, env });
  }

  start(directory, words) {
    const script = `cd '${this.at(directory)}' && exec ${words}`;
    const [command, ...args] = [...this.prefix, "/bin/sh", "-c", script];
    const env = { ...process.env, SST_BINARY: undefined, SST_NPM_ROOT: undefined, SST_STUB_BINARY: undefined, NO_COLOR: "1", ...this.env };
    return new Running(spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] }), this.prefix.length > 0);
  }

  async run(directory, words) {
    const running = this.start(directory, words);
    const [status] = await running.closed;
    assert.equal(status, 0, `${words}\n${running.output}`);
    return running.output.trim();
  }
}

class Running {
  output = "";
  #waiting = new Set();

  constructor(child, isStarter) {
    this.child = child;
    this.isStarter = isStarter;
    this.closed = once(child, "close");
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        this.output += text;
        if (process.env.SST_E2E_SHOW) process.stderr.write(text);
        for (const check of this.#waiting) check();
      });
    }
    this.closed.then(() => this.#waiting.forEach((check) => check(true)));
  }

  /** Waits until what it has written since `from` matches. */
  async waitFor(pattern, from = 0) {
    await new Promise((resolve, reject) => {
      const check = (ended = false) => {
        if (pattern.test(this.output.slice(from))) resolve();
        else if (ended) reject(new Error(`it ended before ${pattern}\n${this.output}`));
        else return;
        this.#waiting.delete(check);
      };
      this.#waiting.add(check);
      check();
    });
  }

  /** Ends it as Ctrl-C does. */
  async end() {
    const { pid } = this.child;
    const isThere = this.child.exitCode === null && this.child.signalCode === null;
    const started = isThere && this.isStarter ? Number(fs.readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim()) : pid;
    if (isThere) process.kill(started, "SIGINT");
    return await this.closed;
  }
}

/** A copy of the REST API in `directory`, which needs the package of `registry` instead of the checkout. */
export function app(directory, registry) {
  const ignored = /\/(node_modules|\.sst|cdk\.out|package-lock\.json)(\/|$)/;
  fs.cpSync(path.join(repository, "examples/rest-api"), directory, { recursive: true, filter: (file) => !ignored.test(file) });
  const manifest = path.join(directory, "package.json");
  fs.writeFileSync(manifest, fs.readFileSync(manifest, "utf8").replace('"file:../../npm"', `"${source.version}"`));
  fs.writeFileSync(path.join(directory, ".npmrc"), `${source.name.split("/")[0]}:registry=${registry.url}\n`);
}

/**
 * Installs the app of `directory` in a place, and does with it what a user does. Returns how many seconds each step took. With `endpoint` the
 * local cloud there is used, as a `stage`, instead of one of its own.
 */
export async function trial(directory, place, { endpoint, stage } = {}) {
  const seconds = {};
  const timed = async (name, step) => {
    const begun = performance.now();
    const result = await step();
    seconds[name] = Number(((performance.now() - begun) / 1000).toFixed(2));
    return result;
  };
  await timed("npm install", () => place.run(directory, "npm install --no-audit --no-fund --loglevel=error"));
  seconds.version = await place.run(directory, "node_modules/.bin/sst --version");
  // Any credentials will do for a cloud that is there already.
  const variables = "env AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1";
  const start = endpoint ? `${variables} node_modules/.bin/sst start --endpoint-url ${endpoint} --stage ${stage} --yes` : "node_modules/.bin/sst start --local";
  const sst = place.start(directory, start);
  try {
    await timed("sst start", () => sst.waitFor(/Listening for requests/));
    const { outputs } = JSON.parse(fs.readFileSync(path.join(directory, ".sst/session.json"), "utf8"));
    const { ApiEndpoint } = Object.assign({}, ...Object.values(outputs));
    const notes = async () => {
      const response = await fetch(`${ApiEndpoint}/notes`);
      assert.equal(response.status, 200, sst.output);
      return await response.text();
    };
    assert.match(await timed("first call", notes), /Hello World/);
    assert.match(await timed("second call", notes), /Hello World/);
    const file = path.join(directory, "src/list.js");
    const before = sst.output.length;
    await timed("save", async () => {
      fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace("json(200, notes)", 'json(200, ["saved"])'));
      await sst.waitFor(/BUILT/, before);
    });
    assert.equal(await timed("call after the save", notes), '["saved"]');
  } finally {
    await timed("end", () => sst.end());
  }
  return seconds;
}
