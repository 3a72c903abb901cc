// The builds of all functions: for each of the functions built last it is kept what makes the next build of it quick.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { explain } from "./explain.mjs";
import { formatOf } from "./format.mjs";
import { FunctionBuilds } from "./function.mjs";

/** Of so many functions it is kept in any case. */
const ALWAYS_KEPT = 20;

/** What is kept are parsed files, which take several times their size. Of further functions they are kept up to so many bytes of files in all. */
const KEPT_BYTES = 4_000_000;

export class Builds {
  /** Function → { key, builds, isBusy, isForgotten }, the one used last at the end. */
  #kept = new Map();
  /** Function → its last build. Builds of one function write the same files, so they take turns. */
  #turns = new Map();
  #esbuild;
  #worthwhile;

  constructor(projectRoot, npmRoot, worthwhile) {
    this.projectRoot = projectRoot;
    this.npmRoot = npmRoot;
    this.#worthwhile = worthwhile;
  }

  /** Builds a function. The answer says how it went; nothing is thrown. */
  build(request) {
    const before = this.#turns.get(request.function) ?? Promise.resolve();
    const turn = before.then(() => this.#attempt(request));
    this.#turns.set(request.function, turn);
    turn.then(() => {
      if (this.#turns.get(request.function) === turn) this.#turns.delete(request.function);
    });
    return turn;
  }

  async #attempt(request) {
    try {
      return { built: await this.#build(request) };
    } catch (error) {
      const watched = this.#kept.get(request.function)?.builds.watched ?? [];
      return { failed: await explain(this.#esbuild, error, request, this.projectRoot, watched) };
    }
  }

  /** Forgets what was kept to build a function quickly. */
  cool(name) {
    const known = this.#kept.get(name);
    this.#kept.delete(name);
    if (known) forget(known);
  }

  /** Ends when nothing is done for a function in the background. */
  async settled(name) {
    await this.#kept.get(name)?.builds.settled();
  }

  async #build(request) {
    const kept = await this.#keptFor(this.#load(), request);
    try {
      return await kept.builds.build();
    } finally {
      kept.isBusy = false;
      if (kept.isForgotten) forget(kept);
    }
  }

  /** What is kept of the function, busy from now on. */
  async #keptFor(esbuild, request) {
    const { function: name, bundling } = request;
    const format = formatOf(request.entry, bundling.format);
    const changed = bundling.plugins && fs.statSync(bundling.plugins, { throwIfNoEntry: false })?.mtimeMs;
    const key = JSON.stringify([request, format, changed]);
    const known = this.#kept.get(name);
    this.#kept.delete(name);
    if (known?.key === key) {
      this.#kept.set(name, known);
      known.isBusy = true;
      return known;
    }
    if (known) forget(known);
    const builds = await FunctionBuilds.create(esbuild, request, this.projectRoot, format, changed, this.#worthwhile);
    const made = { key, builds, isBusy: true, isForgotten: false };
    this.#kept.set(name, made);
    let bytes = 0;
    for (const { builds } of this.#kept.values()) bytes += builds.bytes;
    for (const [oldest, { builds }] of this.#kept) {
      if (this.#kept.size <= ALWAYS_KEPT || bytes <= KEPT_BYTES) break;
      bytes -= builds.bytes;
      this.cool(oldest);
    }
    return made;
  }

  /** The project's own esbuild, so that its version and its plugins fit; else ours. */
  #load() {
    this.#esbuild ??= [this.projectRoot, this.npmRoot].reduce((found, root) => {
      try {
        if (found) return found;
        const esbuild = createRequire(path.join(root, "package.json"))("esbuild");
        // Releases before 0.17 have no contexts.
        return typeof esbuild.context === "function" ? esbuild : undefined;
      } catch {
        return found;
      }
    }, undefined);
    if (!this.#esbuild) throw new Error("esbuild is not installed; run `npm install --save-dev esbuild`");
    return this.#esbuild;
  }
}

/** Frees what is kept. A build fails when that goes away meanwhile, so it is freed at its end. */
function forget(known) {
  known.isForgotten = true;
  if (!known.isBusy) known.builds.dispose();
}
