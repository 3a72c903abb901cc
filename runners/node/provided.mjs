// Makes packages available that Lambda's runtimes bring along, to a function whose project has not installed them.

import Module from "node:module";
import path from "node:path";

import { initialize, resolveSync } from "./provided-hook.mjs";

/** What `import` has been told. */
let hooked;

/**
 * Looks packages up in a directory when they are not found from the importing file.
 *
 * @param {string} directory absolute, called `node_modules`; told again when an environment may have replaced the one that was
 *   told of it, and then perhaps another one, as more may have been installed since packages were loaded ahead
 */
export function provide(directory) {
  // In the environment, because it is there on Lambda too: what the function starts finds the packages as well.
  const { NODE_PATH: others } = process.env;
  if (!others?.split(path.delimiter).includes(directory)) {
    process.env.NODE_PATH = others ? `${others}${path.delimiter}${directory}` : directory;
  }
  // Node has read the variable already when it started.
  Module._initPaths();

  // `import` knows nothing of that variable.
  if (hooked !== directory) {
    hookImports(directory);
    hooked = directory;
  }
}

function hookImports(directory) {
  if (Module.registerHooks === undefined) {
    // In older versions hooks run in a thread of their own, whose start takes tens of milliseconds. There this is one module,
    // however often it is registered, so that another directory takes the place of the one before.
    Module.register?.("./provided-hook.mjs", { parentURL: import.meta.url, data: directory });
    return;
  }
  initialize(directory);
  if (hooked === undefined) {
    Module.registerHooks({ resolve: resolveSync });
  }
}
