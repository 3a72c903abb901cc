// Makes packages available that Lambda's runtimes bring along, to a function whose project has not installed them.

import Module from "node:module";
import path from "node:path";

import { initialize, resolveSync } from "./provided-hook.mjs";

/**
 * Looks packages up in a directory when they are not found from the importing file. To be called once.
 *
 * @param {string} directory absolute, called `node_modules`
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
  if (Module.registerHooks === undefined) {
    // In older versions hooks run in a thread of their own, whose start takes tens of milliseconds.
    Module.register?.("./provided-hook.mjs", { parentURL: import.meta.url, data: directory });
    return;
  }
  initialize(directory);
  Module.registerHooks({ resolve: resolveSync });
}
