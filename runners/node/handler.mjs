// Finds and loads the function's handler, as Lambda's own runtime does.

import { existsSync, readFileSync } from "node:fs";
import Module, { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { types } from "node:util";
import vm from "node:vm";

import { runtimeError } from "./errors.mjs";
import { nearestFile, whatIsExported } from "./not-found.mjs";
import { HttpResponseStream } from "./streaming.mjs";

const require = createRequire(import.meta.url);

// Libraries set these symbols too; they are part of the runtime's interface.
const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const HIGH_WATER_MARK = Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark");

const EXTENSIONS = [".js", ".mjs", ".cjs"];

const NODE_MAJOR = Number(process.versions.node.split(".")[0]);

/**
 * Which of Lambda's two Node runtimes the function runs on: up to `nodejs22.x` with callbacks and a wait for an empty event
 * loop, from `nodejs24.x` with promises only.
 *
 * @returns {"classic" | "modern"}
 */
export function runtimeKind() {
  return declaredMajor() >= 24 ? "modern" : "classic";
}

/** The version of Node that the function's runtime has. */
function declaredMajor() {
  const declared = /^AWS_Lambda_nodejs(\d+)\.x$/.exec(process.env.AWS_EXECUTION_ENV ?? "")?.[1];
  return Number(declared ?? NODE_MAJOR);
}

/**
 * Loads a handler.
 *
 * @param {string} taskRoot absolute directory
 * @param {string} handler relative to it: `directory/module.export`, the export may be nested (`module.a.b`)
 * @param {"classic" | "modern"} kind of {@link runtimeKind}
 * @returns {Promise<{run: Function, streaming: boolean, highWaterMark?: number, isAsync: boolean}>}
 * @throws the errors that Lambda reports to `/init/error`
 */
export async function loadHandler(taskRoot, handler, kind) {
  // What callers are told is the declared name, even where the build put the code elsewhere.
  const declared = process.env._HANDLER ?? handler;
  if (!handler) {
    throw runtimeError("MalformedHandlerName", "no handler is set; set _HANDLER to `directory/module.export`");
  }
  if (handler.includes("..")) {
    const advice = "Use absolute paths when specifying root directories in handler names.";
    throw runtimeError("MalformedHandlerName", `'${declared}' is not a valid handler name. ${advice}`);
  }
  const name = path.basename(handler);
  const dot = name.indexOf(".");
  if (dot === -1) {
    throw runtimeError("MalformedHandlerName", "Bad handler");
  }
  const directory = handler.slice(0, handler.length - name.length);
  const exportPath = name.slice(dot + 1).split(".");

  // Node has read `NODE_PATH` when it started, which for a standby was before the function was known.
  Module._initPaths();
  const { file, loaded } = await loadModule(taskRoot, directory, name.slice(0, dot), kind);

  let run = nested(loaded, exportPath);
  if (!run && kind === "modern") {
    run = nested(loaded?.default, exportPath);
  }
  if (typeof run !== "function") {
    // Lambda's own words, and what it does not say.
    const fault = run ? "is not a function" : "is undefined or not exported";
    const instead = whatIsExported(file, taskRoot, exportsOf(loaded, exportPath), exportPath);
    throw runtimeError("HandlerNotFound", `${declared} ${fault}: ${instead}`);
  }
  return describeHandler(run, kind);
}

function describeHandler(run, kind) {
  if (run[STREAMING] && run[STREAMING] !== "response") {
    throw runtimeError("MalformedStreamingHandler", "Only response streaming is supported.");
  }
  const streaming = Boolean(run[STREAMING]);
  if (kind === "modern" && run.length >= 3 && !streaming) {
    throw runtimeError(
      "CallbackHandlerDeprecated",
      "ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need to " +
        "modify this function to use a supported handler signature to use Node.js 24 or later. For more information see " +
        "https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.",
    );
  }
  const highWaterMark = Number.parseInt(run[HIGH_WATER_MARK], 10);
  return {
    run,
    streaming,
    highWaterMark: Number.isNaN(highWaterMark) ? undefined : highWaterMark,
    isAsync: run.constructor?.name === "AsyncFunction",
  };
}

function nested(object, names) {
  return names.reduce((value, name) => value && value[name], object);
}

/** Of what `import` has made of a CommonJS module, what that has exported, if that is where somebody would look for a handler. */
function exportsOf(loaded, [name]) {
  const other = loaded?.default;
  return loaded?.[name] === undefined && typeof other === "object" && other !== null ? { ...other, ...loaded } : loaded;
}

/** Defines the global `awslambda`, before anything of the function is loaded, because modules use it while they are. */
export function defineGlobal() {
  if (["1", "true"].includes(process.env.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA)) {
    return;
  }
  globalThis.awslambda = {
    streamifyResponse(handler, options) {
      handler[STREAMING] = "response";
      if (typeof options?.highWaterMark === "number") {
        handler[HIGH_WATER_MARK] = Number.parseInt(options.highWaterMark, 10);
      }
      return handler;
    },
    HttpResponseStream,
  };
}

async function loadModule(taskRoot, directory, name, kind) {
  const base = path.resolve(taskRoot, directory, name);
  const candidates = candidateFiles(base, kind);
  const found = candidates.find(({ file }) => existsSync(file));
  try {
    if (found?.module) {
      // The plain file URL, without a query: breakpoints are bound by it.
      return { file: found.file, loaded: await import(pathToFileURL(found.file).href) };
    }
    // Not a file of the task root: perhaps a package, or a file in one of the directories of `NODE_PATH`.
    const paths = [taskRoot, path.resolve(taskRoot, directory)];
    const file = require.resolve(found?.file ?? name, { paths });
    return { file, loaded: loadByRequire(file) };
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw runtimeError("UserCodeSyntaxError", `${error}${whatLoadsModules(error, kind)}`, error);
    }
    if (error?.code === "MODULE_NOT_FOUND") {
      const looked = found ? [] : ["Looked for:", ...candidates.map(({ file }) => `  ${file}`)];
      const near = found ? undefined : nearestFile(base, EXTENSIONS);
      const meant = near ? [`Did you mean \`${path.join(directory, near)}\`?`] : [];
      // Of one that is not there nobody but Node and this runner has asked.
      throw runtimeError("ImportModuleError", [`${error}`, ...looked, ...meant].join("\n"), found && error);
    }
    throw error;
  }
}

