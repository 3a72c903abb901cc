// What a construct wants done around a bundle: commands before and after it, packages that are installed beside it, and files that are
// copied to it.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";

import { existing } from "./format.mjs";
import { link } from "./output.mjs";
import { locate } from "./externals.mjs";
import { typesRead } from "./precompile.mjs";

/** Stands for the directory of the bundle in commands that were written down before that was known. */
const OUTPUT = /\/asset-output(?![\w.-])/g;

/** So much of what a failed command has said is kept. */
const LAST_WORDS = 8000;

/** The bundle itself, which tells by its own fingerprint when it is different, and the packages that are linked to it. */
const OF_THE_BUNDLE = /^((index|(vendor|ahead)-\w+)\.[cm]js(\.map)?|node_modules)$/;

/** Builds a function by `bundle`, with all that belongs to it. Nothing is thrown, as in `Builds.build`. */
export async function withCommands(request, bundle) {
  const { commands, copyFiles = [], nodeModules = [], preCompilation } = request.bundling;
  if (!commands && copyFiles.length + nodeModules.length === 0 && !preCompilation) return bundle();
  const mentioned = mentionedFiles(request);
  try {
    await run(request, commands?.before);
    const { built, failed } = await bundle();
    if (failed) return { failed };
    linkPackages(request);
    for (const one of copyFiles) copy(one, request);
    await run(request, commands?.after);
    // What the commands write themselves would have them run for ever.
    const read = [...mentioned].filter(([file, before]) => stamp(file) === before).map(([file]) => file);
    const inputs = [...built.inputs, ...copyFiles.map(({ from }) => from), ...read, ...typesRead(request)];
    const fingerprint = `${built.fingerprint} ${await hashOf(request.directory)}`;
    return { built: { ...built, fingerprint, inputs: [...new Set(inputs)] } };
  } catch (error) {
    const inputs = [request.entry, ...copyFiles.map(({ from }) => existing(from)), ...mentioned.keys()];
    const summary = error.message;
    return { failed: { summary, detail: error.detail ?? summary, errorType: "Sst.BuildFailed", inputs } };
  }
}

// ---- Commands ------------------------------------------------------------------------------------------------------------

async function run(request, lines = []) {
  fs.mkdirSync(request.directory, { recursive: true });
  for (const line of lines) await runOne(line.replace(OUTPUT, request.directory), request);
}

function runOne(line, { bundling }) {
  const { directory } = bundling.commands;
  const env = { ...process.env, ...bundling.environment };
  env.PATH = [...binaries(directory), env.PATH].join(path.delimiter);
  const child = spawn(shell(), ["-c", line], { cwd: directory, env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      said = (said + text).slice(-LAST_WORDS);
      process.stderr.write(text);
    });
  }
  return new Promise((resolve, reject) => {
    child.on("error", (error) => reject(new Error(`\`${line}\` cannot be run: ${error.message}`)));
    child.on("close", (code, signal) => {
      if (code === 0) return resolve();
      const error = new Error(`\`${line}\` ended with ${code === null ? signal : `exit code ${code}`}`);
      reject(Object.assign(error, { detail: `${error.message}\n${said.trim()}`.trim() }));
    });
  });
}

/** The library takes `bash`, which not every machine has. */
function shell() {
  const isThere = (directory) => fs.existsSync(path.join(directory, "bash"));
  return (process.env.PATH ?? "").split(path.delimiter).some(isThere) ? "bash" : "sh";
}

/** Where the commands of the project's packages are. `npx cdk` and `npm run` have them in the path as well. */
function binaries(directory) {
  const parent = path.dirname(directory);
  return [path.join(directory, "node_modules", ".bin"), ...(parent === directory ? [] : binaries(parent))];
}

/** Files and directories of the project that the commands name, as they are now: those that they may read. */
function mentionedFiles({ bundling, directory: output }) {
  const { directory, before = [], after = [] } = bundling.commands ?? {};
  const words = [...before, ...after].flatMap((line) => line.match(/[^\s"'`;&|<>()=]+/g) ?? []);
  const isInside = (file) => file.startsWith(directory + path.sep) && !file.startsWith(output);
  const files = words.map((word) => path.resolve(directory, word)).filter((file) => isInside(file) && fs.existsSync(file));
  return new Map(files.map((file) => [file, stamp(file)]));
}

/** Changes with whatever is changed below a path. */
function stamp(file) {
  const found = fs.statSync(file, { throwIfNoEntry: false });
  if (!found) return "";
  if (!found.isDirectory()) return `${found.size} ${found.mtimeMs}`;
  const names = fs.readdirSync(file).filter((name) => name !== "node_modules");
  return names.map((name) => `${name} ${stamp(path.join(file, name))}`).join("\n");
}

// ---- Files ---------------------------------------------------------------------------------------------------------------

/** Packages that are installed when the function is deployed: also those that no file of it imports by their names. */
function linkPackages({ entry, directory, bundling }) {
  const from = path.dirname(entry);
  const found = (bundling.nodeModules ?? []).map((name) => [name, locate(name, from)]).filter(([, target]) => target);
  link(path.join(directory, "node_modules"), new Map(found));
}

function copy({ from, to }, { directory }) {
  if (!fs.existsSync(from)) throw new Error(`\`copyFiles\` names \`${from}\`, which does not exist`);
  if (path.isAbsolute(to)) throw new Error(`\`copyFiles\` copies to \`${to}\`, which is not relative`);
  fs.cpSync(from, path.join(directory, to), { recursive: true, dereference: true });
}

/** A hash of what was put beside the bundle. */
async function hashOf(directory) {
  const hash = createHash("sha256");
  const visit = async (below) => {
    const entries = await fs.promises.readdir(path.join(directory, below), { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const relative = path.join(below, entry.name);
      if (OF_THE_BUNDLE.test(relative)) continue;
      if (entry.isDirectory()) await visit(relative);
      else hash.update(`${relative}\0`).update(await contents(path.join(directory, relative)));
    }
  };
  await visit("");
  return hash.digest("hex");
}

/** What is neither a file nor a link to one has no contents. */
async function contents(file) {
  return fs.promises.readFile(file).catch(() => "");
}
