// How the console is opened: by a key in the terminal, by a link in it, and by a command, each with the program that the user has for addresses.

import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { addressOf, makeApp } from "./support/console.mjs";
import { Sst, until } from "./support/sst.mjs";

let directory;
let programs;
let sst;

/** What opens addresses, by whatever name the system has for it: it notes the address, and then does as a browser does. */
function opener(rest) {
  for (const name of ["xdg-open", "open"]) {
    const file = path.join(programs, name);
    fs.writeFileSync(`${file}.new`, `#!/bin/sh\necho $$ "$1" >>"${programs}/opened"\n${rest}\n`, { mode: 0o755 });
    fs.renameSync(`${file}.new`, file);
  }
}

/** The process that was asked to open an address last, and the address. */
const opened = () => {
  if (!fs.existsSync(path.join(programs, "opened"))) return undefined;
  const [pid, address] = fs.readFileSync(path.join(programs, "opened"), "utf8").trim().split("\n").at(-1).split(" ");
  return { pid: Number(pid), address };
};
const forget = () => fs.rmSync(path.join(programs, "opened"), { force: true });
const runs = (pid) => fs.existsSync(`/proc/${pid}/cmdline`) && fs.readFileSync(`/proc/${pid}/cmdline`, "utf8") !== "";

before(async () => {
  directory = makeApp();
  programs = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-programs-"));
  opener("exit 0");
  const env = { PATH: `${programs}:${process.env.PATH}`, TERM: "xterm-256color" };
  sst = await Sst.start(directory, [], env, { terminal: [100, 30] });
});
after(async () => {
  await sst?.stop();
  fs.rmSync(directory, { recursive: true, force: true });
  fs.rmSync(programs, { recursive: true, force: true });
});

describe("the console is opened", () => {
  test("by a link in the terminal, in which the token cannot be seen", async () => {
    const address = addressOf(sst.session());
    const link = `\x1b]8;;${address}\x1b\\http://${sst.session().control}\x1b]8;;\x1b\\`;
    await sst.waitFor(/Console at .*o and ENTER opens it/);
    assert.ok(sst.output.includes(`Console at ${link} (o and ENTER opens it)`), sst.output);
    assert.ok(!sst.output.replaceAll(link, "").includes(sst.session().token));
  });

  test("by `o` and ENTER, and the browser stays when the session ends", async () => {
    opener("exec sleep 600");
    forget();
    sst.type("o\r");
    const { pid, address } = await until("an address to be opened", opened);
    try {
      assert.equal(address, addressOf(sst.session()));
      await sst.waitFor(/The console is opened in your browser/);
      await sst.stop();
      assert.ok(runs(pid));
    } finally {
      process.kill(pid, "SIGKILL");
    }
    sst = await Sst.start(directory, [], { PATH: `${programs}:${process.env.PATH}` });
  });

  test("by `sst console --open`, and it is said when that fails", async () => {
    const run = async (env, ...args) => {
      const command = new Sst(directory, ["console", ...args], env);
      const { code } = await command.exited;
      await command.closed;
      return { code, said: command.output };
    };
    const address = addressOf(sst.session());
    const withPrograms = { PATH: `${programs}:${process.env.PATH}` };
    opener("exit 0");
    forget();
    assert.deepEqual(await run(withPrograms), { code: 0, said: `${address}\n` });
    assert.equal(opened(), undefined);
    assert.deepEqual(await run(withPrograms, "--open"), { code: 0, said: `${address}\n` });
    assert.equal(opened().address, address);
    opener("exit 3");
    const failed = await run(withPrograms, "--open");
    assert.equal(failed.code, 3);
    assert.match(failed.said, /error: the console could not be opened in a browser[^]*exit status: 3[^]*hint: open the address that `sst console` prints/);
    assert.match((await run({ PATH: "/nonexistent" }, "--open")).said, /could not be opened[^]*No such file/);
    await sst.stop();
    const none = await run(withPrograms);
    assert.deepEqual([none.code, none.said.split("\n")[0]], [2, "error: `sst start` does not run in this project"]);
  });
});