/** What to do about an ES module that was taken for a CommonJS module; nothing for other errors. */
function whatLoadsModules({ message }, kind) {
  if (!/^Unexpected token 'export'|^Cannot use import statement outside|^Cannot use 'import\.meta' outside/.test(message)) {
    return "";
  }
  const declared = declaredMajor();
  if (kind === "modern" && declared > NODE_MAJOR) {
    const here = `this is Node.js ${process.versions.node}`;
    return `: \`nodejs${declared}.x\` may take it for an ES module, but ${here}; install Node.js ${declared}`;
  }
  return ': to Node it is no ES module; name it `.mjs`, or set `"type": "module"` in its `package.json`';
}

function loadByRequire(file) {
  let loaded;
  try {
    loaded = require(file);
  } catch (error) {
    if (error?.code === "ERR_REQUIRE_ASYNC_MODULE" && !loadsModulesByRequire()) {
      refuseModule(file);
    }
    throw error;
  }
  if (types.isModuleNamespaceObject(loaded) && !loadsModulesByRequire()) {
    refuseModule(file);
  }
  return loaded;
}

/**
 * Whether `require` loads ES modules, and takes a file for one by its syntax. Up to `nodejs22.x` Lambda has switched both off, with
 * whatever version of Node, unless the function's NODE_OPTIONS ask for them.
 */
function loadsModulesByRequire() {
  const options = process.env.NODE_OPTIONS ?? "";
  return ["require", "detect"].every((what) => new RegExp(`--experimental-${what}-module\\b`).test(options));
}

/** Throws what Node says of an ES module that it takes for a CommonJS module. */
function refuseModule(file) {
  const parameters = ["exports", "require", "module", "__filename", "__dirname"];
  vm.compileFunction(readFileSync(file, "utf8"), parameters, { filename: file });
  // It differs only in what stands at its top level.
  throw new SyntaxError("await is only valid in async functions and the top level bodies of modules");
}

/**
 * Whether Node takes what a handler is in for an ES module.
 *
 * @param {string} taskRoot absolute directory
 * @param {string} handler as for {@link loadHandler}
 * @returns {boolean}
 */
export function isModule(taskRoot, handler) {
  const [stem] = path.basename(handler).split(".");
  const base = path.resolve(taskRoot, path.dirname(handler), stem);
  const file = candidateFiles(base, "classic").find(({ file }) => existsSync(file));
  return file?.module ?? false;
}

/** The files that can hold the module, in the order in which Lambda looks for them, and how each is loaded. */
function candidateFiles(base, kind) {
  if (kind === "modern") {
    return ["", ...EXTENSIONS].map((extension) => ({ file: base + extension, module: true }));
  }
  const module = isModuleScope(path.dirname(base));
  return [
    { file: base, module: false },
    { file: `${base}.js`, module },
    { file: `${base}.mjs`, module: true },
    { file: `${base}.cjs`, module: false },
  ];
}

/** Whether the nearest `package.json` says `"type": "module"`. */
function isModuleScope(directory) {
  if (path.basename(directory) === "node_modules") {
    return false;
  }
  const file = path.join(directory, "package.json");
  if (existsSync(file)) {
    try {
      return JSON.parse(readFileSync(file, "utf8"))?.type === "module";
    } catch (error) {
      console.warn(`\`${file}\` cannot be read, so its "type" is taken to be "commonjs": ${error.message}`);
      return false;
    }
  }
  const parent = path.dirname(directory);
  return parent === directory ? false : isModuleScope(parent);
}
