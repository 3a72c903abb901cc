// What a build leaves on the disk.

import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

/**
 * Code that differs when its source map does. Debuggers keep the map of a script that they have seen before, but a comment that is
 * put in above a breakpoint changes the map and not the script.
 */
export function stamped(contents, map) {
  if (!map) return contents;
  const code = Buffer.from(contents);
  const reference = code.lastIndexOf("//# sourceMappingURL=");
  if (reference < 0) return contents;
  const stamp = `// ${createHash("sha256").update(map).digest("hex").slice(0, 16)}\n`;
  return Buffer.concat([code.subarray(0, reference), Buffer.from(stamp), code.subarray(reference)]);
}

/** Writes a file in one step and only if it is different: a worker may be loading the old one. */
export function replace(file, contents) {
  if (fs.existsSync(file) && fs.readFileSync(file).equals(contents)) return;
  const beside = `${file}.${process.pid}.tmp`;
  fs.writeFileSync(beside, contents);
  fs.renameSync(beside, file);
}

/** Makes packages resolve from where the bundle is as they do from where they are imported. */
export function link(modules, packages) {
  for (const [name, target] of packages) {
    const file = path.join(modules, name);
    const isLink = fs.lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink();
    if (isLink && fs.readlinkSync(file) === target) continue;
    fs.rmSync(file, { force: true, recursive: true });
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.symlinkSync(target, file, "dir");
  }
}
