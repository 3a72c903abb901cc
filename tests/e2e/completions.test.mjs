// What shells offer at TAB, asked in the shells themselves: commands, options, and what the project has. Those that are not installed are left out.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { binary } from "./support/sst.mjs";

const FUNCTIONS = ["api/List", "api/Get", "jobs/Nightly/Handler", "more/Nightly/Handler"];

const spec = (id) => ({
  id,
  stack: `dev-app-${id.split("/")[0]}`,
  logicalId: id,
  language: "node",
  runtime: "nodejs22.x",
  handler: "index.handler",
  source: { kind: "directory", path: "/x" },
  environment: [],
});

const isThere = (shell) => spawnSync("sh", ["-c", `command -v ${shell}`]).status === 0;

/** How a shell is asked what it offers for the words of a command line; the last one is being typed. */
const SHELLS = {
  bash: (words) => `
source <(sst completions bash)
COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}
COMP_LINE='${words.join(" ")}'; COMP_POINT=\${#COMP_LINE}; COMP_TYPE=9
spec=$(complete -p sst); spec=\${spec#*-F }; \${spec%% *} sst '${words.at(-1)}' '${words.at(-2)}'
printf '%s\\n' "\${COMPREPLY[@]}"`,
  fish: (words) => `sst completions fish | source; complete --do-complete '${words.join(" ")}' | string split -f1 \\t`,
  // Its widgets need a terminal, so what they call is called.
  zsh: (words) => `
source <(sst completions zsh 2>/dev/null) 2>/dev/null
_CLAP_IFS=$'\\n' _CLAP_COMPLETE_INDEX=${words.length - 1} SST_COMPLETE=zsh sst -- ${words.map((word) => `'${word}'`).join(" ")} | sed 's/\\\\:/;/g; s/:.*//'`,
};

for (const [shell, script] of Object.entries(SHELLS)) {
  describe(`${shell} offers`, { skip: !isThere(shell) && `${shell} is not installed` }, () => {
    let directory;
    before(() => {
      directory = fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), "sst-completions-"));
      fs.mkdirSync(path.join(directory, "bin"));
      fs.symlinkSync(binary(), path.join(directory, "bin/sst"));
      const project = path.join(directory, "app");
      fs.mkdirSync(path.join(project, ".sst/cdk.out.live"), { recursive: true });
      fs.mkdirSync(path.join(project, "below"));
      fs.writeFileSync(path.join(project, "cdk.json"), "not even JSON");
      fs.writeFileSync(path.join(project, ".sst/functions.json"), JSON.stringify({ functions: FUNCTIONS.map(spec), leftAlone: [] }));
      fs.writeFileSync(path.join(project, ".sst/stage"), "alice\n");
      for (const name of ["inspector-dev", "debug-ports-prod.json"]) fs.writeFileSync(path.join(project, ".sst", name), "");
      const artifacts = {
        "dev-app-api": { type: "aws:cloudformation:stack", properties: {} },
        named: { type: "aws:cloudformation:stack", properties: { stackName: "dev-app-jobs" } },
        "dev-app-api.assets": { type: "cdk:asset-manifest" },
      };
      fs.writeFileSync(path.join(project, ".sst/cdk.out.live/manifest.json"), JSON.stringify({ artifacts }));
    });
    after(() => fs.rmSync(directory, { recursive: true, force: true }));

    const offers = (words, below = "app/below") => {
      const env = { HOME: directory, PATH: `${directory}/bin:${process.env.PATH}` };
      const options = { cwd: path.join(directory, below), env, encoding: "utf8" };
      const { stdout, stderr } = spawnSync(shell, ["-c", script(words)], options);
      assert.equal(stderr, "");
      return stdout.split("\n").map((line) => line.trim()).filter(Boolean).sort();
    };

    test("commands and options", () => {
      assert.deepEqual(offers(["sst", "dep"]), ["deploy"]);
      assert.deepEqual(offers(["sst", "start", "--enforce-"]), ["--enforce-iam", "--enforce-memory"]);
      assert.deepEqual(offers(["sst", "ide", "web"]), ["webstorm"]);
    });

    test("functions, by their ids and by the ends that mean one", () => {
      assert.deepEqual(offers(["sst", "invoke", ""]).filter((word) => !word.startsWith("-")), [...FUNCTIONS, "Get", "List"].sort());
      assert.deepEqual(offers(["sst", "start", "--function", "api/"]), ["api/Get", "api/List"]);
      for (const command of ["logs", "history"]) {
        assert.deepEqual(offers(["sst", command, "--function", "api/"]), ["api/Get", "api/List"]);
      }
      assert.deepEqual(offers(["sst", "start", "--except", "Li"]), ["List"]);
      assert.deepEqual(offers(["sst", "test", "--as", "jobs"]), ["jobs/Nightly/Handler"]);
    });

    test("stacks", () => {
      for (const command of ["deploy", "remove", "diff"]) assert.deepEqual(offers(["sst", command, "dev"]), ["dev-app-api", "dev-app-jobs"]);
    });

    test("stages", () => {
      assert.deepEqual(offers(["sst", "deploy", "--stage", ""]), ["alice", "dev", "prod"]);
    });

    test("nothing of a project where there is none, and of another one where it is named", () => {
      assert.deepEqual(offers(["sst", "start", "--function", "a"], "bin"), []);
      assert.deepEqual(offers(["sst", "invoke", "--project", "../app", "Li"], "bin"), ["List"]);
    });
  });
}
