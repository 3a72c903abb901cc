"use strict";

// What an app wants made of an asset before that is a function's code (`bundling` of `Code.fromAsset`). Its commands are recorded, and run
// when the function is built. A function of the app itself (`tryBundle`) can only be called in the app, which is then run once more:
// with $SST_MAKE, the construct path of a function, it ends when it comes to that function's code, which it makes in $SST_MAKE_OUTPUT.

const { createHash } = require("node:crypto");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const process = require("node:process");

const { unheeded } = require("./options.cjs");

/** Where a container has the asset. The directory of what is made is not known yet. */
const INPUT = "/asset-input";

/** How the code is made, as a record of hook.cjs says it. */
function describe(options, assetPath) {
  const { bundling } = options;
  const real = [[INPUT, assetPath], ...(bundling.volumes ?? []).map(({ containerPath, hostPath }) => [containerPath, whole(hostPath)])];
  const here = (text) => real.reduce((found, [inside, outside]) => replacePath(found, inside, outside), text);
  const tryBundle = bundling.local && createHash("sha256").update(String(bundling.local.tryBundle)).digest("hex");
  return {
    making: {
      command: [...(bundling.entrypoint ?? []), ...(bundling.command ?? [])].map(here),
      directory: here(bundling.workingDirectory ?? INPUT),
      environment: bundling.environment ?? {},
      tryBundle: tryBundle ?? null,
    },
    unheeded: unheeded("Code.fromAsset with bundling", bundling),
  };
}

/** A path in a text, wherever it is the whole path or the beginning of one. */
function replacePath(text, from, to) {
  const escaped = from.replace(/\/$/, "").replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
  return text.replace(new RegExp(`(?<![\\w./-])${escaped}(?![\\w.-])`, "g"), () => to);
}

function whole(hostPath) {
  return hostPath.startsWith("~/") ? path.join(os.homedir(), hostPath.slice(2)) : path.resolve(hostPath);
}

/** Whether the code of this function is what the app is run for. */
function isWanted(constructPath) {
  return process.env.SST_MAKE === constructPath;
}

/** Makes the code of the wanted function, says how that went beside `sources`, and ends the app. */
function answer(bundling, sources) {
  const end = (result) => {
    fs.writeFileSync(`${sources}.made.json`, JSON.stringify(result));
    process.exit(0);
  };
  const fail = (error) => end({ failed: String(error?.stack ?? error) });
  if (typeof bundling?.local?.tryBundle !== "function") return fail("the function has no `tryBundle` any more");
  const { local, ...options } = bundling;
  try {
    const result = local.tryBundle(process.env.SST_MAKE_OUTPUT, { ...options, local });
    // The library does not wait, so what comes of a promise counts there as done.
    if (typeof result?.then === "function") result.then(() => end("made"), fail);
    else end(result ? "made" : "declined");
  } catch (error) {
    fail(error);
  }
}

module.exports = { answer, describe, isWanted };
