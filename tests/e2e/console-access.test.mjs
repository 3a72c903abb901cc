// Whoever has little room, no mouse, or does not see the page can use the console as well.

import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, describe, test } from "node:test";

import { assertQuiet, makeApp, openConsole } from "./support/console.mjs";
import { Sst, call, until } from "./support/sst.mjs";
import { launchChromium, require } from "./support/web.mjs";

const AXE = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const WIDTHS = [400, 900, 1400];
const SCHEMES = ["light", "dark"];

let directory;
let sst;
let browser;
let view;
let good;
let bad;

before(async () => {
  directory = makeApp();
  browser = await launchChromium();
  sst = await Sst.start(directory);
  good = (await call(sst.session(), "Plain", { text: "plain", password: "p" })).id;
  bad = (await call(sst.session(), "Echo", { text: "echo", fail: "on purpose" })).id;
  // Of the page in the browser, its policy lets nothing be read that is not its own.
  view = await openConsole(browser, sst.session(), { bypassCSP: true });
  await view.page.getByText("live").waitFor();
});
after(async () => {
  await browser?.close();
  await sst?.stop();
  fs.rmSync(directory, { recursive: true, force: true });
});

const go = (hash) => view.page.goto(`http://${sst.session().control}/${hash}`);

/** Every view, and how one gets there. */
const VIEWS = {
  calls: () => go("#/"),
  "no call like that": async () => {
    await go("#/");
    await view.page.getByRole("searchbox").fill("nothing is like this");
    await view.page.getByText("No call is like that").waitFor();
  },
  "a call": async () => {
    await go("#/");
    await view.page.getByRole("searchbox").fill("");
    await go(`#/calls/${good}`);
    await view.detail.getByRole("region", { name: "Event" }).waitFor();
  },
  "a call that failed": async () => {
    await go(`#/calls/${bad}`);
    await view.detail.getByRole("region", { name: "Error" }).waitFor();
  },
  "its menu": async () => {
    await go(`#/calls/${bad}`);
    await view.detail.getByRole("button", { name: "Copy" }).click();
    await view.page.getByRole("menu").waitFor();
  },
  "its event, edited": async () => {
    await go(`#/calls/${bad}`);
    await view.detail.getByRole("button", { name: "Edit & invoke" }).click();
    await view.page.getByRole("dialog").getByRole("textbox").fill("{");
  },
  "saving its event": async () => {
    await go(`#/calls/${good}`);
    await view.detail.getByRole("button", { name: "Save as event" }).click();
    await view.page.getByRole("dialog").getByRole("textbox").fill("a b");
  },
  keys: async () => {
    await go("#/");
    await view.page.getByRole("button", { name: "Keys" }).click();
  },
  functions: () => go("#/functions"),
  "a function": () => go(`#/functions/${encodeURIComponent("console/Plain")}`),
  events: () => go("#/events"),
  session: () => go("#/session"),
};

describe("everything in the page", () => {
  for (const [name, open] of Object.entries(VIEWS)) {
    test(name, async () => {
      for (const width of WIDTHS) {
        await view.page.setViewportSize({ width, height: 800 });
        await open();
        for (const colorScheme of SCHEMES) {
          await view.page.emulateMedia({ colorScheme });
          const violations = await violationsIn(view.page);
          assert.deepEqual(violations, [], `${width} pixels, ${colorScheme}`);
        }
        const wider = await view.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wider <= 0, `${wider} pixels more than the ${width} there are`);
        const over = view.page.getByRole("dialog").or(view.page.getByRole("menu"));
        if (await over.count()) {
          await view.page.keyboard.press("Escape");
          await over.waitFor({ state: "detached" });
        }
      }
    });
  }

  test("what keeps the page from being of use", async () => {
    const without = await openConsole(browser, sst.session(), { address: `http://${sst.session().control}/`, bypassCSP: true });
    await without.page.getByText("This page has no token.").waitFor();
    for (const colorScheme of SCHEMES) {
      await without.page.emulateMedia({ colorScheme });
      assert.deepEqual(await violationsIn(without.page), [], colorScheme);
    }
    await assertQuiet(without, sst.session().control);
  });
});

async function violationsIn(page) {
  if (!(await page.evaluate(() => "axe" in window))) await page.addScriptTag({ content: AXE });
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html.slice(0, 160)} ${any[0]?.message ?? ""}`).join("\n  ")}`);
}

describe("without a mouse", () => {
  test("a call is found, read, sent once more, and left again", async () => {
    await view.page.setViewportSize({ width: 1400, height: 800 });
    await go("#/");
    await view.page.reload();
    await view.rows.first().waitFor();
    const { keyboard } = view.page;
    const focused = () => view.page.evaluate(() => document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent.trim());
    const tabTo = async (name) => {
      for (let step = 0; step < 60; step += 1) {
        await keyboard.press("Tab");
        if ((await focused()) === name) return;
      }
      assert.fail(`${name} is not reached`);
    };
    await tabTo("Calls");
    await keyboard.press("ArrowDown");
    await view.detail.waitFor();
    await keyboard.press("End");
    const last = view.rows.last();
    await until("the last one to be selected", async () => (await last.getAttribute("aria-selected")) === "true");
    assert.equal(await view.page.getByRole("grid").getAttribute("aria-activedescendant"), await last.getAttribute("id"));
    await keyboard.press("Enter");
    assert.equal(await view.page.evaluate(() => document.activeElement.id), "detail");
    const before = await view.rows.count();
    await tabTo("↻ Replay");
    await keyboard.press("Enter");
    await until("the replay", async () => (await view.rows.count()) === before + 1);
    await view.page.locator("#detail").focus();
    await tabTo("Copy ▾");
    await keyboard.press("Enter");
    await until("the first item", async () => (await focused()) === "as curl");
    await keyboard.press("ArrowDown");
    assert.equal(await focused(), "as sst invoke");
    await keyboard.press("Escape");
    await until("the menu to be left", async () => (await focused()) === "Copy ▾");
    await keyboard.press("e");
    const dialog = view.page.getByRole("dialog");
    await dialog.waitFor();
    await keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    assert.equal(await focused(), "Copy ▾", "the focus is where it was");
    await keyboard.press("Escape");
    await view.detail.waitFor({ state: "detached" });
    assert.equal(await focused(), "Calls");
  });

  test("new calls are told of, many of them at once", async () => {
    const said = view.page.evaluate(
      () =>
        new Promise((resolve) => {
          const place = document.querySelector(".calls > [aria-live=polite]");
          const all = [];
          new MutationObserver(() => {
            all.push(place.textContent);
            const told = all.flatMap((text) => text.match(/^\d+/) ?? []).reduce((sum, number) => sum + Number(number), 0);
            if (told >= 20) resolve(all);
          }).observe(place, { childList: true, subtree: true, characterData: true });
        }),
    );
    await Promise.all(Array.from({ length: 20 }, (_, index) => call(sst.session(), "Echo", index === 3 ? { fail: "x" } : {})));
    const all = await said;
    assert.ok(all.length <= 3, `${all}`);
    assert.match(all.join(), /20 new calls, 1 failed|\d+ new calls?/);
    await assertQuiet(view, sst.session().control);
  });
});
