// What a worker can load before it is given its function's own code, without anybody noticing: the packages that would be
// evaluated before any own module that may change what they see. The rest is loaded when its turn comes.

import { createHash } from "node:crypto";
import fs from "node:fs";
import { isBuiltin } from "node:module";
import path from "node:path";

import { isAlone, isInstalled } from "./vendor.mjs";

/** Reads of variables, which change nothing. */
const READS = /process\.env(\.\w+|\[(["'])\w+\2\])(?!\s*(=[^=]|[-+*/%&|^?<>]{1,3}=[^=]))|=\s*process\.env\s*(;|$)/gm;

/** What an own module may do to the world in which packages are evaluated. Rather too often than too seldom. */
const CHANGES = new RegExp(
  [
    // What all modules share, wherever it is named.
    String.raw`\b(process|globalThis|global|prototype|defineProperty|setPrototypeOf|Reflect|eval|module\.|require\.|createRequire|child_process)\b`,
    // What is declared at the top by a call that sounds as if it did something, or by one that takes its time.
    String.raw`^(export\s+)?(const|let|var)\b.*=.*\b(config|register|install|patch|hook|mock|polyfill|setup|init|start|instrument|capture|enable|disable)\w*\s*\(`,
    String.raw`^(export\s+)?(const|let|var)\b[^=]*=\s*await\b`,
    // A statement at the top that is neither a declaration nor an import nor an export.
    String.raw`^(?!(import|export|const|let|var|function|async|class|interface|type|enum|declare|abstract|namespace)\b)[A-Za-z_$!(\[+-]`,
  ].join("|"),
  "m",
);

/**
 * The module that a standby loads, which lies beside the bundle and has its name from what it does: { name, text }, or nothing. Packages
 * are evaluated by it in the order in which the function would, and as often.
 */
export function ahead({ result, vendor, root, extension }) {
  const { inputs, outputs } = result.metafile;
  const [output] = Object.values(outputs).filter((one) => one.entryPoint);
  const included = new Set([...Object.keys(output.inputs), ...output.imports.map((one) => one.path)]);
  /** Names of external packages, and numbers of what is in the vendor bundle. */
  const steps = [];
  const then = (step) => void (steps.includes(step) || steps.push(step));
  const visit = (file, seen) => {
    if (seen.has(file)) return;
    seen.add(file);
    const id = vendor?.known.get(path.resolve(root, file))?.id;
    if (id !== undefined) return then(id);
    // Without a vendor bundle packages are a part of the function, and are as little to be changed as its own modules.
    if (isInstalled(path.resolve(root, file))) throw new Stop();
    const { imports = [], format } = inputs[file] ?? {};
    const follow = (one) => {
      if (!included.has(one.path)) return;
      if (!one.external) visit(one.path, seen);
      else if (/^[^./]/.test(one.path) && !isBuiltin(one.path)) then(one.path);
    };
    for (const one of imports) if (one.kind === "import-statement") follow(one);
    const text = read(path.resolve(root, file));
    if (!/\.json$/.test(file) && CHANGES.test(harmless(text, format))) throw new Stop();
    for (const one of imports) if (one.kind === "require-call" && isAtTop(text, one.original)) follow(one);
  };
  try {
    visit(output.entryPoint, new Set());
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
  }
  // A module's imports from outside come before everything else.
  if (extension === "mjs") steps.sort((one, other) => (typeof one === "number") - (typeof other === "number"));
  const alone = (vendor?.isAlone ?? true) && isAlone(output, vendor?.file);
  return steps.length ? written(vendor?.file, steps, extension, alone) : undefined;
}

class Stop extends Error {}

/** A module without what looks as if it did something, and does not. */
function harmless(text, format) {
  const rest = text.replace(READS, "");
  return format === "cjs" ? rest.replace(/^(module\.)?exports\b|^(["'])use strict\2/gm, "export") : rest;
}

/** Whether a module requires something whenever it is evaluated, outside of everything else. */
function isAtTop(text, wanted) {
  const found = text.matchAll(/^(?:(?:const|let|var|import)\s+[\w$\s{},:]+=\s*)?require\(\s*["']([^"']+)["']\s*\)/gm);
  return [...found].some(([, name]) => name === wanted);
}

function read(file) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    // It is gone again, and whatever it was, nothing is known of it.
    throw new Stop();
  }
}

/**
 * The module that a standby loads. Where a part of the vendor bundle fails, the function is told so when it comes to it, as if it
 * had failed then; and what comes after it is not loaded, as it would not be. It names the files that it imports when there are no others.
 */
function written(vendorFile, steps, extension, alone) {
  const isModule = extension === "mjs";
  const from = JSON.stringify(`./${vendorFile}`);
  const begin = isModule ? `import { open } from ${from};` : `const { open } = require(${from});`;
  const load = isModule ? "await import(step)" : "require(step)";
  const text = `${vendorFile ? begin : "const open = {};"}
for (const step of ${JSON.stringify(steps)}) {
  const evaluate = open[step];
  try {
    if (evaluate) evaluate();
    else ${load};
  } catch (error) {
    if (evaluate) {
      open[step] = () => {
        open[step] = evaluate;
        throw error;
      };
    }
    break;
  }
}
${isModule && alone ? `export const files = [${from}];\n` : ""}`;
  return { name: `ahead-${createHash("sha256").update(text).digest("hex").slice(0, 16)}.${extension}`, text };
}
