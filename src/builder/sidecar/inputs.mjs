// What a build depends on besides the files that it has read: the settings that apply to them, what is installed, and the paths that
// were tried, or would have been before the file that was found, and are not there. So a file that comes concerns exactly those builds
// that would read it.

import { createHash } from "node:crypto";
import fs from "node:fs";
import { isBuiltin } from "node:module";
import path from "node:path";

import { tsconfigs } from "./tsconfig.mjs";
import { isInstalled } from "./vendor.mjs";

/** In the order in which esbuild tries them. */
const EXTENSIONS = [".tsx", ".ts", ".jsx", ".js", ".css", ".json"];

/** What esbuild reads where a module written for Node names the file that is made of it. */
const WRITTEN_AS = { ".js": [".ts", ".tsx"], ".jsx": [".ts", ".tsx"], ".mjs": [".mts"], ".cjs": [".cts"] };

/** What package managers write when they have installed something: also what a package of ours only uses by way of another one. */
export const INSTALLED = [".package-lock.json", ".pnpm/lock.yaml", ".yarn-integrity", ".yarn-state.yml"];

/**
 * All that a build depends on. Its `files` were read, `imports` are [what is imported, by which file, the file that was found]; that is
 * undefined when it is left out of the bundle, and null when nothing was found.
 */
export function inputsOf(request, files, imports) {
  const { entry, root, bundling } = request;
  const inputs = new Set([...files, entry, ...[bundling.tsconfig, bundling.plugins].filter(Boolean)]);
  const up = new Upwards(inputs);
  const own = [...files].filter((file) => path.isAbsolute(file) && !isInstalled(file));
  const directories = new Set([path.dirname(entry), root, ...own.map((file) => path.dirname(file))]);
  for (const directory of directories) {
    up.nearest(directory, "package.json");
    if (!bundling.tsconfig) up.tsconfig(directory);
  }
  const fixed = bundling.tsconfig && tsconfigs(bundling.tsconfig, inputs);
  for (const [wanted, importer, found] of imports) {
    // What packages import has come with them.
    if (isInstalled(importer) && found !== null) continue;
    const directory = path.dirname(importer);
    if (/^\.{1,2}(\/|$)|^\//.test(wanted)) {
      for (const tried of triedBefore(found, path.resolve(directory, wanted))) inputs.add(tried);
      continue;
    }
    if (isBuiltin(wanted) || wanted.startsWith("#")) continue;
    const paths = fixed ?? up.tsconfig(directory);
    const mapped = paths.targets(wanted).flatMap((target) => triedBefore(found, target));
    for (const tried of mapped) inputs.add(tried);
    // A path that is mapped to a file of the project's own is not looked for among packages.
    if (found && !isInstalled(found) && mapped.length > 0) continue;
    const name = /^(@[^/]+\/)?[^/]+/.exec(wanted)?.[0];
    if (name) up.package(directory, name);
  }
  return [...inputs];
}

/** What esbuild says of a build that succeeded, as imports. */
export function importsOf(metafile, projectRoot) {
  const whole = (file) => (/^[a-z][\w-]+:/.test(file) ? undefined : path.resolve(projectRoot, file));
  return Object.entries(metafile?.inputs ?? {}).flatMap(([importer, { imports }]) => {
    const file = whole(importer);
    if (!file) return [];
    return imports.map((one) => [one.original ?? one.path, file, one.external ? undefined : whole(one.path)]);
  });
}

/** What it says of one that failed. */
export function unresolvedBy(messages, projectRoot) {
  return messages.flatMap(({ text, location }) => {
    const wanted = /^Could not resolve "([^"]+)"/.exec(text)?.[1];
    return wanted && location ? [[wanted, path.resolve(projectRoot, location.file), null]] : [];
  });
}

