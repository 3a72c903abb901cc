// `--enforce-memory`: a function that needs more memory than it declares fails as on Lambda, and one that needs less does not notice.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";

import { Sst, call, copyApp } from "./support/sst.mjs";

const APP = `
const { App, Duration, Stack } = require("aws-cdk-lib");
const { Code, Function: LambdaFunction, Runtime } = require("aws-cdk-lib/aws-lambda");

const stack = new Stack(new App(), "memory");
const options = { handler: "index.handler", timeout: Duration.seconds(60), memorySize: 256 };
new LambdaFunction(stack, "Node", { ...options, runtime: Runtime.NODEJS_20_X, code: Code.fromAsset("node") });
new LambdaFunction(stack, "Python", { ...options, runtime: Runtime.PYTHON_3_12, code: Code.fromAsset("python") });
new LambdaFunction(stack, "Native", { ...options, runtime: Runtime.PROVIDED_AL2023, handler: "bootstrap", code: Code.fromAsset("go") });
`;

/** Each keeps so many megabytes, all of which it has written to. */
const FILES = {
  "node/index.js": `exports.handler = async ({ mb }) => {
  const kept = [];
  for (let i = 0; i < mb; i += 1) kept.push(new Array(131072).fill(i));
  return kept.length;
};
`,
  "python/index.py": `def handler(event, context):
    kept = [bytearray(b"x" * 1048576) for _ in range(event["mb"])]
    return len(kept)
`,
  "go/go.mod": "module memory\n\ngo 1.21\n",
  "go/main.go": `package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		response, err := http.Get(api + "next")
		if err != nil {
			os.Exit(1)
		}
		var event struct{ MB int }
		body, _ := io.ReadAll(response.Body)
		json.Unmarshal(body, &event)
		kept := [][]byte{}
		for i := 0; i < event.MB; i++ {
			block := make([]byte, 1<<20)
			for at := 0; at < len(block); at += 4096 {
				block[at] = 1
			}
			kept = append(kept, block)
		}
		id := response.Header.Get("Lambda-Runtime-Aws-Request-Id")
		http.Post(api+id+"/response", "application/json", strings.NewReader(fmt.Sprint(len(kept))))
	}
}
`,
};

describe("the memory that functions declare", { skip: process.platform !== "linux" }, () => {
  let directory;
  let sst;
  before(() => {
    directory = copyApp("tests/fixtures/apps/cdk-plain");
    fs.writeFileSync(path.join(directory, "bin/app.js"), APP);
    for (const [name, text] of Object.entries(FILES)) {
      fs.mkdirSync(path.dirname(path.join(directory, name)), { recursive: true });
      fs.writeFileSync(path.join(directory, name), text);
    }
  });
  after(async () => {
    await sst?.stop();
    if (directory) fs.rmSync(directory, { recursive: true, force: true });
  });

  const keep = async (name, mb) => {
    const { outcome, body, errorType } = await call(sst.session(), name, { mb });
    return { outcome, errorType, said: JSON.parse(Buffer.from(body, "base64")) };
  };

  describe("is what they have with `--enforce-memory`", () => {
    before(async () => {
      sst = await Sst.start(directory, ["--enforce-memory"]);
    });

    // Programs have what their runtime sets aside on top: Go's is the largest.
    for (const [name, less, more, how] of [
      ["Node", 150, 400, "signal: aborted"],
      ["Python", 150, 400, "signal: killed"],
      ["Native", 100, 600, "exit status 2"],
    ]) {
      test(`${name}: less is no matter, more is too much, and the next call is well`, async () => {
        assert.deepEqual(await keep(name, less), { outcome: "returned", errorType: undefined, said: less });
        const from = sst.output.length;
        const { outcome, errorType, said } = await keep(name, more);
        assert.deepEqual([outcome, errorType], ["failed", "Runtime.ExitError"]);
        assert.ok(said.errorMessage.endsWith(`Error: Runtime exited with error: ${how}`), said.errorMessage);
        const [line, peak] = await sst.waitFor(/^ +\w{8} out of memory: (\d+) MB were in use at most; the function declares 256 MB$/m, from);
        assert.ok(Number(peak) > 200 && Number(peak) < 400, line);
        assert.deepEqual(await keep(name, 10), { outcome: "returned", errorType: undefined, said: 10 });
      });
    }
  });

  test("is no limit without", async () => {
    await sst.stop();
    sst = await Sst.start(directory);
    for (const name of ["Node", "Python", "Native"]) assert.equal((await keep(name, 400)).said, 400, name);
  });
});
