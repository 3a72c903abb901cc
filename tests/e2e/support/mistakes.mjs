// What the tests of mistakes share: a command is run to its end by somebody of whom nothing is known, and what it says is compared word
// for word.

import fs from "node:fs";
import path from "node:path";

import { Sst } from "./sst.mjs";

/** Runs a command to its end, as somebody who has the files of AWS's configuration that are given, and nothing in the environment. One
 * that does not end by itself is ended when it has said what is waited for. */
export async function run(directory, args, { config, env = {}, terminal, prefix, until } = {}) {
  const home = env.HOME ?? fs.mkdtempSync(path.join(directory, "home-"));
  if (config) {
    fs.mkdirSync(path.join(home, ".aws"));
    fs.writeFileSync(path.join(home, ".aws/config"), config);
  }
  const aws = Object.keys(process.env).filter((name) => name.startsWith("AWS_"));
  const nothing = Object.fromEntries(aws.map((name) => [name, undefined]));
  const variables = { ...nothing, HOME: home, AWS_EC2_METADATA_DISABLED: "true", ...env };
  const sst = new Sst(directory, args, variables, { terminal, prefix });
  if (until) {
    await sst.waitFor(until);
    await sst.stop();
  }
  const { code } = await sst.exited;
  await sst.closed;
  return { code, said: plain(sst.output, directory) };
}

/** A text without what differs from run to run: where the app is, and blanks at the ends of lines. */
export function plain(text, directory) {
  return text.replaceAll(directory, "HERE").replaceAll(/[ \r]+$/gm, "").trimEnd();
}

/** What must not have been begun when a mistake is told that can be told before. */
export function begun(directory) {
  const states = ["cdk.out", "cdk.out.live", "start", "artifacts"].map((name) => path.join(directory, ".sst", name));
  return states.filter((state) => fs.existsSync(state) && fs.readdirSync(state).length > 0);
}
