// Two people on one stage who serve different functions of it: each leaves as it is what the other one serves.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Deployed } from "../../counterpart/deployed.mjs";
import { until } from "../support/sst.mjs";

describe("two people who serve different functions of a stage", () => {
  let deployed;
  let alice;
  let bob;
  before(async () => {
    deployed = await Deployed.prepare();
    [alice, bob] = [await deployed.person("alice"), await deployed.person("bob")];
    alice.sst = await deployed.serve({ ...alice, args: ["--increase-timeout", "--except", "throws"] });
  });
  after(() => deployed?.close());

  const state = async (name) => (await deployed.counterpart.state()).functions[deployed.names[name]];
  const stub = "provided.al2023";
  /** Runtime and timeout of functions as they are deployed. */
  const deployedAs = async (...names) => Object.fromEntries(await Promise.all(names.map(async (name) => [name, await state(name).then((one) => [one.runtime, one.timeout])])));
  /** Has bob deploy what he has saved. Returns what his terminal says meanwhile. */
  async function enter() {
    const from = bob.sst.output.length;
    await bob.sst.waitFor(/Press ENTER to deploy/, bob.asked ?? 0);
    bob.sst.type("\r");
    await bob.sst.waitFor(/\d+ functions? live/, from);
    bob.asked = bob.sst.output.length;
    return bob.sst.output.slice(from);
  }

  test("who starts with a pattern leaves the stubs of the other one as they are", async () => {
    assert.equal((await deployed.call("echo", {})).value.at, alice.app);
    assert.deepEqual(await deployedAs("echo", "throws"), { echo: [stub, 900], throws: ["nodejs22.x", 60] });
    const [{ number }] = (await state("echo")).environments;
    bob.sst = await deployed.serve({ ...bob, args: ["--function", "count"], options: { terminal: [1000, 50] } });
    const served = new RegExp(`Served by ${alice.owner}, left as they are: counterpart/brief, counterpart/echo, counterpart/hasty, counterpart/sleep`);
    assert.match(bob.sst.output, served);
    assert.match(bob.sst.output, /Not live, as was asked for: 1 function/);
    assert.equal((await deployed.call("count", { number: 1 })).value.at, bob.app);
    assert.equal((await deployed.call("echo", {})).value.at, alice.app);
    assert.deepEqual((await state("echo")).environments.map((one) => one.number), [number], "the stub is the same");
    // What nobody serves has its own code, and what he serves himself is as he wants it.
    assert.deepEqual(await deployedAs("echo", "sleep", "stream", "count", "throws"), {
      echo: [stub, 900],
      sleep: [stub, 900],
      stream: [stub, 900],
      count: [stub, 70],
      throws: ["nodejs22.x", 60],
    });
  });

  test("so does what is deployed later", async () => {
    const [{ number }] = (await state("echo")).environments;
    const file = path.join(bob.app, "app.js");
    const source = fs.readFileSync(file, "utf8");
    fs.writeFileSync(file, `${source}\nnew CfnOutput(stack, "Later", { value: "later" });\n`);
    const said = await enter();
    assert.doesNotMatch(said, /Served by/, "that is known");
    assert.equal((await deployed.call("count", { number: 2 })).value.at, bob.app);
    assert.equal((await deployed.call("echo", {})).value.at, alice.app);
    assert.deepEqual((await state("echo")).environments.map((one) => one.number), [number]);
    assert.deepEqual(await deployedAs("echo", "throws"), { echo: [stub, 900], throws: ["nodejs22.x", 60] });
  });

  test("who comes and who goes before ENTER counts", async () => {
    const file = path.join(bob.app, "app.js");
    const source = fs.readFileSync(file, "utf8");
    fs.writeFileSync(file, source.replace('"later"', '"even later"'));
    await bob.sst.waitFor(/Press ENTER to deploy/, bob.asked);
    // It was planned around alice, who is not there any more.
    await alice.sst.stop();
    await enter();
    assert.deepEqual(await deployedAs("echo", "sleep", "stream", "count", "throws"), {
      echo: ["nodejs22.x", 60],
      sleep: ["nodejs22.x", 60],
      stream: ["nodejs22.x", 60],
      count: [stub, 70],
      throws: ["nodejs22.x", 60],
    });
    fs.writeFileSync(file, source.replace('"later"', '"at last"'));
    await bob.sst.waitFor(/Press ENTER to deploy/, bob.asked);
    // It was planned for him alone, and alice has come meanwhile.
    alice.sst = await deployed.serve({ ...alice, args: ["--function", "echo"] });
    assert.match(alice.sst.output, new RegExp(`Served by ${bob.owner}, left as they are: counterpart/count`));
    const said = await enter();
    assert.match(said, new RegExp(`Served by ${alice.owner}, left as they are: counterpart/echo`));
    assert.deepEqual(await deployedAs("echo", "count", "sleep"), { echo: [stub, 70], count: [stub, 70], sleep: ["nodejs22.x", 60] });
    assert.equal((await deployed.call("count", { number: 3 })).value.at, bob.app);
    assert.equal((await deployed.call("echo", {})).value.at, alice.app);
  });

  test("a function that leaves the app loses its registration, unless another one serves it", async () => {
    const count = await deployed.registered("count");
    assert.equal(count.owner, bob.owner);
    await bob.sst.stop();
    // Now bob serves two, of which alice takes one.
    bob.sst = await deployed.serve({ ...bob, args: ["--function", "{count,sleep,stream}"], options: { terminal: [1000, 50] } });
    bob.asked = 0;
    await alice.sst.stop();
    const printed = bob.sst.output.length;
    alice.sst = await deployed.serve({ ...alice, args: ["--function", "{echo,sleep}"] });
    await bob.sst.waitFor(new RegExp(`${alice.owner} has taken over counterpart/sleep;`), printed);
    const file = path.join(bob.app, "app.js");
    fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace('"sleep", "stream", ', ""));
    await enter();
    await until("a registration less", async () => (await deployed.registered("stream")) === undefined);
    assert.equal((await deployed.registered("sleep")).owner, alice.owner);
    assert.equal((await deployed.registered("count")).owner, bob.owner);
  });
});
