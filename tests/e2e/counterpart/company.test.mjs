// Behind a company's proxy: there is no other way to AWS, and the proxy wants a user and a password.

import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";
import { Sst, repository } from "../support/sst.mjs";

describe("behind a proxy", () => {
  let deployed;
  let counterpart;

  before(async () => {
    deployed = await Deployed.prepare({ tls: "h2", proxies: false, tunnel: true });
    ({ counterpart } = deployed);
    deployed.app = deployed.copy();
  });
  after(() => deployed?.close());

  /** Starts what does not come far. Returns what it says. */
  const fails = async (env) => {
    const sst = deployed.begin({ env });
    const { code } = await sst.exited;
    await sst.closed;
    assert.notEqual(code, 0, sst.output);
    assert.doesNotMatch(sst.output, /p%40ss|p@ss|secret/, "no password is shown");
    return sst.output;
  };

  test("an app is deployed and served, and everything goes through the proxy", async () => {
    const sst = await deployed.serve();
    assert.deepEqual((await deployed.call("echo", { here: true })).value.event, { here: true });
    // Larger than a message, so it goes by way of the bucket.
    const text = "x".repeat(300_000);
    assert.equal((await deployed.call("echo", { text })).value.event.text, text);
    await sst.stop();
    await counterpart.settled();
    await counterpart.checkSignatures();
    const connected = counterpart.recorded({ kind: "tunnel" });
    assert.deepEqual([...new Set(connected.map(({ method, target, status }) => `${method} ${target} ${status}`))], ["CONNECT counterpart.test:443 200", "CONNECT cdk-hnb659fds-assets-123456789012-eu-central-1.counterpart.test:443 200"]);
    // The CDK CLI has come this way as well: nobody else uploads assets.
    assert.ok(counterpart.recorded(({ kind, operation, who }) => kind === "s3" && /PUT/.test(operation) && who !== "developer").length > 0);
  });

  test("a password that it does not take is said, with the variable and the proxy", async () => {
    const wrong = counterpart.throughTunnel({ user: "dev", password: "secret" });
    const output = await fails({ HTTPS_PROXY: wrong });
    assert.match(output, /error: `https:\/\/counterpart\.test` cannot be reached/);
    assert.ok(output.includes(`the proxy \`127.0.0.1:${counterpart.tunnel.port}\` of \`HTTPS_PROXY\` does not take the user and the password`), output);
  });

  test("that it wants a password is said, and how to give one", async () => {
    const output = await fails({ HTTPS_PROXY: undefined, https_proxy: `127.0.0.1:${counterpart.tunnel.port}` });
    assert.ok(output.includes(`the proxy \`127.0.0.1:${counterpart.tunnel.port}\` of \`https_proxy\` wants a user and a password`), output);
    assert.match(output, /http:\/\/user:password@127\.0\.0\.1/);
  });

  test("a proxy that lets nobody through is said", async () => {
    await counterpart.ask("company", { status: 403 });
    const output = await fails({});
    await counterpart.ask("company", {});
    assert.match(output, /of `HTTPS_PROXY` refuses a connection to `counterpart\.test:443`: 403/);
  });

  test("a proxy that is not there is said", async () => {
    const server = net.createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    const output = await fails({ HTTPS_PROXY: counterpart.throughTunnel({ user: "dev", password: "secret", port }) });
    assert.ok(output.includes(`the proxy \`127.0.0.1:${port}\` of \`HTTPS_PROXY\` cannot be reached: Connection refused`), output);
  });

  test("a value that is no URL is said before anything is asked", async () => {
    for (const [value, shown] of [["http://dev:p@ss/secret@127.0.0.1:1", "127.0.0.1:1"], ["socks5://127.0.0.1:1", "127.0.0.1:1"]]) {
      const output = await fails({ HTTPS_PROXY: value });
      assert.match(output, /`HTTPS_PROXY` is not the URL of an HTTP proxy/);
      assert.ok(output.includes(shown), output);
    }
  });

  test("what NO_PROXY names is not asked through the proxy", async () => {
    const from = counterpart.records.length;
    const output = await fails({ NO_PROXY: "other.example, .counterpart.test:443" });
    assert.match(output, /error: `https:\/\/counterpart\.test` cannot be reached/);
    assert.doesNotMatch(output, /the proxy `/);
    await counterpart.settled();
    assert.deepEqual(counterpart.recorded({ kind: "tunnel" }, from), []);
  });

  test("npm and pip go through it as well", async () => {
    const from = counterpart.records.length;
    const refused = (target) => counterpart.until({ kind: "tunnel", method: "CONNECT", target, status: 403 }, { from });
    const app = deployed.copy();
    // The SDK is what Lambda's runtime would bring along.
    fs.rmSync(path.join(app, "node_modules"));
    fs.mkdirSync(path.join(app, "node_modules"));
    for (const name of ["aws-cdk-lib", "constructs"]) {
      fs.symlinkSync(path.join(repository, "tests/fixtures/node_modules", name), path.join(app, "node_modules", name));
    }
    fs.appendFileSync(path.join(app, "functions/index.js"), 'require("@aws-sdk/client-sqs");\n');
    const cache = { XDG_CACHE_HOME: deployed.directory("sst-cache-") };
    const npm = deployed.begin({ app, env: { ...cache, npm_config_registry: "https://node.example", npm_config_fetch_retries: "0" } });
    await refused("node.example:443");
    await npm.waitFor(/\(@aws-sdk\/client-sqs\) cannot be installed/);
    await npm.stop();

    const indexes = { PIP_INDEX_URL: "https://python.example/simple", PIP_RETRIES: "0", PIP_FIND_LINKS: undefined };
    const local = new Sst(deployed.copy(), ["start", "--local"], { ...cache, ...indexes, HTTPS_PROXY: counterpart.throughTunnel() });
    await refused("python.example:443");
    await local.waitFor(/the local cloud cannot be installed/);
    await local.exited;
  });
});
