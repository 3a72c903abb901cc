"use strict";

// Preloaded into every Node process of a synthesis (NODE_OPTIONS=--require). It watches `aws-cdk-lib`, and the packages with
// constructs for functions in other languages, being loaded and makes two changes to them:
//
// 1. After a stage has been synthesised, each Lambda function and each layer below it is described by one line of JSON in
//    $SST_SOURCES: where its code is on this disk, and how the app wants it to be bundled.
// 2. Code that would have to be built (esbuild, Docker) is not built. It is replaced by a placeholder asset, since these
//    functions run from their sources. Everything else in the template stays as the library writes it.
//
// A function that is deployed with its own code after all has to be named in $SST_BUNDLE (construct paths, one a line, or `*`
// for all); it is then built as usual, and so are its layers.

const fs = require("node:fs");
const Module = require("node:module");
const path = require("node:path");
const { createHash } = require("node:crypto");
const { fileURLToPath } = require("node:url");

const languages = require("./languages.cjs");
const making = require("./making.cjs");
const nodejs = require("./nodejs.cjs");
const { unheeded } = require("./options.cjs");

const LAMBDA = "aws-cdk-lib/aws-lambda";
const INSTALLED = Symbol.for("sst.synth.hook");

/** What is done to which file of the libraries, once that file has run. */
const PATCHES = {
  "aws-cdk-lib/core/lib/stage": (module) => recordAfterSynthesis(module.exports.Stage),
  "aws-cdk-lib/core/lib/bundling": (module) => postponeImages(module.exports.DockerImage),
  "aws-cdk-lib/aws-lambda/lib/code": (module) => rememberAssets(module.exports.AssetCode, module),
  "aws-cdk-lib/aws-lambda-nodejs/lib/bundling": (module) => skipBundling(module, "../../aws-lambda", nodejs),
  "aws-cdk-lib/aws-lambda-nodejs/lib/util": (module) => mapCallSites(module.exports),
  ...Object.fromEntries(
    languages.constructs.map(([file, describe]) => [file, (module) => skipBundling(module, LAMBDA, describe)]),
  ),
};

/** Construct → what is known about its code. Keyed by construct, because several copies of the library may be loaded. */
const codeOf = new WeakMap();
/** Placeholder code → what is known about the code that it stands for, and how to build that. */
const replaced = new WeakMap();
/** Layer whose content is a placeholder → its code, what puts the real one in the place of that, and what is known about that. */
const unbuiltLayers = new Map();
/** The functions and layers that have been written to $SST_SOURCES. */
const recorded = new WeakSet();
/** The app's own files that this process has loaded. */
const ownFiles = new Set();
/** Functions of a construct and what is known about its code, to what a framework knows better; see serverless-stack.mjs. */
const experts = [];

if (process.env.SST_SOURCES && !globalThis[INSTALLED]) {
  globalThis[INSTALLED] = true;
  install(process.env.SST_SOURCES);
}

function install(sources) {
  // Every loader of CommonJS modules (Node's own, ts-node's, tsx's, `import` of a CommonJS file) ends here, with the file name.
  const compile = Module.prototype._compile;
  Module.prototype._compile = function (content, filename, ...rest) {
    const result = compile.call(this, content, filename, ...rest);
    const name = filename.replaceAll("\\", "/");
    const library = Object.keys(PATCHES).find((file) => name.endsWith(`/${file}.js`));
    if (library) PATCHES[library](this);
    else if (isOwnFile(filename)) ownFiles.add(filename);
    return result;
  };
  install.sources = sources;
  // The library's checks of the finished templates take most of the time of a synthesis. They belong to a real deployment.
  process.env.CDK_VALIDATION ??= "false";
  if (process.env.SST_BUNDLE) offerEsbuild(process.env.SST_NPM_ROOT);
}

/** Puts our esbuild behind everything else on the path: without any, the library would call for Docker. */
function offerEsbuild(npmRoot) {
  if (!npmRoot) return;
  try {
    const manifest = Module.createRequire(path.join(npmRoot, "package.json")).resolve("esbuild/package.json");
    const commands = path.join(path.dirname(path.dirname(manifest)), ".bin");
    process.env.PATH = [process.env.PATH, commands].filter(Boolean).join(path.delimiter);
  } catch {
    // Then it is up to the library.
  }
}

// ---- Describing the functions ------------------------------------------------------------------------------------------

