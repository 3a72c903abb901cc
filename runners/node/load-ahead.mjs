// Loads what a function will load, before there is anything to be done.

import { existsSync, readdirSync } from "node:fs";
import inspector from "node:inspector";
import Module, { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { types } from "node:util";

import { isModule } from "./handler.mjs";

const OWN = path.dirname(fileURLToPath(import.meta.url)) + path.sep;

/**
 * Loads packages in the way in which the function does, and no other: many have two files for the two ways.
 *
 * @param {{taskRoot: string, handler: string, packages: [string, string][]}} preparation each package with the directory of a file
 *   that imports it. A module may export `files`, which it imports, and says by that that there are no others
 * @returns {Promise<string[]>} all paths that have decided what was loaded, also those of files that were looked for in vain
 */
export async function loadAhead({ taskRoot, handler, packages }) {
  if (packages.length === 0) {
    return [];
  }
  const byImport = isModule(taskRoot, handler);
  const loaded = [];
  for (const [name, directory] of packages) {
    // The file need not exist: it says where from packages are resolved.
    const importer = path.join(directory, "importer.cjs");
    loaded.push(byImport ? await importerAt(importer)(name) : createRequire(importer)(name));
  }
  return whatWasRead(packages, byImport ? namedBy(packages, loaded) : required());
}

/** The files that were imported, where the one module that was loaded names them. */
function namedBy([[name, directory], ...others], [{ files }]) {
  return others.length === 0 && files ? [name, ...files].map((file) => path.resolve(directory, file)) : undefined;
}

/** What was imported, if everything was required: nothing, unless there is an ES module, which imports others. */
function required() {
  const modules = Object.values(Module._cache);
  return modules.some(({ id, exports }) => id.endsWith(".mjs") || types.isModuleNamespaceObject(exports)) ? undefined : [];
}

/** The function `import`, as it is in a file. */
function importerAt(file) {
  const module = new Module(file);
  module.filename = file;
  module._compile("module.exports = (name) => import(name);", file);
  return module.exports;
}

/**
 * The files that were loaded, and the places that names were looked up in from there: a package that is installed anew, or in another
 * place, shows itself in one of them. `imported` are all that were imported, where that is known.
 */
function whatWasRead(packages, imported = importedFiles()) {
  const files = [...new Set([...Object.keys(Module._cache), ...imported])].filter((file) => !file.startsWith(OWN));
  const seen = new Set();
  const places = [];
  for (let directory of [...packages.map(([, directory]) => directory), ...files.map((file) => path.dirname(file))]) {
    while (!seen.has(directory)) {
      seen.add(directory);
      const modules = path.join(directory, "node_modules");
      places.push(path.join(directory, "package.json"), modules, ...scopes(modules));
      directory = path.dirname(directory);
    }
  }
  return [...files, ...places];
}

/** The directories of packages whose names have two parts. */
function scopes(modules) {
  if (!existsSync(modules)) {
    return [];
  }
  const names = readdirSync(modules).filter((name) => name.startsWith("@"));
  return names.map((name) => path.join(modules, name));
}

/**
 * All files of code in this process. Node itself lists those only that were not imported, and the engine, which does, reads each of them once
 * more for that: it takes as long as loading them has.
 */
function importedFiles() {
  const files = new Set();
  const session = new inspector.Session();
  session.connect();
  session.on("Debugger.scriptParsed", ({ params: { url } }) => {
    if (url.startsWith("file:")) {
      files.add(fileURLToPath(url.replace(/[?#].*/, "")));
    } else if (path.isAbsolute(url)) {
      files.add(url);
    }
  });
  // Tells of those that there are, at once.
  session.post("Debugger.enable");
  session.post("Debugger.disable");
  session.disconnect();
  return [...files];
}
