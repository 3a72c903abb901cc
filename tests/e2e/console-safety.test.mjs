// The console shows what others have sent, so that must never become more than text; and nobody gets anything of it but who has its token.

import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, describe, test } from "node:test";

import { addressOf, assertQuiet, makeApp, openConsole } from "./support/console.mjs";
import { Sst, api, call, until } from "./support/sst.mjs";
import { FOREIGN, isRefusal, launchChromium, raw, servePage } from "./support/web.mjs";

/** What would be run, loaded or shown as something else if it were not taken for text. */
const HOSTILE = [
  "<img src=x onerror=\"fetch('http://evil.example/img')\">",
  "<script>window.broken = true</script>",
  "<svg onload=\"window.broken = true\"><a href=\"javascript:window.broken=true\">click</a></svg>",
  "\"><iframe srcdoc=\"<script>parent.broken=true</script>\">",
  "javascript:window.broken=true//src/a.js:1:1",
  "${window.broken=true}{{constructor.constructor('window.broken=true')()}}",
  "</pre></textarea><style>*{display:none}</style>",
  "\u202e\u0000\u001b[2J file:///etc/passwd.js:1 /etc/passwd.js:1 ../../etc/passwd.js:2",
];

/** The policy, word for word. */
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

let directory;
let sst;
let browser;
let port;
let token;

before(async () => {
  directory = makeApp();
  browser = await launchChromium();
  sst = await Sst.start(directory);
  ({ token } = sst.session());
  port = Number(sst.session().control.split(":")[1]);
});
after(async () => {
  await browser?.close();
  await sst?.stop();
  fs.rmSync(directory, { recursive: true, force: true });
});

