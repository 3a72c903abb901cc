// What a build leaves on the disk.

import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

/** Where a function's bundle lies. */
export class Place {
  /** The files beside the bundle that the last two builds load. A worker may still be starting with the former. */
  #recent = [];
  /** The vendor bundle that is there. */
  #vendor;

  constructor(directory) {
    this.directory = directory;
  }

  /**
   * Puts a bundle there: its `file` with all `outputs`, [name, contents]; `links` to packages; and beside it the vendor bundle and the module
   * that standbys load. The vendor bundle that the `next` one may need stays.
   */
  put({ file, outputs, links, vendor, ahead, next }) {
    const { directory } = this;
    // What is loaded comes before what loads it.
    if (vendor && (vendor !== this.#vendor || !vendor.areIn(directory))) vendor.bringTo(directory);
    this.#vendor = vendor;
    if (ahead) replace(path.join(directory, ahead.name), Buffer.from(ahead.text));
    link(path.join(directory, "node_modules"), links);
    for (const [name, contents] of outputs) replace(path.join(directory, name), contents);
    // A function that has changed its format must not find its former self.
    fs.rmSync(path.join(directory, file.endsWith(".mjs") ? "index.cjs" : "index.mjs"), { force: true });
    this.#keepOnly([vendor?.file, ahead?.name].filter(Boolean), next?.file);
  }

  /** Removes what no worker loads any more. What an earlier session has left is taken for the former build's. */
  #keepOnly(names, next) {
    const found = fs.readdirSync(this.directory).filter((name) => /^(vendor|ahead)-\w+\.[cm]js(\.map)?$/.test(name));
    this.#recent = [this.#recent[1] ?? found, names];
    const needed = [...this.#recent.flat(), next];
    for (const name of found) {
      if (!needed.some((one) => name === one || name === `${one}.map`)) fs.rmSync(path.join(this.directory, name), { force: true });
    }
  }
}

/**
 * The files of a vendor bundle, which lie beside the bundle of each function that loads it. They are copies: a standby is thrown away when
 * the node of a file that it has read changes, as it does whenever another name is given to it or taken from it.
 */
export class Beside {
  #names;
  #directories;

  /** Writes them to a directory first. */
  constructor(file, directory, outputFiles) {
    this.file = file;
    this.#names = outputFiles.map((output) => path.relative(directory, output.path));
    this.#directories = new Set([directory]);
    for (const output of outputFiles) replace(output.path, output.contents);
  }

  /** Whether they still are anywhere. */
  areThere() {
    return this.#source() !== undefined;
  }

  areIn(directory) {
    return this.#names.every((name) => fs.existsSync(path.join(directory, name)));
  }

  bringTo(directory) {
    const source = this.#source(directory);
    this.#directories.add(directory);
    if (source === directory) return;
    for (const name of this.#names) {
      writeBeside(path.join(directory, name), (file) => fs.copyFileSync(path.join(source, name), file, fs.constants.COPYFILE_FICLONE));
    }
  }

  #source(preferred) {
    if (this.#directories.has(preferred) && this.areIn(preferred)) return preferred;
    return [...this.#directories].find((directory) => this.areIn(directory));
  }
}

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
  writeBeside(file, (beside) => fs.writeFileSync(beside, contents));
}

/** Has a file written under another name, which is then given its own. */
function writeBeside(file, write) {
  const beside = `${file}.${process.pid}.tmp`;
  fs.mkdirSync(path.dirname(file), { recursive: true });
  write(beside);
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
