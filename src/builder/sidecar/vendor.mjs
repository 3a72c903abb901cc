// The vendor bundle: everything that a function takes from installed packages, bundled once with the function's own options. Its own files
// are then built against it within milliseconds, by the same rules: esbuild itself says what each import means.
//
// A package's module that is CommonJS becomes `module.exports = open[id]()` in the function's part, so that esbuild adds its interop by
// the importer's mode. An ES module becomes one that names each export again, by way of an object with getters: bindings stay
// live, an export that there is not is still an error, and which exports are used can be read off the result, so that the vendor bundle
// leaves out what the whole bundle would. Modules are evaluated when they are first opened, which is when their turn has come.

import fs from "node:fs";
import { isBuiltin } from "node:module";
import path from "node:path";

/** Names for esbuild: what a module of a package exports, and the vendor bundle. */
const INNER = "sst-exports";
const FILE = "sst-vendor";

/** What stands for a package's module has no place in its source. */
const UNMAPPED = `//# sourceMappingURL=data:application/json;base64,${Buffer.from('{"version":3,"sources":[],"names":[],"mappings":""}').toString("base64")}`;

/** An export as the function's part names it: which one of which module. */
const USED = /([\w$]+)\$\$(\d+)\b/g;

/**
 * Whether a file belongs to an installed package: its path, or its name in a metafile, which begins with `node_modules` where packages lie
 * at the root. A linked package of the workspace is the project's own.
 */
export const isInstalled = (file) => /(^|[\\/])node_modules[\\/]/.test(file);

/** What a function's own files import of packages, from the metafile of its whole bundle: [path, format], in the order of the paths. */
export function packagesOf({ inputs }, root) {
  const found = new Map();
  for (const [file, { imports }] of Object.entries(inputs)) {
    if (isInstalled(file)) continue;
    for (const { path: imported, external } of imports) {
      const target = path.resolve(root, imported);
      // A file with neither exports nor imports is CommonJS to whoever imports it.
      if (!external && isInstalled(target) && !isAttributed(imported)) found.set(target, inputs[imported]?.format ?? "cjs");
    }
  }
  return [...found].sort(([one], [other]) => (one < other ? -1 : 1));
}

/** How much of a bundle comes from packages, in bytes. */
export function weightOf({ outputs }) {
  let weight = 0;
  for (const { inputs } of Object.values(outputs)) {
    for (const [file, { bytesInOutput }] of Object.entries(inputs)) if (isInstalled(file)) weight += bytesInOutput;
  }
  return weight;
}

/**
 * What the modules of packages are: path → { id, path, format, names }, where `names` are the exports of an ES module, and are missing
 * where not all of them are known before it is evaluated. Fails when one awaits something while it is evaluated.
 */
export async function describe(esbuild, packages, shared, root) {
  const known = new Map(packages.map(([file, format], id) => [file, { id, path: file, format }]));
  const modules = [...known.values()].filter(({ format }) => format === "esm");
  if (modules.length === 0) return known;
  const entryPoints = Object.fromEntries(modules.map((one) => [`m${one.id}`, one.path]));
  const { metafile, outputFiles } = await esbuild.build({
    ...shared,
    entryPoints,
    outExtension: undefined,
    entryNames: "[name]",
    format: "esm",
    splitting: true,
    sourcemap: false,
    minify: false,
    minifyIdentifiers: false,
    banner: undefined,
    footer: undefined,
    // One that awaits cannot be evaluated when its turn has come, and is an error here.
    supported: { ...shared.supported, "top-level-await": false },
    metafile: true,
  });
  const texts = new Map(outputFiles.map((file) => [file.path, file.text]));
  const isDynamic = (name, seen = new Set()) => {
    if (seen.has(name)) return false;
    seen.add(name);
    if (texts.get(path.resolve(root, name))?.includes("__reExport(")) return true;
    const { imports } = metafile.outputs[name] ?? { imports: [] };
    return imports.some((one) => one.kind === "import-statement" && !one.external && isDynamic(one.path, seen));
  };
  for (const [name, { entryPoint, exports }] of Object.entries(metafile.outputs)) {
    const one = known.get(entryPoint && path.resolve(root, entryPoint));
    // What is imported dynamically is an output of its own as well.
    if (one) Object.assign(one, { names: isDynamic(name) ? undefined : exports, hasDefault: exports.includes("default") });
  }
  return known;
}

/**
 * Puts what is known of packages in the place of their modules. esbuild has resolved them by itself, as nothing here is asked for each
 * import: there may be thousands.
 */
export function splitPlugin(known, vendorFile, format) {
  const filter = new RegExp(`^(${[...known.keys()].map(escaped).join("|")})$`);
  const vendor = JSON.stringify(FILE);
  const loaded = (contents) => ({ contents: `${contents}\n${UNMAPPED}`, loader: "js" });
  return {
    name: "sst-split",
    setup(build) {
      build.onLoad({ filter, namespace: "file" }, ({ path: file, with: attributes }) => {
        // What an attribute makes of a file is no module of the package's.
        if (Object.keys(attributes ?? {}).length > 0) return undefined;
        const one = known.get(file);
        return loaded(one.format === "esm" ? outer(one) : `module.exports = require("${INNER}");`);
      });
      build.onResolve({ filter: /^sst-(exports|vendor)$/ }, ({ path: wanted, importer }) => {
        if (wanted === FILE) return { path: vendorFile, external: true };
        // The name must not end as a file's does, which would say what format it is.
        return { path: String(known.get(importer).id), namespace: INNER };
      });
      build.onLoad({ filter: /.*/, namespace: INNER }, ({ path: id }) => {
        const open = `open[${id}]()`;
        return loaded(format === "esm" ? `import { open } from ${vendor}; module.exports = ${open};` : `module.exports = require(${vendor}).${open};`);
      });
    },
  };
}

