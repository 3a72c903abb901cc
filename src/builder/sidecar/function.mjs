// The builds of a function, or of several that are built alike. The first is the whole bundle, exactly as it is deployed. Where much of it
// comes from packages, a vendor bundle is made afterwards, in the background, and from then on only the function's own files are built,
// which takes milliseconds however large its packages are. Whatever does not fit the vendor bundle (another package, an error, a package
// that was installed anew) is built whole again: that is always right.

import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";

import { ahead } from "./ahead.mjs";
import { externalsPlugin, importsPlugin } from "./externals.mjs";
import { INSTALLED, importsOf, inputsOf, stateOfPackages } from "./inputs.mjs";
import { options, pluginsOf } from "./options.mjs";
import { Beside, stamped } from "./output.mjs";
import { Stamps, bundle, describe, isInstalled, manifestsOf, packagesOf, splitPlugin, unknownIn, usedIn, weightOf } from "./vendor.mjs";

/** From how many bytes of packages on a vendor bundle is worth it. Below, the whole bundle takes hardly longer. */
export const WORTHWHILE = 50_000;

/** esbuild tells since then what format the modules are that it has read. */
const LEAST_ESBUILD = [0, 18];

/** How often the own files alone may have an error that the whole bundle has not. */
const MOST_MISFITS = 2;

export class FunctionBuilds {
  #esbuild;
  #request;
  #root;
  #format;
  #plugins;
  #worthwhile;
  /** The context of the whole bundle, while that is what is built at each save. */
  #whole;
  /** What there is when one has been made: { which, known, used, file, isAlone, files, manifests, stamps, run, ownRun, context } */
  #vendor;
  /** The making of a vendor bundle, and of which packages the last one was that could not be made. */
  #making;
  #refused;
  #misfits = 0;
  #isDisposed = false;
  /** What plugins of the project said in the last build that they depend on. */
  watched;
  /** How much it was that the last build has read. */
  bytes = 0;

  static async create(esbuild, request, root, format, pluginsVersion, worthwhile) {
    const { plugins: file } = request.bundling;
    const watched = new Set();
    const plugins = file ? await pluginsOf(file, pluginsVersion, { files: watched }) : [];
    return new FunctionBuilds(esbuild, request, root, format, { plugins, watched }, worthwhile);
  }

  constructor(esbuild, request, root, format, { plugins, watched }, worthwhile = WORTHWHILE) {
    this.#esbuild = esbuild;
    this.#request = request;
    this.#root = root;
    this.#format = format;
    this.#plugins = plugins;
    this.watched = watched;
    this.#worthwhile = worthwhile;
  }