function recordAfterSynthesis(Stage) {
  const synth = Stage.prototype.synth;
  Stage.prototype.synth = function (...args) {
    buildLayersFor(this.node.findAll().filter((one) => isFunction(one) && isDeployedItself(constructOf(one))));
    const assembly = synth.apply(this, args);
    const lines = [];
    for (const construct of this.node.findAll()) {
      const describeIt = DESCRIBED[construct.cfnResourceType];
      if (!describeIt || recorded.has(construct)) continue;
      recorded.add(construct);
      lines.push(`${JSON.stringify(describeIt(construct))}\n`);
    }
    fs.appendFileSync(install.sources, lines.join(""));
    // The host knows the sources from its own bundle; an app that runs by itself is followed from its entry file.
    if (!process.env.SST_HOST) writeInputs();
    return assembly;
  };
}

function isFunction(construct) {
  return construct.cfnResourceType === "AWS::Lambda::Function";
}

/** The construct that people know is the parent of the template's resource, unless they made the resource themselves. */
function constructOf(resource) {
  return resource.node.id === "Resource" ? resource.node.scope : resource;
}

/** Describes a function as it ended up in the template; escape hatches and aspects have had their say. */
function describe(resource) {
  const construct = constructOf(resource);
  const code = { ...codeOf.get(construct) };
  for (const expert of experts) Object.assign(code, expert(construct, code));
  const template = resource.stack.resolve(resource._toCloudFormation());
  const properties = Object.values(template.Resources)[0].Properties ?? {};
  return {
    path: construct.node.path,
    kind: code.kind ?? (code.entry ? "NodejsFunction" : "Function"),
    live: code.live ?? true,
    runtime: text(properties.Runtime),
    handler: text(properties.Handler),
    entry: code.entry ?? null,
    export: code.entry && code.isScript !== false ? exportPath(text(properties.Handler) ?? "index.handler") : null,
    root: code.root ?? null,
    assetPath: code.assetPath ?? null,
    inline: properties.Code?.ZipFile !== undefined,
    image: properties.PackageType === "Image" || properties.Code?.ImageUri !== undefined,
    // With a layer that was not built a function must not be deployed either.
    placeholder: (code.placeholder ?? false) || unbuiltLayersOf(resource, properties.Layers).length > 0,
    bundling: code.bundling ?? {},
    build: code.build ?? null,
    unheeded: code.unheeded ?? [],
    making: code.making ?? null,
  };
}

/** Describes a layer: where its files are, or how they are made first. */
function describeLayer(resource) {
  const construct = constructOf(resource);
  const unbuilt = unbuiltLayers.get(construct);
  const { assetPath = null, making: how = null } = unbuilt?.known ?? codeOf.get(construct) ?? {};
  return { path: construct.node.path, kind: "LayerVersion", assetPath, placeholder: unbuilt !== undefined, making: how };
}

const DESCRIBED = { "AWS::Lambda::Function": describe, "AWS::Lambda::LayerVersion": describeLayer };

/** A property that is an expression (`Ref`, `Fn::Join`) rather than text is not known here. */
function text(value) {
  return typeof value === "string" ? value : null;
}

/** What follows the file's name in a handler: an export, or the way to one within an export. */
function exportPath(handler) {
  const file = handler.slice(handler.lastIndexOf("/") + 1);
  return file.slice(file.indexOf(".") + 1);
}

// ---- Code from a directory ---------------------------------------------------------------------------------------------

