// The builds of all functions: one esbuild context for each of the functions built last, so that the next build of it
// is quick.

import { createHash } from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { formatOf, nearest } from "./format.mjs";
import { packagesPlugin } from "./packages.mjs";

/** A context holds a function's parsed files in memory, some megabytes each. */
const MAX_CONTEXTS = 20;

export class Builds {
  /** Function → { key, context, run, format, isBusy, isForgotten }, the one used last at the end. */
  #contexts = new Map();
  /** Function → its last build. Builds of one function write the same files, so they take turns. */
  #turns = new Map();
  #esbuild;

  constructor(projectRoot, npmRoot) {
    this.projectRoot = projectRoot;
    this.npmRoot = npmRoot;
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
    const files = new Set([request.entry]);
    try {
      return { built: await this.#build(request, files) };
    } catch (error) {
      return { failed: await this.#explain(error, request, files) };
    }
  }

  /** Forgets what was kept to build a function quickly. */
  cool(name) {
    const known = this.#contexts.get(name);
    this.#contexts.delete(name);
    if (known) forget(known);
  }

  async #build(request, files) {
    const esbuild = this.#load();
    const warm = await this.#contextOf(esbuild, request);
    warm.run.files = files;
    warm.run.packages = new Map();
    warm.run.provided = new Set();
    let result;
    try {
      result = await warm.context.rebuild();
    } finally {
      warm.isBusy = false;
      if (warm.isForgotten) forget(warm);
    }
    const file = `index.${warm.format === "esm" ? "mjs" : "cjs"}`;
    const hash = createHash("sha256");
    fs.mkdirSync(request.directory, { recursive: true });
    const maps = new Map(result.outputFiles.map((output) => [output.path, output.contents]));
    for (const output of result.outputFiles) {
      const contents = stamped(output.contents, maps.get(`${output.path}.map`));
      hash.update(path.basename(output.path)).update(contents);
      replace(output.path, contents);
    }
    // A function that has changed its format must not find its former self.
    fs.rmSync(path.join(request.directory, `index.${warm.format === "esm" ? "cjs" : "mjs"}`), { force: true });
    link(path.join(request.directory, "node_modules"), warm.run.packages);
    for (const [name, target] of [...warm.run.packages].sort()) {
      // A package that is installed anew lies where the former one lay.
      const installed = fs.statSync(path.join(target, "package.json"), { throwIfNoEntry: false })?.mtimeMs;
      hash.update(`${name}\0${target}\0${installed}\0`);
    }
    const inputs = [...new Set([...files, ...settingsOf(request)])];
    const provided = [...warm.run.provided].sort();
    return { file, fingerprint: hash.digest("hex"), inputs, packages: imports(warm.run), provided };
  }

  /** The function's context, busy from now on. */
  async #contextOf(esbuild, request) {
    const { function: name, bundling } = request;
    const format = formatOf(request.entry, bundling.format);
    const changed = bundling.plugins && fs.statSync(bundling.plugins, { throwIfNoEntry: false })?.mtimeMs;
    const key = JSON.stringify([request, format, changed]);
    const known = this.#contexts.get(name);
    this.#contexts.delete(name);
    if (known?.key === key) {
      this.#contexts.set(name, known);
      known.isBusy = true;
      return known;
    }
    if (known) forget(known);
    const run = { files: new Set(), packages: new Map(), imports: new Set(), provided: new Set() };
    const plugins = [recordingPlugin(run)];
    if (bundling.plugins) plugins.push(...(await pluginsOf(bundling.plugins, changed)));
    if (!bundling.bundlePackages) plugins.push(packagesPlugin(run, request));
    const context = await esbuild.context(options(request, this.projectRoot, format, plugins));
    const made = { key, context, run, format, isBusy: true, isForgotten: false };
    this.#contexts.set(name, made);
    for (const oldest of this.#contexts.keys()) {
      if (this.#contexts.size <= MAX_CONTEXTS) break;
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

  async #explain(error, request, files) {
    const inputs = new Set([...files, ...settingsOf(request)]);
    const messages = error?.errors ?? [];
    for (const { location, text } of messages) {
      if (location) inputs.add(path.resolve(this.projectRoot, location.file));
      const wanted = /^Could not resolve "(\.[^"]*)"/.exec(text)?.[1];
      // The directory in which the missing file may appear.
      if (!wanted || !location) continue;
      inputs.add(existing(path.resolve(this.projectRoot, path.dirname(location.file), path.dirname(wanted))));
    }
    if (!fs.existsSync(request.entry)) inputs.add(existing(path.dirname(request.entry)));
    if (messages.length === 0) {
      const text = String(error?.stack ?? error);
      const summary = String(error?.message ?? error);
      return { summary, detail: text, errorType: "Runtime.ImportModuleError", inputs: [...inputs] };
    }
    const [{ location, text }] = messages;
    const where = location ? `${location.file}:${location.line}:${location.column + 1}: ` : "";
    const frames = await this.#load().formatMessages(messages, { kind: "error", color: false });
    const unresolved = /^Could not (resolve|read)/.test(text);
    return {
      summary: `${where}${text}`,
      detail: frames.join("").trimEnd(),
      errorType: unresolved ? "Runtime.ImportModuleError" : "Runtime.UserCodeSyntaxError",
      inputs: [...inputs],
    };
  }
}

