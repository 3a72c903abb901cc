// The builds of all functions: for each of the functions built last it is kept what makes the next build of it quick. Functions that are
// built alike, as those of one file with several handlers, have that in common.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { explain } from "./explain.mjs";
import { formatOf } from "./format.mjs";
import { FunctionBuilds } from "./function.mjs";
import { Place } from "./output.mjs";
import { Stamps } from "./vendor.mjs";

/** Of so many functions that are built differently it is kept in any case. */
const ALWAYS_KEPT = 20;

/** What is kept are parsed files, which take several times their size. Of further functions they are kept up to so many bytes of files in all. */
const KEPT_BYTES = 4_000_000;

export class Builds {
  /** How functions are built → what is kept of those that are built so, the one used last at the end. */
  #kept = new Map();
  /** Function → how it is built. */
  #ways = new Map();
  /** Function, or how it is built → the last build. Builds of one function write the same files, so they take turns. */
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
    return this.#inTurn(request.function, () => this.#attempt(request));
  }

  #inTurn(key, work) {
    const before = this.#turns.get(key) ?? Promise.resolve();
    const turn = before.then(work, work);
    this.#turns.set(key, turn);
    const end = () => {
      if (this.#turns.get(key) === turn) this.#turns.delete(key);
    };
    turn.then(end, end);
    return turn;
  }

  async #attempt(request) {
    const failed = async (error, watched = []) => ({ failed: await explain(this.#esbuild, error, request, this.projectRoot, watched) });
    try {
      const way = wayOf(request);
      return await this.#inTurn(way.key, async () => {
        const kept = await this.#keptFor(this.#load(), request, way);
        return kept.build(request, failed);
      });
    } catch (error) {
      return failed(error);
    }
  }

  /** Forgets what was kept to build a function quickly. */
  cool(name) {
    const key = this.#ways.get(name);
    this.#ways.delete(name);
    this.#kept.get(key)?.leave(name);
    if (this.#kept.get(key)?.isUnused) this.#forget(key);
  }

  /** Ends when nothing is done for a function in the background. */
  async settled(name) {
    await this.#kept.get(this.#ways.get(name))?.builds.settled();
  }

  async #keptFor(esbuild, request, { key, format, changed }) {
    const { function: name } = request;
    if (this.#ways.get(name) !== key) this.cool(name);
    const known = this.#kept.get(key);
    this.#kept.delete(key);
    const kept = known ?? new Kept(await FunctionBuilds.create(esbuild, request, this.projectRoot, format, changed, this.#worthwhile));
    this.#kept.set(key, kept);
    this.#ways.set(name, key);
    kept.join(request);
    if (!known) this.#keepLess();
    return kept;
  }

  #keepLess() {
    let bytes = 0;
    for (const { builds } of this.#kept.values()) bytes += builds.bytes;
    for (const [oldest, { builds }] of this.#kept) {
      if (this.#kept.size <= ALWAYS_KEPT || bytes <= KEPT_BYTES) break;
      bytes -= builds.bytes;
      this.#forget(oldest);
    }
  }

  #forget(key) {
    const kept = this.#kept.get(key);
    this.#kept.delete(key);
    for (const name of kept.names) this.#ways.delete(name);
    kept.forget();
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

/** What is kept of functions that are built alike. */
class Kept {
  /** Function → where its bundle lies. */
  #places = new Map();
  /** What came of the last build, while it may be taken for another one of them: { generation, bundle or outcome, isCurrent }. */
  #last;
  #isBusy = false;
  #isForgotten = false;

  constructor(builds) {
    this.builds = builds;
  }

  get names() {
    return this.#places.keys();
  }

  get isUnused() {
    return this.#places.size === 0;
  }

  join({ function: name, directory }) {
    if (!this.#places.has(name)) this.#places.set(name, new Place(directory));
  }

  leave(name) {
    this.#places.delete(name);
    // What it was made of is watched for those for which it was built.
    this.#last = undefined;
  }

  /** Builds a function, or takes what came of a build of another one when that has read the same files. */
  async build({ function: name, generation, since }, explained) {
    const place = this.#places.get(name);
    this.#isBusy = true;
    try {
      const last = this.#last;
      if (last?.generation > since && last.isCurrent()) {
        return last.outcome ?? { built: this.builds.put({ ...last.bundle, steps: [] }, place) };
      }
      this.#last = undefined;
      const bundle = await this.builds.build();
      this.#keep({ generation, bundle, isCurrent: bundle.isCurrent });
      return { built: this.builds.put(bundle, place) };
    } catch (error) {
      const outcome = await explained(error, this.builds.watched);
      const looked = new Stamps(outcome.failed.inputs);
      // Anything else than an error in the files may be the function's own.
      if (error.errors?.length) this.#keep({ generation, outcome, isCurrent: () => looked.areCurrent() });
      return outcome;
    } finally {
      this.#isBusy = false;
      if (this.#isForgotten) this.builds.dispose();
    }
  }

  #keep(last) {
    // For one function alone nothing is kept in memory.
    if (this.#places.size > 1) this.#last = last;
  }

  /** Frees all. A build fails when that goes away meanwhile, so it is freed at its end. */
  forget() {
    this.#isForgotten = true;
    if (!this.#isBusy) this.builds.dispose();
  }
}

/** How a function is built, as a key that only functions have in common that are built alike, and what is not in the request for that. */
function wayOf(request) {
  const { function: name, directory, generation: _, since: __, ...rest } = request;
  const { plugins, commands } = request.bundling;
  const format = formatOf(request.entry, request.bundling.format);
  const changed = plugins && fs.statSync(plugins, { throwIfNoEntry: false })?.mtimeMs;
  // Source maps name files as they are found from beside the bundle. Plugins may do anything for the one function, and commands write for it.
  const beside = plugins || commands ? directory : path.dirname(directory);
  return { key: JSON.stringify([plugins || commands ? name : null, beside, rest, format, changed]), format, changed };
}
