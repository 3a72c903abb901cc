// The app that examples in the documentation and in the help speak of.

import fs from "node:fs";
import path from "node:path";

import { binary, copyApp, repository } from "./sst.mjs";

/** A copy of it, in which `npx` finds the program as if its package were installed. */
export function documentedApp() {
  const app = copyApp("tests/fixtures/apps/documented", null);
  fs.mkdirSync(path.join(app, "node_modules/.bin"), { recursive: true });
  for (const name of ["aws-cdk-lib", "constructs", "esbuild"]) {
    fs.symlinkSync(path.join(repository, "tests/fixtures/node_modules", name), path.join(app, "node_modules", name));
  }
  fs.symlinkSync(path.join(repository, "npm/bin/sst.mjs"), path.join(app, "node_modules/.bin/sst"));
  return app;
}

/** Variables with which commands take the local cloud of a running `sst start` for AWS. */
export function asAws(cloud) {
  const { endpoint, region } = cloud.session();
  const keys = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test", AWS_REGION: region, AWS_ENDPOINT_URL: endpoint };
  return { ...process.env, ...keys, NO_COLOR: "1", SST_BINARY: binary(), SST_NPM_ROOT: path.join(repository, "npm") };
}