function options(request, projectRoot, format, plugins) {
  const { bundling } = request;
  return {
    // Messages name files relative to it.
    absWorkingDir: projectRoot,
    entryPoints: { index: request.entry },
    outdir: request.directory,
    outExtension: { ".js": format === "esm" ? ".mjs" : ".cjs" },
    bundle: true,
    write: false,
    logLevel: "silent",
    platform: "node",
    format,
    target: bundling.target ?? "node20",
    sourcemap: "linked",
    sourcesContent: false,
    external: bundling.external,
    loader: bundling.loader,
    define: bundling.define,
    banner: bundling.banner ? { js: bundling.banner } : undefined,
    footer: bundling.footer ? { js: bundling.footer } : undefined,
    tsconfig: bundling.tsconfig ?? undefined,
    mainFields: bundling.mainFields?.length ? bundling.mainFields : undefined,
    conditions: bundling.conditions?.length ? bundling.conditions : undefined,
    inject: bundling.inject,
    plugins,
  };
}

/** The plugins that a module of the project exports, as the module is now. */
async function pluginsOf(file, version) {
  // CommonJS is kept by its file's name, whatever the address.
  delete createRequire(file).cache[fs.realpathSync(file)];
  const { default: plugins } = await import(`${pathToFileURL(file).href}?version=${version}`);
  if (!Array.isArray(plugins)) throw new Error(`\`${file}\` must export an array of esbuild plugins`);
  return plugins;
}

/** Frees a context. A build fails when its context goes away meanwhile, so that one is freed at its end. */
function forget(known) {
  known.isForgotten = true;
  if (!known.isBusy) known.context.dispose();
}

/** Notes every file that a build reads, also one that fails. */
function recordingPlugin(run) {
  return {
    name: "sst-inputs",
    setup(build) {
      build.onStart(() => run.imports.clear());
      build.onLoad({ filter: /.*/, namespace: "file" }, ({ path: file }) => {
        run.files.add(file);
        return undefined;
      });
    },
  };
}

/** The files besides code that a build depends on. */
function settingsOf({ entry, root, bundling }) {
  const directory = path.dirname(entry);
  const found = [
    bundling.tsconfig,
    bundling.plugins,
    nearest(directory, "tsconfig.json"),
    nearest(directory, "package.json"),
    nearest(root, "package.json"),
  ];
  return [...new Set(found.filter(Boolean))];
}

function imports(run) {
  return [...run.imports].map((text) => JSON.parse(text));
}

/**
 * Code that differs when its source map does. Debuggers keep the map of a script that they have seen before, but a comment that is
 * put in above a breakpoint changes the map and not the script.
 */
function stamped(contents, map) {
  if (!map) return contents;
  const code = Buffer.from(contents);
  const reference = code.lastIndexOf("//# sourceMappingURL=");
  if (reference < 0) return contents;
  const stamp = `// ${createHash("sha256").update(map).digest("hex").slice(0, 16)}\n`;
  return Buffer.concat([code.subarray(0, reference), Buffer.from(stamp), code.subarray(reference)]);
}

/** Writes a file in one step and only if it is different: a worker may be loading the old one. */
function replace(file, contents) {
  if (fs.existsSync(file) && fs.readFileSync(file).equals(contents)) return;
  const beside = `${file}.${process.pid}.tmp`;
  fs.writeFileSync(beside, contents);
  fs.renameSync(beside, file);
}

/** Makes packages resolve from where the bundle is as they do from where they are imported. */
function link(modules, packages) {
  for (const [name, target] of packages) {
    const file = path.join(modules, name);
    const isLink = fs.lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink();
    if (isLink && fs.readlinkSync(file) === target) continue;
    fs.rmSync(file, { force: true, recursive: true });
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.symlinkSync(target, file, "dir");
  }
}

/** The nearest directory upwards that exists. */
function existing(directory) {
  while (!fs.existsSync(directory)) directory = path.dirname(directory);
  return directory;
}
