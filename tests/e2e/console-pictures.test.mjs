// The pictures of the console in the documentation, made of the real thing: UPDATE_PICTURES=1 puts them into `docs/images`. Without that it is
// only checked that they can be made, and are shown.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { assertQuiet, openConsole } from "./support/console.mjs";
import { Sst, copyApp, repository } from "./support/sst.mjs";
import { launchChromium } from "./support/web.mjs";

const made = path.join(process.env.CARGO_TARGET_DIR ?? path.join(repository, "target"), "console/pictures");
const documented = path.join(repository, "docs/images");

let parent;
let sst;
let browser;

before(async () => {
  // By its own name, since the pictures show it.
  const copy = copyApp("examples/rest-api");
  parent = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-pictures-"));
  const directory = path.join(parent, "rest-api");
  fs.renameSync(copy, directory);
  const file = path.join(directory, "src/get.js");
  const text = fs.readFileSync(file, "utf8");
  const changed = text.replace(/^(export async function handler\(.*\{\n)/m, "$1  console.log(`looking for ${event.pathParameters.id}`);\n  if (event.pathParameters.id === \"id3\") throw new RangeError(\"there are only two notes\");\n");
  assert.notEqual(changed, text);
  fs.writeFileSync(file, changed);
  fs.mkdirSync(made, { recursive: true });
  browser = await launchChromium();
  sst = await Sst.start(directory);
});
after(async () => {
  await browser?.close();
  await sst?.stop();
  fs.rmSync(parent, { recursive: true, force: true });
});

describe("the pictures of the documentation", () => {
  test("calls, and one that has failed", async () => {
    const view = await openConsole(browser, sst.session(), { viewport: { width: 1280, height: 800 }, deviceScaleFactor: 1.5 });
    const endpoint = sst.stackOutput("ApiEndpoint");
    const request = (method, route) => fetch(`${endpoint}/${route}`, { method });
    await request("GET", "notes");
    await request("POST", "order");
    await view.rows.filter({ hasText: "SNS topic" }).nth(1).getByText("ok").waitFor();
    for (const route of ["notes", "notes/id1", "notes/id2", "notes", "notes/id3"]) await request("GET", route);
    await view.rows.filter({ hasText: "RangeError" }).click();
    await view.detail.getByRole("link", { name: "src/get.js:6:" }).waitFor();
    await view.detail.getByRole("button", { name: "↻ Replay" }).click();
    await view.page.getByText("Replay of").waitFor();
    await view.rows.filter({ hasText: "RangeError" }).nth(1).click();
    await view.detail.getByRole("region", { name: "Related calls" }).waitFor();
    for (const colorScheme of ["dark", "light"]) {
      await view.page.emulateMedia({ colorScheme });
      await view.page.mouse.move(0, 0);
      const name = `console-${colorScheme}.png`;
      const picture = await view.page.screenshot({ path: path.join(made, name), animations: "disabled" });
      if (process.env.UPDATE_PICTURES) fs.writeFileSync(path.join(documented, name), picture);
      assert.ok(fs.existsSync(path.join(documented, name)), `docs/images/${name} is missing: UPDATE_PICTURES=1 makes it`);
      assert.ok(fs.readFileSync(path.join(repository, "docs/console.md"), "utf8").includes(`images/${name}`), `docs/console.md does not show ${name}`);
    }
    await assertQuiet(view, sst.session().control);
  });
});
