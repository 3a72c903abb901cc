"use strict";

// What the constructs for functions in other languages than JavaScript tell their own bundling, as a record of hook.cjs says it. The options
// of the compilers are those for a build on this machine: what makes one for Lambda's is left out.

const fs = require("node:fs");
const path = require("node:path");

const { unheeded } = require("./options.cjs");

/** Language → how the names of its runtimes begin, and the file of a package that bundles for its construct. */
const TABLE = require("./languages.json");

/** `PythonFunction`: a directory, which its bundling copies and adds the dependencies to. */
function python(options) {
  const assetPath = path.resolve(options.entry);
  return { kind: "PythonFunction", assetPath, unheeded: unheeded("PythonFunction", options) };
}

/** `GoFunction`: a package, or one file of it, in a module. */
function go(options) {
  const { GOOS, GOARCH, ...own } = options.environment ?? {};
  const environment = { CGO_ENABLED: options.cgoEnabled ? "1" : "0", ...own };
  if (options.goProxies) environment.GOPROXY = options.goProxies.join(",");
  const moduleFile = path.resolve(options.moduleDir);
  return {
    kind: "GoFunction",
    isScript: false,
    entry: path.resolve(options.entry),
    // Whoever names the module may do so by its directory or by its file.
    root: path.basename(moduleFile) === "go.mod" ? path.dirname(moduleFile) : moduleFile,
    build: onlySet({ flags: wordsOf(options.goBuildFlags), environment }),
    unheeded: unheeded("GoFunction", options),
  };
}

/** The options of `cargo lambda build` that `cargo build` does not know, or that are for Lambda's machine. */
const CARGO_LAMBDA_FLAGS = ["--arm64", "--x86-64", "--extension", "--internal", "--skip-target-check", "--disable-optimizations"];
/** The same for options with a value. */
const CARGO_LAMBDA_OPTIONS = [
  ...["--output-format", "-o", "--lambda-dir", "-l", "--flatten", "--compiler", "-c", "--include", "-i", "--target"],
];

/** `RustFunction`: a binary of a Cargo package. */
function rust(options) {
  const entry = path.resolve(options.manifestPath);
  const build = {
    flags: [],
    environment: options.environment,
    binary: options.binaryName,
    profile: options.profile,
    features: [],
  };
  const words = wordsOf(options.cargoLambdaFlags);
  while (words.length > 0) {
    const word = words.shift();
    const [, name, inline] = /^(--[^=]+)(?:=(.*))?$/s.exec(word) ?? [word, word];
    const value = () => inline ?? words.shift() ?? "";
    if (CARGO_LAMBDA_FLAGS.includes(name)) continue;
    if (CARGO_LAMBDA_OPTIONS.includes(name)) value();
    else if (name === "--release" || name === "-r") build.profile = "release";
    else if (name === "--profile") build.profile = value();
    else if (name === "--bin") build.binary = value();
    else if (name === "--features" || name === "-F") build.features.push(...value().split(/[\s,]+/).filter(Boolean));
    else build.flags.push(word);
  }
  const known = { kind: "RustFunction", isScript: false, entry, root: path.dirname(entry), build: onlySet(build) };
  return { ...known, unheeded: unheeded("RustFunction", options) };
}

/** Without what is not set; `null` if nothing is. */
function onlySet(options) {
  const isSet = (value) => value !== undefined && (typeof value !== "object" || Object.keys(value).length > 0);
  const set = Object.entries(options).filter(([, value]) => isSet(value));
  return set.length > 0 ? Object.fromEntries(set) : null;
}

/** The single arguments in options that the packages hand to a shell, hence with its quotes. */
function wordsOf(options) {
  const line = (options ?? []).join(" ");
  const words = line.match(/(?:\\.|"(?:\\.|[^"\\])*"|'[^']*'|[^\s\\"'])+/gs) ?? [];
  return words.map((word) => word.replace(/'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)/gs, unquoted));
}

function unquoted(match, single, double, escaped) {
  return single ?? double?.replace(/\\(["\\$`])/g, "$1") ?? escaped;
}

/** The directory of the Go module that `directory` is in. */
function goModuleOf(directory) {
  for (let at = directory; ; at = path.dirname(at)) {
    if (fs.existsSync(path.join(at, "go.mod"))) return at;
    if (at === path.dirname(at)) return directory;
  }
}

/** The language of a runtime. */
function languageOf(runtime) {
  const [id] = Object.entries(TABLE).find(([, { runtimes }]) => runtimes.some((beginning) => runtime.startsWith(beginning))) ?? [];
  return id;
}

/** What the options of a construct's bundling mean, by language. */
const DESCRIBE = { python, go, rust };

/** The files that bundle, with what their options mean. */
const constructs = Object.entries(TABLE)
  .filter(([, { construct }]) => construct)
  .map(([id, { construct }]) => [construct, DESCRIBE[id]]);

module.exports = { ...DESCRIBE, constructs, goModuleOf, languageOf };
