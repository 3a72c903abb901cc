// AWS's own runtime clients for Node, as they are published: 3 is the one up to `nodejs22.x`, 4 the one from `nodejs24.x` on.
//
// Only the part of them that is compiled is left out: it carries requests, which is done here by a few lines of JavaScript.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const CLIENTS = {
  classic: {
    version: "3.3.0",
    sha512: "9p06TbKVK4a050NY/vYOxhMHvnIiUu5o1W0//q6yNLSqA/c91pn4BOj3C3sRTpplkUNsGJdU5qWyU2STo6L8hA==",
    start: (directory) => `import { run } from ${JSON.stringify(pathToFileURL(path.join(directory, "dist/index.mjs")).href)};
      await run(process.env.LAMBDA_TASK_ROOT, process.env._HANDLER);`,
  },
  modern: {
    version: "4.0.2",
    sha512: "FE5Vskx7mYNnqAnWWJXUOsLp2VGgdsJsCoRLFTa8L4Yk0QVtArqR8q58yPA++QC1a73ZWJXBQ2AH31nIAv7NOQ==",
    start: (directory) => `await import(${JSON.stringify(pathToFileURL(path.join(directory, "index.mjs")).href)});`,
  },
};

/** Where a client is, which is downloaded if need be. Its many dependencies, for compiling, are not. */
function install({ version, sha512 }) {
  const parent = path.join(here, "packages", "node_modules", ".official");
  const directory = path.join(parent, version);
  if (fs.existsSync(directory)) return directory;
  fs.mkdirSync(parent, { recursive: true });
  const temporary = fs.mkdtempSync(path.join(parent, "new-"));
  execFileSync("npm", ["pack", `aws-lambda-ric@${version}`, "--silent"], { cwd: temporary });
  const archive = path.join(temporary, `aws-lambda-ric-${version}.tgz`);
  assert.equal(createHash("sha512").update(fs.readFileSync(archive)).digest("base64"), sha512);
  execFileSync("tar", ["xzf", archive], { cwd: temporary });
  try {
    fs.renameSync(path.join(temporary, "package"), directory);
  } catch {
    // Another test was faster.
  }
  fs.rmSync(temporary, { recursive: true });
  return directory;
}

/**
 * Starts a client.
 *
 * @param {"classic" | "modern"} kind
 * @param {object} environment of the function
 * @param {string} node the Node that runs it
 */
export function startOfficial(kind, environment, node = process.execPath) {
  const client = CLIENTS[kind];
  const directory = install(client);
  const transport = path.join(here, "official-transport.cjs");
  const options = ["--require", transport, ...(kind === "classic" ? DISABLED : []), "--input-type=module", "--eval"];
  const env = { ...environment, AWS_LAMBDA_NODEJS_USE_ALTERNATIVE_CLIENT_1: "true" };
  const cwd = environment.LAMBDA_TASK_ROOT;
  const child = spawn(node, [...options, client.start(directory)], { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  const written = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) child[name].setEncoding("utf8").on("data", (text) => (written[name] += text));
  return { child, written, closed: once(child, "close") };
}

/** What Lambda switches off up to `nodejs22.x`, as far as this Node knows it. */
const DISABLED = ["--no-experimental-require-module", "--no-experimental-detect-module"].filter((option) =>
  process.allowedNodeEnvironmentFlags.has(option.replace("--no-", "--")),
);
