// The console with many calls, long events and much output: what is shown at once stays small.

import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, describe, test } from "node:test";

import { assertQuiet, makeApp, openConsole } from "./support/console.mjs";
import { Sst, api, call, until } from "./support/sst.mjs";
import { launchChromium } from "./support/web.mjs";

const CALLS = 10_000;
/** How many are open at a time: so many that the page gets many at once, and so few that there are few processes. */
const AT_ONCE = 4;

/** How long the page may take to show what somebody asks for, in milliseconds. */
const ANSWERS_MS = 100;

/** How much memory its JavaScript may have, in bytes. */
const MOST_HEAP = 150 * 1024 * 1024;

/** How long a function's event may be that is not cut. */
const LONG = 5_000_000;

let directory;
let sst;
let browser;
let view;

before(async () => {
  directory = makeApp();
  browser = await launchChromium();
  sst = await Sst.start(directory, ["--max-workers", "8"]);
  view = await openConsole(browser, sst.session());
  await view.page.getByText("live").waitFor();
});
after(async () => {
  await browser?.close();
  await sst?.stop();
  fs.rmSync(directory, { recursive: true, force: true });
});

/**
 * How long it takes until what is done to one element has made another one come or go, in the page's own time. `scroll` is where the first one
 * is scrolled to; else it is clicked on.
 */
const answers = (selector, { scroll, comes, goes }) =>
  view.page.evaluate(
    async ({ selector, scroll, comes, goes }) => {
      const begin = performance.now();
      const element = document.querySelector(selector);
      if (scroll === undefined) element.click();
      else element.scrollTop = scroll;
      while (comes ? !document.querySelector(comes) : document.querySelector(goes)) await new Promise(requestAnimationFrame);
      return performance.now() - begin;
    },
    { selector, scroll, comes, goes },
  );

const heap = async () => {
  const client = await view.context.newCDPSession(view.page);
  await client.send("HeapProfiler.collectGarbage");
  const { usedSize } = await client.send("Runtime.getHeapUsage");
  await client.detach();
  return usedSize;
};

describe("much of everything", () => {
  test("10,000 calls are all there, and only those are in the document that can be seen", async () => {
    let left = CALLS;
    const callers = Array.from({ length: AT_ONCE }, async () => {
      while (left > 0) {
        left -= 1;
        await call(sst.session(), "Plain", { text: `number ${left}` });
      }
    });
    await Promise.all(callers);
    await until("all calls", async () => (await view.page.locator(".count").innerText()).startsWith("10,000 calls"), 20_000);
    assert.ok((await view.rows.count()) < 80);
    assert.ok((await heap()) < MOST_HEAP, `${await heap()} bytes`);
    const grid = view.page.getByRole("grid");
    assert.equal(await grid.getAttribute("aria-rowcount"), String(CALLS + 1));
    // To the first call and back, by a search among all of them, and into one.
    const took = {
      scroll: await answers("#rows", { scroll: 1e9, comes: `[aria-rowindex="${CALLS + 1}"]` }),
      filter: await answers(".filters button", { goes: ".all .row" }),
      all: await answers(".filters button", { comes: ".all .row" }),
      back: await answers("#rows", { scroll: 0, comes: '[aria-rowindex="2"]' }),
      open: await answers(".all .row", { comes: "#detail" }),
    };
    for (const [what, ms] of Object.entries(took)) assert.ok(ms < ANSWERS_MS, `${what}: ${ms} ms`);
    await view.detail.waitFor();
  });

  test("what somebody reads stays where it is while calls come", async () => {
    await view.page.keyboard.press("Escape");
    await view.page.evaluate(() => (document.querySelector("#rows").scrollTop = 2_600));
    const topmost = () =>
      view.page.evaluate(() => {
        const { top } = document.querySelector(".all").parentElement.getBoundingClientRect();
        const rows = [...document.querySelectorAll(".all .row")].map((row) => ({ id: row.id, at: row.getBoundingClientRect().top - top }));
        return rows.filter(({ at }) => at >= 26).sort((one, other) => one.at - other.at)[0];
      });
    await until("rows there", async () => (await topmost()) !== undefined);
    const before = await topmost();
    await Promise.all([1, 2, 3].map(() => call(sst.session(), "Plain", { text: "one more" })));
    await until("three more", async () => (await view.page.locator(".count").innerText()).startsWith("10,003"));
    assert.deepEqual(await topmost(), before);
  });

  test("a long event is shown when it is asked for, and then its beginning", async () => {
    const { id } = await call(sst.session(), "Echo", { text: "x".repeat(LONG) });
    await view.page.goto(`http://${sst.session().control}/#/calls/${id}`);
    await view.detail.waitFor();
    const event = view.detail.getByRole("region", { name: "Event" });
    await event.getByText("It has 5.0 MB").waitFor();
    const [download] = await Promise.all([view.page.waitForEvent("download"), event.getByRole("button", { name: "Download" }).click()]);
    assert.equal(fs.statSync(await download.path()).size, JSON.stringify({ text: "x".repeat(LONG) }).length);
    await event.getByRole("button", { name: "Show it as it was" }).click();
    await event.getByText("The first 65.5 kB are shown.").waitFor();
    assert.ok((await event.innerText()).length < 70_000);
    await event.getByRole("button", { name: "Show all of the event" }).click();
    await until("all of it", async () => (await event.locator("pre").evaluate((pre) => pre.textContent.length)) > LONG);
    await view.page.goto(`http://${sst.session().control}/#/`);
    assert.ok((await heap()) < MOST_HEAP, `${await heap()} bytes`);
  });

  test("all of a long document is there in a moment", async () => {
    const many = Array.from({ length: 50_000 }, (_, id) => ({ id, name: `note number ${id}`, tags: ["a", "b"] }));
    const { id } = await call(sst.session(), "Echo", { many });
    await view.page.goto(`http://${sst.session().control}/#/calls/${id}`);
    const event = view.detail.getByRole("region", { name: "Event" });
    await event.getByRole("button", { name: "Show it as it was" }).click();
    await event.getByRole("button", { name: "Show all of the event" }).click();
    await until("all of it", async () => (await event.locator("pre").evaluate((pre) => pre.textContent)).includes("note number 49999"), 5_000);
  });

  test("much output is shown in part", async () => {
    const { id } = await call(sst.session(), "Echo", { lines: 3_000 });
    await view.page.goto(`http://${sst.session().control}/#/calls/${id}`);
    const output = view.detail.getByRole("region", { name: "Output" });
    await output.getByText("2,501 lines more.").waitFor();
    assert.equal(await output.locator(".line").count(), 500);
    await output.getByRole("button", { name: "Show all of the output" }).click();
    await output.getByText("line 3000").waitFor();
  });

  test("older calls come from the disk when they are asked for", async () => {
    const { invocations } = await (await api(sst.session(), "invocations?limit=3")).json();
    const again = await openConsole(browser, sst.session());
    await again.rows.first().waitFor();
    await again.page.locator(`[id="row-${invocations[0].id}"]`).waitFor();
    await assertQuiet(again, sst.session().control);
    await assertQuiet(view, sst.session().control);
  });
});