  /** Builds what runs, for `put`. Throws esbuild's errors. */
  async build() {
    const steps = new Steps([]);
    const built = (await this.#buildOwnPart()) ?? (await this.#buildWhole());
    steps.end(built.vendor ? "own files" : "whole bundle");
    return this.#bundleOf(built, steps);
  }

  /** Writes what was built to where a function's bundle lies: { file, fingerprint, inputs, packages, provided, steps }. */
  put({ outputs, links, vendor, ahead, isCurrent: _, steps: before, ...built }, place) {
    const steps = new Steps(before);
    place.put({ file: built.file, outputs, links, vendor: vendor?.files, ahead, next: this.#vendor?.files });
    steps.end("written");
    return { ...built, packages: ahead ? [[`./${ahead.name}`, place.directory]] : [], steps: steps.ended };
  }

  /** Ends when no vendor bundle is being made any more. For whoever compares or measures. */
  async settled() {
    await this.#making;
  }

  dispose() {
    this.#isDisposed = true;
    this.#leaveWhole();
    this.#forgetVendor();
  }

  /** The own files against the vendor bundle; nothing if they do not fit it. */
  async #buildOwnPart() {
    if (this.#vendor && !this.#vendor.files.areThere()) this.#forgetVendor();
    const vendor = this.#vendor;
    if (!vendor) return undefined;
    clear(vendor.ownRun);
    // esbuild is another process, and works while the packages are looked at. An error will be the whole bundle's as well, in its own words.
    const rebuilt = vendor.context.rebuild().catch(() => undefined);
    const areCurrent = vendor.stamps.areCurrent();
    const result = await rebuilt;
    if (!areCurrent) this.#forgetVendor();
    if (!areCurrent || !result) return undefined;
    if (unknownIn(result.metafile, vendor.known, this.#root) || !hasAll(vendor, usedIn(textOf(result), vendor.known))) {
      this.#forgetVendor();
      return undefined;
    }
    const run = { packages: new Map([...vendor.run.packages, ...vendor.ownRun.packages]) };
    run.provided = new Set([...vendor.run.provided, ...vendor.ownRun.provided]);
    return { result, run, vendor };
  }

  async #buildWhole() {
    const vendor = this.#vendor;
    // A context is only worth its memory when it is used again.
    const run = (vendor ? undefined : this.#whole?.run) ?? newRun();
    clear(run);
    this.watched.clear();
    let result;
    if (vendor) {
      result = await this.#esbuild.build(this.#options(run));
      // It has no error. Either a file was mended meanwhile, or the parts are at fault.
      this.#misfits += 1;
      if (this.#misfits > MOST_MISFITS) this.#refused = vendor.which;
      this.#forgetVendor();
    } else {
      const whole = (this.#whole ??= { run, context: await this.#esbuild.context(this.#options(run)) });
      whole.isBusy = true;
      try {
        result = await whole.context.rebuild();
      } finally {
        whole.isBusy = false;
        if (this.#vendor) this.#leaveWhole();
      }
    }
    this.#makeVendor(result.metafile);
    return { result, run };
  }

  #options(run, ...plugins) {
    const imports = this.#request.bundling.esbuild?.bundle === false ? importsPlugin : externalsPlugin;
    const all = [...this.#plugins, imports(run, this.#request), ...plugins];
    return { ...options(this.#request, this.#root, this.#format, all), metafile: true };
  }

  /** Frees the context of the whole bundle. A build fails when that goes away meanwhile, so it is freed at its end. */
  #leaveWhole() {
    if (!this.#whole || this.#whole.isBusy) return;
    this.#whole.context.dispose();
    this.#whole = undefined;
  }

  #forgetVendor() {
    this.#vendor?.context.dispose();
    this.#vendor = undefined;
  }

  #makeVendor(metafile) {
    if (this.#making || this.#vendor || !this.#isSplittable() || weightOf(metafile) < this.#worthwhile) return;
    const packages = packagesOf(metafile, this.#root);
    const which = nameOf(packages, this.#request.entry);
    if (packages.length === 0 || which === this.#refused) return;
    const make = async () => {
      try {
        if (!this.#isDisposed) await this.#make(packages, which);
      } catch (error) {
        // E.g. one awaits something while it is evaluated. Then all is built whole, until packages are installed or others are used.
        this.#refused = which;
        const reason = error.errors?.[0]?.text ?? error.message;
        process.stderr.write(`no vendor bundle for ${this.#request.function}: ${reason}\n`);
      }
    };
    // One at a time, and after the answer to the build that this one is for.
    this.#making = inBackground(make).finally(() => (this.#making = undefined));
  }

  /** Whether parts of the function can be told from each other, and are the same in two files as they are in one. */
  #isSplittable() {
    const { inject, banner, footer } = this.#request.bundling;
    const [major, minor] = this.#esbuild.version.split(".").map(Number);
    const isOld = major === LEAST_ESBUILD[0] && minor < LEAST_ESBUILD[1];
    // An injected file has a state, and a plugin may look at all there is.
    if (isOld || inject?.length || this.#plugins.length || footer) return false;
    return isRepeatable(banner ?? "") && !isInstalled(this.#request.entry);
  }

  async #make(packages, which) {
    const run = newRun();
    const shared = this.#options(run);
    const began = Date.now();
    const known = await describe(this.#esbuild, packages, shared, this.#root);
    const used = await this.#usedOf(known);
    // An error in the own files is told by their next build.
    if (!used) return;
    clear(run);
    const { file, outputFiles, inputs, isAlone } = await bundle(this.#esbuild, known, used, shared, this.#root);
    const manifests = manifestsOf(inputs);
    const stamps = new Stamps([...inputs, ...manifests, ...installations(this.#request.entry)]);
    // What was installed meanwhile may be in there by half.
    if (!stamps.areSince(began) || this.#isDisposed) return;
    const ownRun = newRun();
    const plugin = splitPlugin(known, `./${file}`, this.#format);
    const context = await this.#esbuild.context(this.#options(ownRun, plugin));
    if (this.#isDisposed) return void context.dispose();
    // Written only now that it is known to be wanted: whatever is put there meanwhile removes what nobody needs.
    const files = new Beside(file, this.#request.directory, outputFiles);
    this.#vendor = { which, known, used, file, isAlone, files, manifests, stamps, run, ownRun, context };
    this.#leaveWhole();
  }

  /** Which exports of packages the own files use, or nothing if these cannot be built. */
  async #usedOf(known) {
    const plugin = splitPlugin(known, "./vendor", this.#format);
    try {
      return usedIn(textOf(await this.#esbuild.build(this.#options(newRun(), plugin))), known);
    } catch {
      return undefined;
    }
  }

  #bundleOf({ result, run, vendor }, steps) {
    const { directory, entry } = this.#request;
    const extension = this.#format === "esm" ? "mjs" : "cjs";
    const hash = createHash("sha256");
    const maps = new Map(result.outputFiles.map((output) => [output.path, output.contents]));
    const outputs = result.outputFiles.map((output) => {
      const contents = stamped(withEntry(output, entry), maps.get(`${output.path}.map`));
      hash.update(path.basename(output.path)).update(contents);
      return [path.relative(directory, output.path), contents];
    });
    for (const [name, target] of [...run.packages].sort()) {
      // A package that is installed anew lies where the former one lay.
      const installed = fs.statSync(path.join(target, "package.json"), { throwIfNoEntry: false })?.mtimeMs;
      hash.update(`${name}\0${target}\0${installed}\0`);
    }
    const files = Object.keys(result.metafile.inputs).filter((input) => !/^(\(disabled\)|[\w-]{2,}):/.test(input));
    this.bytes = files.reduce((sum, input) => sum + result.metafile.inputs[input].bytes, 0);
    const absolute = files.map((input) => path.resolve(this.#root, input));
    const read = new Stamps(absolute);
    const own = absolute.filter((file) => !isInstalled(file));
    const manifests = [...(vendor?.manifests ?? []), ...manifestsOf(absolute), ...installations(entry)];
    const imports = importsOf(run.metafile ?? result.metafile, this.#root);
    const inputs = inputsOf(this.#request, [...own, ...manifests, ...this.watched], imports);
    hash.update(stateOfPackages(inputs));
    steps.end("what it depends on");
    const loaded = ahead({ result, vendor, root: this.#root, extension });
    steps.end("what standbys load");
    return {
      file: `index.${extension}`,
      fingerprint: hash.digest("hex"),
      inputs,
      provided: [...run.provided].sort(),
      outputs,
      links: new Map(run.packages),
      vendor,
      ahead: loaded,
      /** Whether what it was made of, also of packages, whose files are not watched, is as it was, and all that belongs to it still there. */
      isCurrent: () => read.areCurrent() && (!vendor || (vendor.stamps.areCurrent() && vendor.files.areThere())),
      steps: steps.ended,
    };
  }
}

/** What a build is busy with one after the other: [what, milliseconds]. */
class Steps {
  #since = performance.now();

  constructor(before) {
    this.ended = [...before];
  }

  end(what) {
    const now = performance.now();
    this.ended.push([what, Math.round((now - this.#since) * 1000) / 1000]);
    this.#since = now;
  }
}

/** A map of nothing names the entry all the same: who looks for a handler in an empty bundle is told of which file it was made. */
function withEntry({ path: file, contents }, entry) {
  const nothing = '"sources": []';
  if (!file.endsWith(".map") || contents.length > 200) return contents;
  const source = JSON.stringify(path.relative(path.dirname(file), entry));
  return Buffer.from(Buffer.from(contents).toString().replace(nothing, `"sources": [${source}]`));
}

/** What is done while nobody waits for it. */
let background = Promise.resolve();

function inBackground(work) {
  background = background.then(() => new Promise(setImmediate)).then(work);
  return background;
}

/** Whether a vendor bundle has all the exports that a part uses. */
function hasAll({ used }, wanted) {
  return [...wanted].every(([id, names]) => [...names].every((name) => used.get(id)?.has(name)));
}

function textOf({ outputFiles }) {
  return outputFiles.find((output) => /[\\/]index\.[cm]js$/.test(output.path)).text;
}

/** Whether a text before both parts does the same twice as it does once: it only declares something. */
function isRepeatable(banner) {
  const text = banner.replace(/\/\*[^]*?\*\/|\/\/.*$/gm, "");
  const statements = text.split(/[;\n]/).map((one) => one.trim()).filter(Boolean);
  return statements.every((one) => /^(import\b|const\b|let\b|var\b|["']use strict["'])/.test(one)) && !/globalThis|\bglobal\b|console|process/.test(text);
}

/** What package managers write whenever they have installed something. */
function installations(entry) {
  const found = [];
  for (let directory = path.dirname(entry); ; directory = path.dirname(directory)) {
    for (const name of INSTALLED) {
      const file = path.join(directory, "node_modules", name);
      if (fs.existsSync(file)) found.push(file);
    }
    if (path.dirname(directory) === directory) return found;
  }
}

/** Which packages these are, and when any were installed. */
function nameOf(packages, entry) {
  const installed = installations(entry).map((file) => fs.statSync(file, { throwIfNoEntry: false })?.ctimeMs);
  return [...packages.map(([file]) => file), ...installed].join("\n");
}

function newRun() {
  return { packages: new Map(), provided: new Set(), metafile: undefined };
}

function clear(run) {
  run.packages.clear();
  run.provided.clear();
  run.metafile = undefined;
}
