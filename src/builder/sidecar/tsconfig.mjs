// What a `tsconfig.json` says of where modules are, with all that it extends.

import fs from "node:fs";
import path from "node:path";

/** File → { mtimeMs, size, parsed }: it is the same for most functions of a project, and for all saves. */
const known = new Map();

const NOTHING = { targets: () => [] };

/**
 * Notes in `inputs` the files that a configuration consists of. Returns what its `paths` say: `targets(name)` are the paths that an
 * import may be mapped to.
 */
export function tsconfigs(file, inputs) {
  if (!file) return NOTHING;
  let paths;
  const seen = new Set();
  const visit = (one) => {
    if (seen.has(one)) return;
    seen.add(one);
    inputs.add(one);
    const { compilerOptions = {}, extends: bases = [] } = read(one);
    // What is said first counts: a configuration comes before those that it extends, and of those the last one.
    const base = compilerOptions.baseUrl && path.resolve(path.dirname(one), compilerOptions.baseUrl);
    if (compilerOptions.paths) paths ??= { map: compilerOptions.paths, base: base ?? path.dirname(one) };
    for (const extended of [bases].flat().reverse()) {
      if (typeof extended === "string") candidates(path.dirname(one), extended, inputs, visit);
    }
    if (base) paths ??= { map: { "*": ["*"] }, base };
  };
  visit(file);
  return paths ? { targets: (name) => targetsOf(paths, name) } : NOTHING;
}

function targetsOf({ map, base }, name) {
  return Object.entries(map).flatMap(([pattern, targets]) => {
    const [before, after] = pattern.split("*");
    const matches =
      after === undefined
        ? name === pattern
        : name.length >= before.length + after.length && name.startsWith(before) && name.endsWith(after);
    if (!matches || !Array.isArray(targets)) return [];
    const middle = after === undefined ? "" : name.slice(before.length, name.length - after.length);
    return targets.map((target) => path.resolve(base, String(target).replace("*", () => middle)));
  });
}

/** Visits what `extends` names, or notes where it was looked for. */
function candidates(directory, name, inputs, visit) {
  const tried = [];
  if (/^\.{0,2}\//.test(name) || path.isAbsolute(name)) {
    const file = path.resolve(directory, name);
    tried.push(file.endsWith(".json") ? [file] : [`${file}.json`, file]);
  } else {
    for (let above = directory; ; above = path.dirname(above)) {
      const file = path.join(above, "node_modules", name);
      tried.push([...ofPackage(above, name), file, `${file}.json`, path.join(file, "tsconfig.json")]);
      if (path.dirname(above) === above) break;
    }
  }
  for (const files of tried) {
    const found = files.find((file) => fs.statSync(file, { throwIfNoEntry: false })?.isFile());
    if (found) return visit(found);
    // A package that is there but has no such file stands for nothing else in it.
    for (const file of files) if (!fs.existsSync(file)) inputs.add(file);
  }
}

/** What a package itself calls its configuration. */
function ofPackage(directory, name) {
  const [, scoped, rest] = /^((?:@[^/]+\/)?[^/]+)(\/.*)?$/.exec(name) ?? [];
  const place = path.join(directory, "node_modules", scoped ?? name);
  const manifest = path.join(place, "package.json");
  if (!fs.existsSync(manifest)) return [];
  const { tsconfig, exports } = read(manifest);
  const exported = exports?.[`.${rest ?? ""}`];
  return [!rest && tsconfig, typeof exported === "string" ? exported : exported?.default]
    .filter((file) => typeof file === "string")
    .map((file) => path.join(place, file));
}

function read(file) {
  const { mtimeMs, size } = fs.statSync(file, { throwIfNoEntry: false }) ?? {};
  const before = known.get(file);
  if (before && before.mtimeMs === mtimeMs && before.size === size) return before.parsed;
  let parsed;
  try {
    parsed = JSON.parse(withoutComments(fs.readFileSync(file, "utf8")));
  } catch {
    // esbuild says what is wrong with it.
  }
  parsed = parsed && typeof parsed === "object" ? parsed : {};
  known.set(file, { mtimeMs, size, parsed });
  return parsed;
}

/** JSON as TypeScript allows it, as JSON. */
function withoutComments(text) {
  const parts = /"(?:[^"\\]|\\.)*"|\/\/[^\n]*|\/\*[^]*?\*\/|,(?=(?:\s|\/\/[^\n]*|\/\*[^]*?\*\/)*[}\]])/g;
  return text.replace(/^\uFEFF/, "").replace(parts, (part) => (part.startsWith('"') ? part : " "));
}