/** What changes when a package manager has installed something that one of these paths is about. */
export function stateOfPackages(inputs) {
  const hash = createHash("sha256");
  for (const file of inputs) {
    if (INSTALLED.some((name) => file.endsWith(`${path.sep}node_modules${path.sep}${name}`))) hash.update(contentOf(file));
  }
  return hash.digest("hex");
}

/** Content by file, with the time and size for which it is known: hundreds of functions ask for the same. */
const contents = new Map();

function contentOf(file) {
  const { mtimeMs, size } = fs.statSync(file, { throwIfNoEntry: false }) ?? {};
  if (mtimeMs === undefined) return "";
  const known = contents.get(file);
  if (known?.mtimeMs === mtimeMs && known.size === size) return known.hash;
  const hash = createHash("sha256").update(fs.readFileSync(file)).digest("hex");
  contents.set(file, { mtimeMs, size, hash });
  return hash;
}

/**
 * What would be read rather than the file that was found; all that was tried, if none was or if it is known by another name. A file
 * without an ending is not code, so one that comes is no rival.
 */
function triedBefore(found, base) {
  const extension = path.extname(base);
  const exact = extension === "" ? [] : [base];
  if (found?.startsWith(base)) {
    const index = EXTENSIONS.indexOf(found.slice(base.length));
    if (index >= 0) return [...exact, ...EXTENSIONS.slice(0, index).map((one) => base + one)];
    if (found === base) return [];
  }
  const stem = base.slice(0, base.length - extension.length);
  const all = [
    ...exact,
    ...EXTENSIONS.map((one) => base + one),
    ...(WRITTEN_AS[extension] ?? []).map((one) => stem + one),
    ...["package.json", ...EXTENSIONS.map((one) => `index${one}`)].map((one) => path.join(base, one)),
  ];
  const index = all.indexOf(found);
  const before = index < 0 ? all : all.slice(0, index);
  // A directory would stand for everything in it.
  const isDirectory = exact.length > 0 && fs.statSync(base, { throwIfNoEntry: false })?.isDirectory();
  return isDirectory ? before.slice(1) : before;
}

/** Looks from directories upwards, each way once, and notes where it has looked. */
class Upwards {
  #known = new Map();
  #configurations = new Map();

  constructor(inputs) {
    this.inputs = inputs;
  }

  /** The nearest file of that name. */
  nearest(directory, name) {
    const key = `${name}\0${directory}`;
    if (this.#known.has(key)) return this.#known.get(key);
    const file = path.join(directory, name);
    const parent = path.dirname(directory);
    this.inputs.add(file);
    const found = fs.existsSync(file) ? file : parent === directory ? undefined : this.nearest(parent, name);
    this.#known.set(key, found);
    return found;
  }

  /** What the nearest `tsconfig.json` says of paths. */
  tsconfig(directory) {
    const file = this.nearest(directory, "tsconfig.json");
    if (!this.#configurations.has(file)) this.#configurations.set(file, tsconfigs(file, this.inputs));
    return this.#configurations.get(file);
  }

  /** The package that is imported from a directory. */
  package(directory, name) {
    const key = `package\0${name}\0${directory}`;
    if (this.#known.has(key)) return;
    this.#known.set(key, undefined);
    const modules = path.join(directory, "node_modules");
    const place = path.join(modules, name);
    if (fs.existsSync(place)) {
      this.inputs.add(path.join(place, "package.json"));
      const whole = fs.realpathSync(place).split(`${path.sep}node_modules${path.sep}`);
      const tops = whole.length > 1 ? [modules, path.join(whole[0], "node_modules")] : [modules];
      for (const file of tops.flatMap((top) => INSTALLED.map((one) => path.join(top, one)))) {
        if (fs.existsSync(file)) this.inputs.add(file);
      }
      return;
    }
    const parent = path.dirname(directory);
    // Until there is a `node_modules` at all, its coming is what matters.
    if (path.basename(directory) !== "node_modules") this.inputs.add(fs.existsSync(modules) ? place : modules);
    if (parent !== directory) this.package(parent, name);
  }
}
