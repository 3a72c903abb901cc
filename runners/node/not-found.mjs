// What is said of a handler that is not there: what there is instead, and which of that was probably meant.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";

/** How many names are listed in place of one that is missing. */
const MOST_NAMES = 12;

/** What modules have without exporting it. */
const NO_EXPORTS = new Set(["default", "__esModule", "module.exports"]);

/**
 * Where a handler is looked for in what a module exports.
 *
 * @param {string} file the file that was loaded; undefined for a package
 * @param {string} taskRoot
 * @param {object} loaded what it exports
 * @param {string[]} names the way to the handler: `["handler"]`, or more for one that is nested
 * @returns {string} a sentence without its end
 */
export function whatIsExported(file, taskRoot, loaded, names) {
  const place = file === undefined ? "the package" : `\`${sourceOf(file, taskRoot)}\``;
  let object = loaded;
  for (const [index, name] of names.entries()) {
    const known = namesIn(object);
    const owner = index === 0 ? place : `\`${names.slice(0, index).join(".")}\` in ${place}`;
    const [has, hasNothing] = index === 0 ? ["exports", "exports nothing"] : ["has", "has nothing"];
    const value = object?.[name];
    if (value === undefined || value === null) {
      if (known.length === 0) {
        return `${owner} ${hasNothing}`;
      }
      const noun = index === 0 ? "no export" : "no";
      const listed = known.slice(0, MOST_NAMES).map((one) => `\`${one}\``);
      const list = [...listed, ...(known.length > listed.length ? ["…"] : [])].join(", ");
      const meant = known.length > 1 ? nearest(name, known) : undefined;
      return `${owner} has ${noun} \`${name}\`; it ${has}: ${list}${meant ? `. Did you mean \`${meant}\`?` : ""}`;
    }
    object = value;
  }
  return `\`${names.join(".")}\` in ${place} is ${Array.isArray(object) ? "an array" : `of the type ${typeof object}`}`;
}

/**
 * The file in a directory that was probably meant by a name without its extension.
 *
 * @param {string} base absolute, without the extension
 * @param {string[]} extensions those that are looked for
 * @returns {string | undefined} its name with the extension
 */
export function nearestFile(base, extensions) {
  let entries;
  try {
    entries = readdirSync(path.dirname(base));
  } catch {
    return undefined;
  }
  const files = new Map();
  for (const entry of entries) {
    const extension = path.extname(entry);
    if (extensions.includes(extension)) {
      files.set(entry.slice(0, entry.length - extension.length), entry);
    }
  }
  return files.get(nearest(path.basename(base), [...files.keys()]));
}

/** The file that a developer knows: the last source of a bundle is the one that it begins with. */
function sourceOf(file, taskRoot) {
  const map = `${file}.map`;
  if (existsSync(map)) {
    try {
      const { sources } = JSON.parse(readFileSync(map, "utf8"));
      const files = sources.map((source) => path.resolve(path.dirname(file), source));
      const own = files.filter((source) => !source.includes(`${path.sep}node_modules${path.sep}`) && existsSync(source));
      if (own.length > 0) {
        return path.relative(projectOf(taskRoot), own.at(-1));
      }
    } catch {
      // A map that cannot be read is no reason to say nothing.
    }
  }
  return path.relative(taskRoot, file);
}

/** Bundles are in the project's `.sst`. */
function projectOf(taskRoot) {
  const [project, ...below] = taskRoot.split(`${path.sep}.sst${path.sep}`);
  return below.length > 0 ? project : taskRoot;
}

function namesIn(object) {
  const isObject = object !== null && ["object", "function"].includes(typeof object);
  return isObject ? Object.keys(object).filter((name) => !NO_EXPORTS.has(name)) : [];
}

/** The most similar name, if there is one that could have been meant. */
function nearest(name, known) {
  const most = Math.max(2, Math.floor(name.length / 3));
  const rows = known.map((one) => ({ one, distance: distance(name.toLowerCase(), one.toLowerCase()) }));
  const near = rows.filter((row) => row.distance <= most).sort((a, b) => a.distance - b.distance);
  return near[0]?.one;
}

/** How many characters must be inserted, removed, or replaced. */
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
