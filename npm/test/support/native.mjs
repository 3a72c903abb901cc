#!/usr/bin/env node
// Stands in for the native program: says what it was given, then ends as it is told to.
import process from "node:process";

const [how, ...rest] = process.argv.slice(2);
const actions = {
  arguments: () => console.log(JSON.stringify(rest)),
  tools: () => console.log(process.env.SST_NPM_ROOT),
  environment: () => {
    const { SST_STAND_IN: platform, SST_NPM_ROOT: npmRoot, SST_STUB_BINARY, SST_STUB_BINARY_ARM64 } = process.env;
    console.log(JSON.stringify({ platform, npmRoot, stubs: [SST_STUB_BINARY, SST_STUB_BINARY_ARM64] }));
  },
  exit: () => process.exit(Number(rest[0])),
  die: () => process.kill(process.pid, rest[0]),
  echo: () => process.stdin.pipe(process.stdout),
  signals: () => {
    // Counts the signals, and ends when it is told to on stdin.
    let count = 0;
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) {
      process.on(name, () => {
        count += 1;
        console.log(`got ${name} ${count}`);
      });
    }
    process.stdin.on("data", (data) => {
      if (data.includes("end")) process.exit(7);
    });
    console.log("ready");
  },
};
actions[how]();
