// Apps of SST v1, whose stacks are made of `@serverless-stack/resources` (0.69 and 1.x).
//
// Their `App` is built as for a deployment, not with the stub that the package would put in the place of a function under
// `sst start`: that stub leaves its own variables, permissions and runtime in the template, and would hide the app's. All that
// has to be prevented is that the functions are bundled, for which there is one door in `@serverless-stack/core`. Whoever
// knocks is given a placeholder, and tells the function's id and source by it.

import childProcess from "node:child_process";
import fs from "node:fs";
import Module, { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

import { builtWithoutDocker, sourceOf } from "./serverless-stack-handlers.mjs";
import { ORIGINAL, REPLACEMENT, patched } from "./serverless-stack-loader.mjs";
import { ExpectedError } from "./report.mjs";

const PACKAGE = "@serverless-stack/resources";

/** Whether the project, or the workspace that it is in, depends on the package. */
export function usesServerlessStack(project) {
  return ancestors(project).some((directory) => {
    const manifest = readManifest(directory) ?? {};
    return ["dependencies", "devDependencies", "peerDependencies"].some((field) => manifest[field]?.[PACKAGE]);
  });
}

/**
 * The framework of an SST v1 app, for host.mjs, made of the packages that the project has installed. `hook` is what hook.cjs
 * exports.
 */
export async function loadServerlessStack(project, hook) {
  const directory = findPackage(project, PACKAGE);
  if (!directory) {
    throw new ExpectedError(`\`${PACKAGE}\` is not installed in \`${project}\``, "run `npm install`");
  }
  silence();
  provideAbsent();
  const isDeployed = hook.deployedThemselves().includes("*");
  const sources = new Map();
  const { resources, core, lambda, format } = await load(directory, (options, bundle) =>
    standIn({ options, bundle, project, hook, lambda, sources }),
  );
  withoutDebugVariables(resources.Function);
  hook.experts.push((construct, code) => describe(construct, code, { sources, directory }));
  return {
    // Before `stacks` became the usual place it was `lib`, where TypeScript was looked for first.
    directories: ["lib", "stacks"],
    extensions: ["ts", "js", "mts", "mjs", "cts", "cjs", "tsx", "jsx"],
    bundling: { format, external: externals(project) },
    require: createRequire(path.join(directory, "package.json")),
    inputs: environmentFiles().map((file) => path.join(project, file)).filter((file) => fs.existsSync(file)),
    createApp: (settings) => createApp({ resources, core, settings, project, isDeployed }),
    complete,
  };
}

/** What these packages would say and send by themselves is neither about the app nor for its developers. */
function silence() {
  process.env.AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE ??= "1";
  process.env.SST_TELEMETRY_DISABLED ??= "1";
}

// ---- The packages ------------------------------------------------------------------------------------------------------

/** The package's modules, with `stand` in the place of the function that bundles handlers. */
async function load(directory, stand) {
  const file = path.join(directory, "package.json");
  const require = createRequire(file);
  // Loaded by `require` first, so that hook.cjs gets to see them in any version of Node.
  const lambda = require("aws-cdk-lib/aws-lambda");
  const coreDirectory = findPackage(directory, "@serverless-stack/core");
  if (!coreDirectory) throw new ExpectedError("`@serverless-stack/core` is not installed", "run `npm install`");
  if (readManifest(directory).type !== "module") {
    resolveAbsent("ws");
    const handlers = require(path.join(coreDirectory, "dist", "runtime", "handler", "handler.js"));
    const { bundle } = handlers;
    handlers.bundle = (options) => stand(options, bundle);
    return { resources: require(PACKAGE), core: require("@serverless-stack/core"), lambda, format: "cjs" };
  }
  globalThis[REPLACEMENT] = (options, bundle, isAsync) => (isAsync ? deferred(stand) : stand)(options, bundle);
  patchModules();
  const entry = (root) => import(pathToFileURL(path.join(root, readManifest(root).main)).href);
  const [resources, core] = await Promise.all([entry(directory), entry(coreDirectory)]);
  if (!globalThis[ORIGINAL]) {
    const { version } = readManifest(coreDirectory);
    throw new ExpectedError(`\`@serverless-stack/core\` ${version} is not supported`, "use one of 0.69.x or 1.18.x");
  }
  return { resources, core, lambda, format: "esm" };
}

/** Later releases bundle after the user's code has returned, so that no line of it is in the stack of an error. */
function deferred(stand) {
  return (...args) => {
    try {
      return stand(...args);
    } catch (error) {
      throw error instanceof ExpectedError ? error : new ExpectedError(error.message);
    }
  };
}

/**
 * Lets `name` resolve to an empty module where it is not installed. `@serverless-stack/core` 0.x needs `ws` without saying so:
 * it relies on the package's command line, which is not there if `sst` has taken its place.
 */
function resolveAbsent(name) {
  const resolve = Module._resolveFilename;
  Module._resolveFilename = function (request, ...rest) {
    try {
      return resolve.call(this, request, ...rest);
    } catch (error) {
      if (request !== name || error.code !== "MODULE_NOT_FOUND") throw error;
      return fileURLToPath(new URL("./absent.cjs", import.meta.url));
    }
  };
}

/**
 * Does the same for the programs that the packages start: the one that packs a site's files needs `source-map-support`, which only
 * the package's command line brings along. Node looks there last, so whatever is installed comes first.
 */
function provideAbsent() {
  const directory = fileURLToPath(new URL("./absent", import.meta.url));
  process.env.NODE_PATH = [process.env.NODE_PATH, directory].filter(Boolean).join(path.delimiter);
}

/** The exports of ES modules cannot be exchanged, hence the text of one module is changed while it is loaded. */
function patchModules() {
  if (Module.registerHooks) {
    Module.registerHooks({ load: (url, context, next) => patched(url, next(url, context)) });
  } else {
    Module.register("./serverless-stack-loader.mjs", import.meta.url);
  }
}

/** The nearest directory of an installed package. Not by `require.resolve`, to which a package may close itself. */
function findPackage(from, name) {
  const candidates = ancestors(fs.realpathSync(from)).map((directory) => path.join(directory, "node_modules", name));
  const found = candidates.find((candidate) => fs.existsSync(path.join(candidate, "package.json")));
  return found && fs.realpathSync(found);
}

function ancestors(directory) {
  const parent = path.dirname(directory);
  return parent === directory ? [directory] : [directory, ...ancestors(parent)];
}

function readManifest(directory) {
  try {
    return JSON.parse(fs.readFileSync(path.join(directory, "package.json"), "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw new ExpectedError(`cannot read \`${path.join(directory, "package.json")}\`: ${error.message}`);
  }
}

/** What stays outside of the stacks' bundle. The rest may be a workspace's own packages, which are TypeScript as a rule. */
function externals(project) {
  const { dependencies, devDependencies, peerDependencies } = readManifest(project) ?? {};
  const declared = Object.keys({ ...dependencies, ...devDependencies, ...peerDependencies });
  return [...new Set(["aws-cdk-lib", "constructs", "@serverless-stack/*", "@aws-cdk/*", "esbuild", ...declared])];
}

// ---- The app -----------------------------------------------------------------------------------------------------------

/** The files that the package's loader reads, by precedence. It knows the last two by itself. */
function environmentFiles() {
  const stage = process.env.SST_STAGE;
  return [`.env.${stage}.local`, `.env.${stage}`, ".env.local", ".env"];
}

async function createApp({ resources, core, settings, project, isDeployed }) {
  const stage = process.env.SST_STAGE;
  if (!isDeployed) process.env.IS_LOCAL = "true";
  // The package's own loader, so that the files' syntax and order of precedence are the ones they were written for.
  await core.Util.Environment.load({ root: project, searchPaths: environmentFiles().slice(0, 2) });
  const app = new resources.App(
    {
      stage,
      name: settings.name,
      region: process.env.SST_REGION || process.env.CDK_DEFAULT_REGION || settings.region,
      ssmPrefix: settings.ssmPrefix ?? "",
      esbuildConfig: settings.esbuildConfig,
      buildDir: path.join(".sst", "synth"),
    },
    // Otherwise it would be synthesised once more when the process ends.
    { autoSynth: false },
  );
  // Stacks ask for it, and sites are not built then. Without a debug endpoint functions take no notice of it.
  app.local = !isDeployed;
  return app;
}

/** Does what remains to be done between the user's code and the synthesis. */
async function complete(app) {
  await app.runDeferredBuilds?.();
  for (const stack of app.node.children) dropMetadata(stack);
}

/**
 * Drops the custom resource by which a stack of 1.x stores a description of itself for the console, in a bucket of a bootstrap
 * stack that need not exist. If nothing else needs the resource's function, that goes as well.
 */
function dropMetadata(stack) {
  const handler = stack.customResourceHandler;
  if (!stack.metadata || !handler || !stack.node.tryRemoveChild("StackMetadata")) return;
  const others = stack.node.findAll().filter((one) => one.cfnResourceType && !one.node.scopes.includes(handler));
  const isCalled = others.some((one) => one.cfnResourceType === "Custom::AuthKeys");
  // A stack without any resource could not be deployed.
  if (!isCalled && others.length > 0) stack.node.tryRemoveChild(handler.node.id);
}

// ---- The functions -----------------------------------------------------------------------------------------------------

/** Stands in for `Runtime.Handler.bundle`. */
function standIn({ options, bundle, project, hook, lambda, sources }) {
  const source = sourceOf(options, project);
  sources.set(options.id, source);
  const named = hook.deployedThemselves();
  if (named.includes("*") || named.some((one) => plain(one) === plain(options.id))) {
    return builtWithoutDocker(options, project, lambda) ?? built(options, bundle);
  }
  const unreachable = () => {
    throw new Error(`the function ${options.id} was to be built, but nobody said so in time`);
  };
  return { asset: hook.standIn(lambda, {}, unreachable), handler: source.handler };
}

/**
 * Builds a function as the package does, which says little of a program that is not installed: older releases fail with a TypeError.
 */
function built(options, bundle) {
  const { spawnSync } = childProcess;
  let missing;
  childProcess.spawnSync = (command, ...rest) => {
    const result = spawnSync(command, ...rest);
    if (result.error?.code === "ENOENT") missing = command;
    return result;
  };
  const explained = (error) => {
    const program = missing ?? /^spawn (\S+) ENOENT$/m.exec(error.message)?.[1];
    // The same error is about a directory that is not there.
    if (!program || !fs.existsSync(path.resolve(options.srcPath))) return error;
    const what = `the function ${options.id} (${options.runtime}) cannot be built: \`${program}\` is not installed`;
    return new ExpectedError(what, `install it, or take the function out of the app: it runs in the cloud with its own code`);
  };
  try {
    const result = bundle(options);
    return result?.then ? result.catch((error) => Promise.reject(explained(error))) : result;
  } catch (error) {
    throw explained(error);
  } finally {
    childProcess.spawnSync = spawnSync;
  }
}

/** A function's id in the package is its construct path with other punctuation. */
function plain(id) {
  return id.replace(/[^A-Za-z0-9_]+/g, "-");
}

/** Constructs tell the package's own stub about themselves by variables, for which a function has little room. */
function withoutDebugVariables({ prototype }) {
  const { addEnvironment } = prototype;
  prototype.addEnvironment = function (name, ...rest) {
    return name.startsWith("SST_DEBUG_") ? this : addEnvironment.call(this, name, ...rest);
  };
}

/** What is known about a construct's code, beyond what the hook has seen. */
function describe(construct, code, { sources, directory }) {
  const source = construct.localId === undefined ? undefined : sources.get(construct.localId);
  if (source && construct._isLiveDevEnabled !== false) {
    const { handler, ...known } = source;
    return known;
  }
  // The package's own helpers, which upload sites or call scripts, run while the app is being deployed.
  const isHelper = code.assetPath?.startsWith(directory + path.sep);
  if (!source && !isHelper) return undefined;
  return { kind: source?.kind, live: false, entry: undefined, assetPath: undefined, root: undefined };
}
