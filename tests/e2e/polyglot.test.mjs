// The example with four languages, with the constructs that people use for them. None of them builds anything, and no Docker runs.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";

import { Sst, copyApp, repository } from "./support/sst.mjs";

test("the polyglot example answers in four languages", async () => {
  const directory = copyApp("examples/polyglot", path.join(repository, "examples/polyglot/node_modules"));
  const sst = await Sst.start(directory);
  try {
    const api = sst.stackOutput("ApiEndpoint");
    for (const language of ["Node", "Python", "Go", "Rust"]) {
      const response = await fetch(`${api}/${language.toLowerCase()}/Ann`);
      assert.deepEqual([response.status, await response.text()], [200, `Hello, Ann, from ${language}`]);
    }
  } finally {
    await sst.stop();
    fs.rmSync(directory, { recursive: true, force: true });
  }
});
