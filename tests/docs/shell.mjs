// The blocks of shell lines in what people read, and what each says of its surroundings, in a comment before it: `<!-- run: … -->` or
// `<!-- not run: why -->`.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

/** Where lines are run. Blocks of one document with the same surroundings are run one after the other, in the same directory. */
export const SURROUNDINGS = {
  checkout: "the top of this repository",
  example: "the directory of the document, in a copy of the examples",
  beside: "an empty directory beside a checkout that is called `sst`, in which the package was made",
  project: "an app of its own, beside which a local cloud runs that stands for AWS",
  session: "an app whose `sst start` runs, with AWS in its local cloud",
};

/** The documents whose lines are run. */
export function documents() {
  const below = (directory) => fs.readdirSync(path.join(repository, directory));
  const pages = below("docs").filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`);
  const examples = below("examples").map((name) => `examples/${name}/README.md`);
  return ["README.md", "CONTRIBUTING.md", "SECURITY.md", ...pages, ...examples].filter((file) => fs.existsSync(path.join(repository, file)));
}

/** The blocks of a document, in order: `{ file, line, lines, run }` or `{ file, line, lines, reason }`; neither where nothing is said. */
export function blocksIn(file, text = fs.readFileSync(path.join(repository, file), "utf8")) {
  const found = [];
  const all = text.split(/\r?\n/);
  for (let at = 0; at < all.length; at++) {
    const fence = /^(\s*)(`{3,})(?:sh|bash|shell|console)\s*$/.exec(all[at]);
    if (!fence) continue;
    const end = all.findIndex((line, index) => index > at && line.trim() === fence[2]);
    const lines = all.slice(at + 1, end).map((line) => line.slice(fence[1].length));
    const said = /^\s*<!-- (run|not run): (.+) -->\s*$/.exec(all[at - 1] ?? "");
    found.push({ file, line: at + 1, lines, ...(said?.[1] === "run" && { run: said[2] }), ...(said?.[1] === "not run" && { reason: said[2] }) });
    at = end;
  }
  return found;
}