function rememberAssets(AssetCode, module) {
  const bind = AssetCode.prototype.bind;
  AssetCode.prototype.bind = function (scope, ...rest) {
    const { Function: LambdaFunction } = module.require("./function");
    const { LayerVersion } = module.require("./layers");
    const isLayer = scope instanceof LayerVersion;
    if (!isLayer && !(scope instanceof LambdaFunction)) return bind.call(this, scope, ...rest);

    const assetPath = path.resolve(this.path);
    const isTakenAsItIs = this.asset || isInstalled(assetPath) || isBuilt(assetPath);
    if (this.options.bundling && !isTakenAsItIs && !replaced.has(this)) {
      const original = new AssetCode(this.path, this.options);
      const known = { assetPath, ...making.describe(this.options, assetPath) };
      replaced.set(this, { known, build: () => original, bundling: this.options.bundling });
      this.path = placeholderDirectory();
      this.options = { deployTime: this.options.deployTime };
    }
    const standsFor = replaced.get(this);
    if (making.isWanted(scope.node.path)) making.answer(standsFor?.bundling, install.sources);
    const bindBuilt = () => {
      const code = standsFor.build();
      const bound = bind.call(code, scope, ...rest);
      this.asset = code.asset;
      return bound;
    };
    if (standsFor && isDeployedItself(scope)) {
      if (!isLayer) codeOf.set(scope, standsFor.known);
      return bindBuilt();
    }
    if (standsFor) {
      if (isLayer) unbuiltLayers.set(scope, { code: this, bindBuilt, known: standsFor.known });
      else codeOf.set(scope, { ...standsFor.known, placeholder: true });
      const bound = bind.call(this, scope, ...rest);
      this.asset.isBundled = true; // as the code that it stands for
      return bound;
    }
    codeOf.set(scope, isLayer ? { assetPath } : { assetPath, unheeded: unheeded("Code.fromAsset", this.options) });
    if (isLayer) return bind.call(this, scope, ...rest);

    const hash = isTakenAsItIs ? null : quickHash(assetPath, this.options);
    if (!hash) return bind.call(this, scope, ...rest);
    // Big directories (think of `node_modules`) would be read and copied as a whole, at each synthesis.
    this.options = { ...this.options, assetHash: hash };
    return withContext(scope, "aws:cdk:disable-asset-staging", true, () => bind.call(this, scope, ...rest));
  };
}

/**
 * Gives layers their content after all if one of `resources` has them. When a layer is defined nobody knows yet which functions
 * it is for.
 */
function buildLayersFor(resources) {
  for (const resource of resources) {
    for (const layer of unbuiltLayersOf(resource, resource.stack.resolve(resource.layers))) {
      const { code, bindBuilt } = unbuiltLayers.get(layer);
      unbuiltLayers.delete(layer);
      layer.node.tryRemoveChild("Code"); // the placeholder
      const { bucketName, objectKey } = bindBuilt().s3Location;
      layer.node.defaultChild.content = { s3Bucket: bucketName, s3Key: objectKey };
      code.bindToResource(layer.node.defaultChild, { resourceProperty: "Content" });
    }
  }
}

/** The placeholders among the layers of a function, given the layers' ARNs as they are in the template. */
function unbuiltLayersOf(resource, arns) {
  if (!Array.isArray(arns)) return [];
  const used = new Set(arns.map((arn) => JSON.stringify(arn)));
  return [...unbuiltLayers.keys()].filter((layer) => used.has(JSON.stringify(resource.stack.resolve(layer.layerVersionArn))));
}

/** A hash over names, sizes and times of the files; `null` where the library has to look at the directory itself. */
function quickHash(directory, options) {
  const needsCopy = ["exclude", "ignoreMode", "follow", "followSymlinks", "assetHash", "assetHashType", "extraHash"];
  if (options.bundling || needsCopy.some((name) => options[name] !== undefined)) return null;
  if (!fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory()) return null;
  const hash = createHash("sha256");
  const visit = (below) => {
    const entries = fs.readdirSync(path.join(directory, below), { withFileTypes: true });
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      const relative = path.join(below, entry.name);
      if (entry.isDirectory()) {
        visit(relative);
        continue;
      }
      const { size, mtimeMs, mode } = fs.lstatSync(path.join(directory, relative));
      hash.update(`${relative}\0${size}\0${mtimeMs}\0${mode}\n`);
    }
  };
  visit("");
  return hash.digest("hex");
}

/** Runs `action` while `construct` and everything below it see the context value. */
function withContext(construct, key, value, action) {
  const { node } = construct;
  const lookUp = node.tryGetContext;
  node.tryGetContext = (name) => (name === key ? value : lookUp.call(node, name));
  try {
    return action();
  } finally {
    delete node.tryGetContext;
  }
}

/** Whether a function is deployed with its own code, so that the code has to be built. */
function isDeployedItself(construct) {
  const named = deployedThemselves();
  return named.includes("*") || named.includes(construct.node.path);
}

/** The construct paths of $SST_BUNDLE. */
function deployedThemselves() {
  return (process.env.SST_BUNDLE ?? "").split("\n").filter(Boolean);
}

/** Code for the library that stands for other code, which `build` makes if the function is deployed itself after all. */
function standIn(lambda, known, build) {
  const code = lambda.Code.fromAsset(placeholderDirectory());
  replaced.set(code, { known, build });
  return code;
}