/** What a function's part has of packages besides what is known of them. */
export function unknownIn({ inputs }, known, root) {
  return Object.keys(inputs).some((input) => isInstalled(input) && !isAttributed(input) && !known.has(path.resolve(root, input)));
}

/** Files that are imported with an attribute are others to esbuild. */
const isAttributed = (input) => input.includes(" with {");

const escaped = (text) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

/** An ES module of a package as the function's part sees it. */
function outer({ id, names, hasDefault }) {
  if (!names) return `export * from "${INNER}";${hasDefault ? ` export { default } from "${INNER}";` : ""}`;
  if (names.length === 0) return `import "${INNER}";`;
  const exported = names.map((name, index) => `${alias(name, index, id)} as ${quoted(name)}`);
  return `export { ${exported.join(", ")} } from "${INNER}";`;
}

const isIdentifier = (name) => /^[A-Za-z_$][\w$]*$/.test(name);
const quoted = (name) => (isIdentifier(name) ? name : JSON.stringify(name));
const alias = (name, index, id) => `${isIdentifier(name) ? name : `$${index}`}$$${id}`;

/** Which exports of packages a function's part uses: `id` → their names. Rather too many than too few. */
export function usedIn(text, known) {
  const used = new Map();
  for (const [one] of text.matchAll(USED)) {
    const { id, name } = aliasesOf(known).get(one) ?? {};
    if (name === undefined) continue;
    if (!used.has(id)) used.set(id, new Set());
    used.get(id).add(name);
  }
  return used;
}

/** The aliases of all exports, by what is known of packages. */
const aliases = new WeakMap();

function aliasesOf(known) {
  if (!aliases.has(known)) {
    const all = [...known.values()].flatMap(({ id, names = [] }) => names.map((name, index) => [alias(name, index, id), { id, name }]));
    aliases.set(known, new Map(all));
  }
  return aliases.get(known);
}

/** Bundles what is used of packages. Writes nothing. Fails when it would contain files of the project. */
export async function bundle(esbuild, known, used, shared, root) {
  const modules = [...known.values()];
  const contents = modules.map(({ id, path: file, format, names }) => {
    const isNamed = format === "esm" && names;
    return `${id}: () => require(${JSON.stringify(isNamed ? `${INNER}:${id}` : file)})`;
  });
  const plugin = {
    name: "sst-vendor",
    setup(build) {
      build.onResolve({ filter: /^sst-vendor$/ }, () => ({ path: FILE, namespace: FILE }));
      build.onResolve({ filter: /^sst-exports:/, namespace: FILE }, ({ path: wanted }) => {
        return { path: wanted.slice(INNER.length + 1), namespace: INNER };
      });
      build.onLoad({ filter: /.*/, namespace: FILE }, () => {
        return { contents: `export const open = { ${contents.join(",\n")} };`, resolveDir: root, loader: "js" };
      });
      build.onLoad({ filter: /.*/, namespace: INNER }, (args) => {
        const id = Number(args.path);
        const { path: file, names } = modules.find((one) => one.id === id);
        const exported = names
          .map((name, index) => [name, alias(name, index, id)])
          .filter(([name]) => used.get(id)?.has(name))
          .map(([name, as]) => `${quoted(name)} as ${as}`);
        const from = JSON.stringify(file);
        const text = exported.length ? `export { ${exported.join(", ")} } from ${from};` : `import ${from};`;
        return { contents: text, resolveDir: root, loader: "js" };
      });
    },
  };
  const { metafile, outputFiles } = await esbuild.build({
    ...shared,
    entryPoints: { vendor: FILE },
    entryNames: "[name]-[hash]",
    plugins: [...shared.plugins, plugin],
    footer: undefined,
    metafile: true,
  });
  const [file, output] = Object.entries(metafile.outputs).find(([, { entryPoint }]) => entryPoint);
  const inputs = Object.keys(metafile.inputs).filter((input) => !input.startsWith("sst-"));
  const absolute = inputs.map((input) => path.resolve(root, input));
  if (!absolute.every(isInstalled)) throw new Error("a package uses files of the project");
  return { file: path.basename(file), outputFiles, inputs: absolute, isAlone: isAlone(output) };
}

/** Whether an output, from a metafile, loads nothing but what Node has, and perhaps one other file. */
export function isAlone({ imports }, other) {
  return imports.every((one) => !one.external || isBuiltin(one.path) || one.path === `./${other}`);
}

/** The manifests of the packages that these files belong to. */
export function manifestsOf(files) {
  const found = new Set();
  for (const file of files) {
    const directory = /^.*[\\/]node_modules[\\/](@[^\\/]+[\\/])?[^\\/]+(?=[\\/])/.exec(file)?.[0];
    if (directory) found.add(path.join(directory, "package.json"));
  }
  return [...found];
}

/** What files were when they were read. */
export class Stamps {
  #stamps;

  constructor(files) {
    this.#stamps = new Map(files.map((file) => [file, stamp(file)]));
  }

  areCurrent() {
    for (const [file, before] of this.#stamps) if (stamp(file) !== before) return false;
    return true;
  }

  /** Whether all files have been as they are since a time, in milliseconds. */
  areSince(time) {
    return [...this.#stamps.keys()].every((file) => (fs.statSync(file, { throwIfNoEntry: false })?.ctimeMs ?? 0) < time);
  }
}

/** Installers give files the times that they like, but not that of the last change. */
function stamp(file) {
  const stats = fs.statSync(file, { throwIfNoEntry: false });
  return stats && `${stats.ctimeMs} ${stats.size} ${stats.ino}`;
}
