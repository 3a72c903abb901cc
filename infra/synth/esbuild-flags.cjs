"use strict";

// What flags of esbuild's command line mean as options of its JavaScript interface (https://esbuild.github.io/api/).

const path = require("node:path");

/** Flag → its option and the kind of its value: see `KINDS`. */
const FLAGS = {
  "abs-paths": ["absPaths", "list"],
  alias: ["alias", "pairs"],
  "asset-names": ["assetNames", "text"],
  banner: ["banner", "pairs"],
  charset: ["charset", "text"],
  "chunk-names": ["chunkNames", "text"],
  conditions: ["conditions", "list"],
  define: ["define", "pairs"],
  drop: ["drop", "items"],
  "drop-labels": ["dropLabels", "list"],
  external: ["external", "items"],
  footer: ["footer", "pairs"],
  format: ["format", "text"],
  "global-name": ["globalName", "text"],
  "ignore-annotations": ["ignoreAnnotations", "flag"],
  inject: ["inject", "items"],
  jsx: ["jsx", "text"],
  "jsx-dev": ["jsxDev", "flag"],
  "jsx-factory": ["jsxFactory", "text"],
  "jsx-fragment": ["jsxFragment", "text"],
  "jsx-import-source": ["jsxImportSource", "text"],
  "jsx-side-effects": ["jsxSideEffects", "flag"],
  "keep-names": ["keepNames", "flag"],
  "legal-comments": ["legalComments", "text"],
  "line-limit": ["lineLimit", "number"],
  loader: ["loader", "pairs"],
  "main-fields": ["mainFields", "list"],
  "mangle-props": ["mangleProps", "text"],
  "mangle-quoted": ["mangleQuoted", "flag"],
  packages: ["packages", "text"],
  platform: ["platform", "text"],
  "preserve-symlinks": ["preserveSymlinks", "flag"],
  "public-path": ["publicPath", "text"],
  pure: ["pure", "items"],
  "reserve-props": ["reserveProps", "text"],
  "resolve-extensions": ["resolveExtensions", "list"],
  supported: ["supported", "switches"],
  target: ["target", "text"],
  "tree-shaking": ["treeShaking", "flag"],
  tsconfig: ["tsconfig", "text"],
  "tsconfig-raw": ["tsconfigRaw", "text"],
};

/** Flags that make no difference to what a function does, or only say what is always so here. */
const WITHOUT_MEANING = [
  ...["allow-overwrite", "analyze", "bundle", "color", "log-level", "log-limit", "log-override", "metafile"],
  ...["source-root", "sourcemap", "sources-content"],
];

/** How the values of flags become values of options. Each is given the option as it is until then, the key, and the value. */
const KINDS = {
  flag: (_, __, value) => value !== "false",
  text: (_, __, value) => value,
  number: (_, __, value) => Number(value),
  list: (_, __, value) => value.split(",").filter(Boolean),
  items: (before = [], key) => [...before, key],
  pairs: (before = {}, key, value) => ({ ...before, [key]: value }),
  switches: (before = {}, key, value) => ({ ...before, [key]: value !== "false" }),
};

/** Reads flags. `unknown` are those that mean nothing here, by their names. */
function read(args) {
  const options = {};
  const unknown = [];
  for (const arg of args) {
    const [, name, separator, rest = ""] = /^--([a-z-]+)(?:([:=])(.*))?$/s.exec(arg) ?? [];
    if (WITHOUT_MEANING.includes(name)) continue;
    const [option, kind] = FLAGS[name] ?? [];
    if (!option) {
      unknown.push(name ? `--${name}` : arg);
      continue;
    }
    options[option] = KINDS[kind](options[option], ...keyAndValue(kind, separator, rest));
  }
  return { options, unknown: [...new Set(unknown)] };
}

/** `--define:KEY=VALUE`, `--drop:KEY`, `--charset=VALUE`, `--keep-names`. */
function keyAndValue(kind, separator, rest) {
  if (kind === "items") return [rest];
  if (separator !== ":") return [undefined, rest];
  const equals = rest.indexOf("=");
  return equals < 0 ? [rest, ""] : [rest.slice(0, equals), rest.slice(equals + 1)];
}

/** Flags that are written with a colon even where an app writes them as a key with one value. */
const WITH_COLON = ["--alias", "--drop", "--pure", "--log-override", "--out-extension"];

/** `esbuildArgs` of a `NodejsFunction` as arguments, in the way of the library. */
function fromConstruct(esbuildArgs) {
  return Object.entries(esbuildArgs ?? {}).flatMap(([key, value]) => {
    if (Array.isArray(value)) return value.map((item) => `${key}:${item}`);
    if (value === true || value === "") return [key];
    if (WITH_COLON.includes(key)) return [`${key}:${value}`];
    return value ? [`${key}=${value}`] : [];
  });
}

/** Options whose files are named relative to `root`, with whole paths. */
function withWholePaths({ alias, inject, tsconfig, ...others }, root) {
  const whole = (file) => (file.startsWith(".") ? path.resolve(root, file) : file);
  return {
    ...others,
    ...(alias ? { alias: Object.fromEntries(Object.entries(alias).map(([name, file]) => [name, whole(file)])) } : {}),
    ...(inject ? { inject: inject.map((file) => path.resolve(root, file)) } : {}),
    ...(tsconfig ? { tsconfig: path.resolve(root, tsconfig) } : {}),
  };
}

module.exports = { fromConstruct, read, withWholePaths };
