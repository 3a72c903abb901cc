// What esbuild is told to do for a function.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

import { precompilePlugin } from "./precompile.mjs";

/** Options that are regular expressions, which come as text. */
const EXPRESSIONS = ["mangleProps", "reserveProps"];

/** The options for a function's bundle. */
export function options(request, projectRoot, format, plugins) {
  const { bundling } = request;
  return {
    // Messages name files relative to it.
    absWorkingDir: projectRoot,
    entryPoints: { index: request.entry },
    outdir: request.directory,
    outExtension: { ".js": format === "esm" ? ".mjs" : ".cjs" },
    bundle: true,
    write: false,
    // It names what was imported, by which file.
    metafile: true,
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
    // As esbuild's command does by itself.
    nodePaths: bundling.environment?.NODE_PATH?.split(path.delimiter),
    ...others(bundling.esbuild ?? {}),
    plugins: bundling.preCompilation ? [...plugins, precompilePlugin(request)] : plugins,
  };
}

/** The options for which esbuild's own names and values are taken as they are. */
function others(declared) {
  const expressions = EXPRESSIONS.filter((name) => name in declared);
  return { ...declared, ...Object.fromEntries(expressions.map((name) => [name, new RegExp(declared[name])])) };
}

/** The plugins that a module of the project exports, as the module is now. What they say that they depend on is noted in `run.files`. */
export async function pluginsOf(file, version, run) {
  // CommonJS is kept by its file's name, whatever the address.
  delete createRequire(file).cache[fs.realpathSync(file)];
  const { default: plugins } = await import(`${pathToFileURL(file).href}?version=${version}`);
  if (!Array.isArray(plugins)) throw new Error(`\`${file}\` must export an array of esbuild plugins`);
  return plugins.map((plugin) => observed(plugin, run));
}

/** A plugin whose `watchFiles` and `watchDirs` are heard, which esbuild keeps to itself. */
function observed({ name, setup }, run) {
  const listening = (register) => (options, callback) =>
    register(options, async (args) => {
      const result = await callback(args);
      for (const file of result?.watchFiles ?? []) run.files.add(file);
      for (const directory of result?.watchDirs ?? []) run.files.add(path.join(directory, "*"));
      return result;
    });
  return {
    name,
    setup: (build) => setup({ ...build, onLoad: listening(build.onLoad), onResolve: listening(build.onResolve) }),
  };
}
