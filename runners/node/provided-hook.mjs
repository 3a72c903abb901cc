// How `import` finds provided packages: hooks for Node, which loads this file into a thread of its own where it is too old
// for hooks in the same thread.

import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** Neither a path, nor a URL, nor a name that the importing package defines itself. */
const BARE = /^(?![./#]|[a-z][a-z\d+.-]*:)/i;

/** So many stack frames the hook below adds to an error of the lookup. The function's would otherwise be cut off. */
const FRAMES = 5;

let packages;
let importer;

/**
 * Called before the hooks: by Node, where they have a thread of their own.
 *
 * @param {string} directory with the provided packages, called `node_modules`
 */
export function initialize(directory) {
  packages = directory;
  // The file need not exist: it says where from packages are resolved.
  importer = pathToFileURL(path.join(path.dirname(directory), "importer.mjs")).href;
}

export async function resolve(specifier, context, nextResolve) {
  try {
    return await nextResolve(specifier, context);
  } catch (error) {
    if (!isProvided(specifier, context, error)) {
      throw error;
    }
    try {
      return await nextResolve(specifier, { ...context, parentURL: importer });
    } catch {
      // The function's own lookup is what its developer knows about.
      throw error;
    }
  }
}

/** The same in the thread of the function, which `require` goes through as well. */
export function resolveSync(specifier, context, nextResolve) {
  const { stackTraceLimit } = Error;
  // Unlike an assignment, this may fail: some functions freeze what is global.
  Reflect.set(Error, "stackTraceLimit", stackTraceLimit + FRAMES);
  try {
    return nextResolve(specifier, context);
  } catch (error) {
    if (!isProvided(specifier, context, error)) {
      throw error;
    }
    try {
      return nextResolve(specifier, { ...context, parentURL: importer });
    } catch {
      throw error;
    }
  } finally {
    Reflect.set(Error, "stackTraceLimit", stackTraceLimit);
  }
}

/**
 * Whether a package is there although it was not found. Without that look, Node would go on in the directories above, where the
 * function would not find anything on Lambda. Errors of `require` have another code: it has looked here already.
 */
function isProvided(specifier, { parentURL }, error) {
  if (error?.code !== "ERR_MODULE_NOT_FOUND" || !BARE.test(specifier)) {
    return false;
  }
  const [scope, name] = specifier.split("/");
  const known = scope.startsWith("@") ? `${scope}/${name}` : scope;
  return existsSync(path.join(packages, known)) && !isOwn(known, parentURL);
}

/** Whether the function has the package itself, of which only a part is missing: that of another version would not fit. */
function isOwn(name, parentURL) {
  return Boolean(parentURL?.startsWith("file:")) && isInstalled(name, path.dirname(fileURLToPath(parentURL)));
}

function isInstalled(name, directory) {
  const parent = path.dirname(directory);
  return existsSync(path.join(directory, "node_modules", name)) || (parent !== directory && isInstalled(name, parent));
}