describe("what events say", () => {
  test("is text in every view", async () => {
    const view = await openConsole(browser, sst.session());
    await view.page.getByText("live").waitFor();
    for (const hostile of HOSTILE) {
      const event = { text: hostile, [hostile]: hostile, inner: JSON.stringify({ [hostile]: hostile }), fail: hostile, type: hostile.slice(0, 60) };
      const { id } = await call(sst.session(), "Echo", event);
      // As a path and a header they become the source of a call as well.
      await fetch(`${sst.stackOutput("Endpoint")}/${encodeURIComponent(hostile)}?${encodeURIComponent(hostile)}`).catch(() => {});
      await view.page.goto(`http://127.0.0.1:${port}/#/calls/${id}`);
      await view.detail.waitFor();
      const event_ = view.detail.getByRole("region", { name: "Event" });
      for (const way of ["Raw", "Decoded", "Pretty"]) await event_.getByRole("button", { name: way }).click();
      await view.detail.getByRole("button", { name: "Edit & invoke" }).click();
      await view.page.getByRole("dialog").getByRole("textbox").waitFor();
      await view.page.keyboard.press("Escape");
      await view.page.getByRole("dialog").waitFor({ state: "detached" });
    }
    await view.page.getByRole("link", { name: "Functions" }).click();
    await view.page.goto(`http://127.0.0.1:${port}/#/calls/${encodeURIComponent(HOSTILE[0])}`);
    await view.page.getByText("no call").or(view.page.getByText("No call")).first().waitFor();
    await view.page.goto(`http://127.0.0.1:${port}/#/functions/${encodeURIComponent(HOSTILE[1])}`);
    await view.page.goto(`http://127.0.0.1:${port}/#/${encodeURIComponent(HOSTILE[2])}`);
    await until("all calls", async () => (await view.rows.count()) >= 2 * HOSTILE.length);
    const found = await view.page.evaluate(() => ({
      broken: window.broken,
      elements: document.querySelectorAll("#page :is(img, script, iframe, style, object, embed, form)").length,
      links: [...document.querySelectorAll("a")].map((link) => link.getAttribute("href")).filter((href) => !/^#\/|^vscode:\/\/file\//.test(href)),
    }));
    assert.deepEqual(found, { broken: undefined, elements: 0, links: [] });
    await assertQuiet(view, sst.session().control);
  });

  test("links lead to files of the project only", async () => {
    const view = await openConsole(browser, sst.session());
    const { id } = await call(sst.session(), "Echo", { text: `/etc/passwd.js:1 ${directory}/../other.js:2 ${directory}/src/echo.ts:3 ${directory}-other/a.js:4` });
    await view.page.goto(`http://127.0.0.1:${port}/#/calls/${id}`);
    await view.detail.waitFor();
    const links = view.detail.getByRole("region", { name: "Output" }).getByRole("link");
    assert.deepEqual(await links.evaluateAll((all) => all.map((link) => link.getAttribute("href"))), [`vscode://file${directory}/src/echo.ts:3`]);
    await assertQuiet(view, sst.session().control);
  });
});

describe("who is answered", () => {
  test("the page's files say how little a browser may do with them", async () => {
    const files = ["/", "/main.mjs", "/console.css", "/icon.svg", "/vendor/preact.mjs"];
    for (const file of files) {
      const response = await fetch(`http://127.0.0.1:${port}${file}`);
      const header = (name) => response.headers.get(name);
      assert.equal(response.status, 200, file);
      assert.equal(header("content-security-policy"), POLICY, file);
      assert.deepEqual([header("x-content-type-options"), header("referrer-policy"), header("cache-control")], ["nosniff", "no-referrer", "no-store"], file);
      assert.ok(!(await response.text()).includes(token), file);
    }
    assert.equal((await fetch(`http://127.0.0.1:${port}/Cargo.toml`)).status, 401);
    for (const path of ["/../Cargo.toml", "/vendor/../../Cargo.toml", "/vendor/%2e%2e/index.html", "//main.mjs"]) {
      assert.ok(isRefusal(await raw(port, `GET ${path}`, [["Host", `127.0.0.1:${port}`]])), path);
    }
  });

  test("a page without a token, or with another one, gets nothing and says what to do", async () => {
    await call(sst.session(), "Echo", { text: "for nobody else" });
    for (const [address, said] of [
      [`http://127.0.0.1:${port}/`, "This page has no token."],
      [`http://127.0.0.1:${port}/#token=${"0".repeat(64)}`, "The token of this page is not that of the session that runs."],
    ]) {
      const view = await openConsole(browser, sst.session(), { address });
      const alert = view.page.getByRole("alert").filter({ hasText: said });
      await alert.getByText("npx sst console --open").waitFor();
      assert.ok(!(await view.page.locator("body").innerText()).includes("console/Echo"));
      assert.equal(await view.page.locator("main").innerText(), "");
      // With the right address in the same tab it goes on.
      await view.page.goto(addressOf(sst.session()));
      await view.rows.first().waitFor();
      await alert.waitFor({ state: "detached" });
      await assertQuiet(view, sst.session().control);
    }
  });

  test("the token is in no request's address, and in no other tab's memory", async () => {
    const view = await openConsole(browser, sst.session());
    await view.rows.first().waitFor();
    assert.ok(view.requests.length > 10 && view.requests.every((url) => !url.includes(token)), `${view.requests}`);
    const other = await view.context.newPage();
    await other.goto(`http://127.0.0.1:${port}/`);
    await other.getByText("This page has no token.").waitFor();
    assert.equal(await other.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie])), '[{},{},""]');
    await assertQuiet(view, sst.session().control);
  });

  test("requests for another host, or of another origin's page, are refused, with the token too", async () => {
    const own = ["Host", `127.0.0.1:${port}`];
    const authorization = ["Authorization", `Bearer ${token}`];
    for (const path of ["/", "/main.mjs", "/api/v1/state", "/api/v1/invocations"]) {
      for (const headers of [
        [["Host", `${FOREIGN}:${port}`], authorization],
        [own, authorization, ["Origin", "http://127.0.0.1:3000"]],
        [own, authorization, ["Origin", `http://localhost:${port}`]],
        [own, authorization, ["Origin", "null"]],
        [own, authorization, ["Sec-Fetch-Site", "cross-site"]],
        [own, authorization, ["Sec-Fetch-Site", "same-site"]],
        [own, own, authorization],
      ]) {
        const answer = await raw(port, `GET ${path}`, headers);
        assert.ok(isRefusal(answer), `${path} ${JSON.stringify(headers)}: ${answer}`);
      }
      assert.match(await raw(port, `GET ${path}`, [own, authorization]), /^HTTP\/1\.1 200/);
    }
  });

  test("a page of another port, or of a name that leads here, neither reads nor shows nor calls anything", async () => {
    const other = await servePage();
    try {
      const before = (await (await api(sst.session(), "invocations?limit=100")).json()).invocations.length;
      for (const host of ["127.0.0.1", FOREIGN]) {
        const page = await browser.newPage();
        await page.goto(`http://${host}:${other.port}/`);
        const found = await page.evaluate(
          async ({ port, token, host }) => {
            const result = [];
            for (const name of ["127.0.0.1", host]) {
              const base = `http://${name}:${port}`;
              const headers = { authorization: `Bearer ${token}` };
              for (const [path, options] of [
                ["/", {}],
                ["/api/v1/state", { headers }],
                ["/api/v1/functions/Echo/invoke", { method: "POST", body: "{}", mode: "no-cors" }],
                ["/api/v1/functions/Echo/invoke", { method: "POST", body: "{}", headers }],
              ]) {
                const answer = await fetch(base + path, options).then((response) => response.text(), () => "");
                if (answer) result.push([path, answer]);
              }
              await new Promise((resolve) => {
                const script = Object.assign(document.createElement("script"), { type: "module", src: `${base}/main.mjs` });
                script.onerror = resolve;
                script.onload = () => (result.push("script"), resolve());
                document.body.append(script);
              });
              const frame = document.createElement("iframe");
              frame.src = `${base}/#token=${token}`;
              await new Promise((resolve) => {
                frame.onload = resolve;
                document.body.append(frame);
              });
            }
            return result;
          },
          { port, token, host },
        );
        assert.deepEqual(found, [], host);
        // What a frame holds is a refusal, or nothing at all.
        for (const frame of page.frames().slice(1)) assert.equal(await frame.locator("#page").count(), 0);
        await page.close();
      }
      assert.equal((await (await api(sst.session(), "invocations?limit=100")).json()).invocations.length, before);
    } finally {
      other.close();
    }
  });
});