/** A directory with as little code as the library accepts. It is the same for all functions, hence one asset. */
function placeholderDirectory() {
  const directory = path.join(path.dirname(install.sources), "placeholder");
  const file = path.join(directory, "index.js");
  if (!fs.existsSync(file)) {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    fs.writeFileSync(file, 'throw new Error("this is a placeholder: the function runs on a developer\'s machine");\n');
  }
  return directory;
}

// ---- Code that a construct builds --------------------------------------------------------------------------------------

/** What is known about a function's code is what `describe` makes of the options for bundling it. */
function skipBundling(module, lambda, describe) {
  const { Bundling } = module.exports;
  const bundle = Bundling.bundle;
  Bundling.bundle = function (...args) {
    const known = describe(args.at(-1)); // older versions are not given the scope
    return standIn(module.require(lambda), known, () => bundle.apply(this, args));
  };
}

/** Images to bundle in are built when something is asked of them, which is when they are about to be used. */
function postponeImages(DockerImage) {
  const { fromBuild } = DockerImage;
  DockerImage.fromBuild = function (...args) {
    let image;
    const build = () => (image ??= fromBuild.apply(this, args));
    // The library also compares images by what their properties are.
    const operations = ["get", "has", "ownKeys", "getOwnPropertyDescriptor"];
    const forwarded = operations.map((name) => [name, (_, ...rest) => Reflect[name](build(), ...rest)]);
    return new Proxy(Object.create(DockerImage.prototype), Object.fromEntries(forwarded));
  };
}

// ---- Where a function was defined --------------------------------------------------------------------------------------

/** An entry that is not named is looked for beside the file that defines the function: the original one, not our bundle. */
function mapCallSites(util) {
  const callsites = util.callsites;
  util.callsites = (...args) => {
    // The wrapper's own frame is no concern of the library's: it looks for a function by its name.
    return callsites(...args).map((site) => {
      const original = originalFile(site);
      if (original === undefined) return site;
      return new Proxy(site, {
        get(target, name) {
          if (name === "getFileName") return () => original;
          const value = target[name];
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    });
  };
}

function originalFile(site) {
  const file = site.getFileName();
  if (!file) return undefined;
  const local = file.startsWith("file:") ? fileURLToPath(file) : file;
  const map = process.env.SST_HOST ? Module.findSourceMap(file) ?? Module.findSourceMap(local) : undefined;
  const source = map?.findEntry(site.getLineNumber() - 1, site.getColumnNumber() - 1)?.originalSource;
  if (source) return source.startsWith("file:") ? fileURLToPath(source) : path.resolve(path.dirname(local), source);
  return local === file ? undefined : local;
}

// ---- The files that make up the app ------------------------------------------------------------------------------------

/** Lists the files whose change calls for another synthesis: what was loaded, and what the entry file imports. */
function writeInputs() {
  const files = new Set();
  const visit = (file) => {
    if (files.has(file) || !isOwnFile(file)) return;
    files.add(file);
    const content = readText(file);
    const specifiers = content.matchAll(/(?:\bfrom|\bimport|\brequire)\s*\(?\s*["'](\.[^"'\n]*)["']/g);
    for (const [, specifier] of specifiers) {
      const found = resolveSource(path.resolve(path.dirname(file), specifier));
      if (found) visit(found);
    }
  };
  for (const file of ownFiles) visit(file);
  const entry = process.argv[1] && resolveSource(path.resolve(process.argv[1]));
  if (entry) visit(entry);
  fs.writeFileSync(`${install.sources}.inputs.json`, JSON.stringify([...files].sort()));
}

const SOURCE_EXTENSIONS = [".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".json"];

/** The file that a relative import means, whether or not it names an extension, and also where `./x.js` means `./x.ts`. */
function resolveSource(target) {
  const stem = target.replace(/\.([cm]?)js$/, ".$1ts");
  const candidates = [
    target,
    stem,
    ...SOURCE_EXTENSIONS.map((extension) => target + extension),
    ...SOURCE_EXTENSIONS.map((extension) => path.join(target, `index${extension}`)),
  ];
  return candidates.find((file) => fs.statSync(file, { throwIfNoEntry: false })?.isFile());
}

function readText(file) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function isOwnFile(file) {
  return path.isAbsolute(file) && !isInstalled(file) && path.dirname(file) !== __dirname;
}

function isInstalled(file) {
  return file.split(path.sep).includes("node_modules");
}

/** What was built is no source. The library copies it, so that the template does not name its directory as one either. */
function isBuilt(file) {
  return file.startsWith(path.dirname(path.resolve(install.sources)) + path.sep);
}

module.exports = { deployedThemselves, experts, standIn };
