// Where the code of a function of SST v1 is, and how it wants to be bundled.
//
// A function names its source by `srcPath`, a directory below the project, and `handler`: for Node `<file>.<export>` without
// the file's extension, for Python `<file>.<function>`, for Go the package's directory or one file of it.

import fs from "node:fs";
import path from "node:path";

import languages from "./languages.cjs";
import nodejs from "./nodejs.cjs";
import { unheeded } from "./options.cjs";

/** In the order in which the package tries them. */
const EXTENSIONS = [".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"];

/** Files from which the package installs a Python function's dependencies, by the beginnings of their names. */
const PYTHON_DEPENDENCIES = ["Pipfile", "pyproject", "poetry", "requirements.txt"];

/** What the package puts before each module, so that packages in CommonJS have the `require` that they expect. */
const REQUIRE =
  "import { createRequire as topLevelCreateRequire } from 'module';const require = topLevelCreateRequire(import.meta.url);";

/**
 * Describes the source of a function, given what the package would bundle: `id`, `runtime`, `srcPath`, `handler`, `bundle`.
 * Most fields are those of a record (see hook.cjs); `handler` is the one of the deployed function.
 */
export function sourceOf(options, project) {
  const srcPath = path.resolve(project, options.srcPath);
  // Without a word about it, the directory that was built for a function that is deployed itself would count as its source.
  const known = { kind: "sst.Function", root: srcPath, assetPath: undefined, handler: options.handler };
  const language = languages.languageOf(options.runtime);
  if (language === "node") return { ...known, ...node(options, project, srcPath) };
  known.unheeded = unheeded("sst.Function in another language", options.bundle);
  if (language === "go") {
    const entry = path.resolve(srcPath, options.handler);
    return { ...known, entry, root: languages.goModuleOf(srcPath), isScript: false, handler: "handler" };
  }
  return { ...known, assetPath: srcPath };
}

function node(options, project, srcPath) {
  const directory = path.dirname(options.handler);
  const [base] = path.basename(options.handler).split(".");
  const stem = path.join(srcPath, directory, base);
  const entry = EXTENSIONS.map((extension) => stem + extension).find((file) => fs.existsSync(file));
  if (!entry) {
    const looked = path.relative(project, stem) || stem;
    throw new Error(`Cannot find a handler file for "${options.handler}" of ${options.id}: looked for ${looked}.ts, .js …`);
  }
  return {
    entry,
    handler: deployedHandler(options, project, srcPath),
    bundling: bundlingOf(options, project, srcPath),
    unheeded: unheeded("sst.Function", options.bundle),
  };
}

/** The bundle of a function has the directories of the project, without `node_modules`, where the package's own ones are. */
function deployedHandler({ handler }, project, srcPath) {
  const below = path.relative(project, srcPath).split(path.sep);
  const kept = below.filter((part) => part !== "node_modules" && part !== "..");
  return path.posix.join(...kept, handler);
}

/** The function's `bundle` options as a record's, which are esbuild's own. */
function bundlingOf(options, project, srcPath) {
  const isBundled = options.bundle !== false;
  const bundle = options.bundle || {};
  const { define, keepNames, plugins } = bundle.esbuildConfig ?? {};
  const isModule = bundle.format === "esm";
  const nodeModules = bundle.nodeModules ?? [];
  return {
    format: isModule ? "esm" : "cjs",
    target: isModule ? "esnext" : "node14",
    external: isBundled ? [...(isModule ? [] : ["aws-sdk"]), ...(bundle.externalModules ?? []), ...nodeModules] : [],
    loader: bundle.loader ?? {},
    define: define ?? {},
    banner: isModule ? REQUIRE + (bundle.banner ?? "") : (bundle.banner ?? null),
    footer: null,
    tsconfig: null,
    mainFields: isModule ? ["module", "main"] : ["main", "module"],
    conditions: [],
    inject: [],
    plugins: plugins ? path.join(project, plugins) : null,
    // The handler's file is translated and deployed without any other.
    esbuild: { ...(isBundled ? {} : { bundle: false }), ...(keepNames ? { keepNames: true } : {}) },
    environment: {},
    preCompilation: false,
    nodeModules,
    copyFiles: (bundle.copyFiles ?? []).map(({ from, to }) => ({ from: path.join(srcPath, from), to: to || from })),
    commands: nodejs.commandsOf(bundle.commandHooks, options.srcPath, srcPath, nodeModules.length > 0),
  };
}

/**
 * The code of a Python function that is deployed itself, if there is nothing to install for it: the package would start Docker
 * only to copy a directory. Nothing for all other functions.
 */
export function builtWithoutDocker({ runtime, srcPath, handler, bundle }, project, lambda) {
  if (languages.languageOf(runtime) !== "python" || bundle?.installCommands?.length > 0) return undefined;
  const directory = path.resolve(project, srcPath);
  const files = fs.readdirSync(directory);
  if (files.some((file) => PYTHON_DEPENDENCIES.some((beginning) => file.startsWith(beginning)))) return undefined;
  return { asset: lambda.Code.fromAsset(directory, { exclude: ["*.pyc"] }), handler };
}
