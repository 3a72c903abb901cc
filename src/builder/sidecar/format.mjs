// Whether a function becomes a module or CommonJS, as Node would take its entry file.

import fs from "node:fs";
import path from "node:path";

export function formatOf(entry, declared) {
  if (declared === "esm" || declared === "cjs") return declared;
  const extension = path.extname(entry);
  if ([".mjs", ".mts"].includes(extension)) return "esm";
  if ([".cjs", ".cts"].includes(extension)) return "cjs";
  const file = nearest(path.dirname(entry), "package.json");
  try {
    return JSON.parse(fs.readFileSync(file, "utf8")).type === "module" ? "esm" : "cjs";
  } catch {
    return "cjs";
  }
}

/** The nearest file of that name, upwards. */
export function nearest(directory, name) {
  for (;;) {
    const file = path.join(directory, name);
    if (fs.existsSync(file)) return file;
    const parent = path.dirname(directory);
    if (parent === directory) return undefined;
    directory = parent;
  }
}

/** The nearest directory upwards that exists. */
export function existing(directory) {
  while (!fs.existsSync(directory)) directory = path.dirname(directory);
  return directory;
}
