// Runs a bundle on plain Node, as little as can be: `node plain.mjs <file> <answer>` writes into the latter what the caller would get.

import fs from "node:fs";
import { createRequire } from "node:module";
import process from "node:process";
import { pathToFileURL } from "node:url";

const [file, answer] = process.argv.slice(2);
try {
  const { handler } = file.endsWith(".mjs") ? await import(pathToFileURL(file).href) : createRequire(file)(file);
  // The event has yet to come when a handler is loaded.
  await new Promise(setImmediate);
  end({ result: (await handler({}, {})) ?? null });
} catch (error) {
  end({ error: [error.name, error.message] });
}

function end(what) {
  fs.writeFileSync(answer, JSON.stringify(what));
  // Node writes warnings in the next turn, in which Lambda's client is still sending the answer.
  setImmediate(() => process.exit());
}
