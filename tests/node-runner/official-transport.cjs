"use strict";
// Stands in for the part of AWS's clients that is compiled: `done` and `error` have sent the request when they return, as there.

const { execFileSync } = require("node:child_process");
const Module = require("node:module");
const post = (where, body) => {
  const url = "http://" + process.env.AWS_LAMBDA_RUNTIME_API + "/2018-06-01/runtime/invocation/" + where;
  const script = "fetch(process.argv[1], { method: 'POST', body: require('fs').readFileSync(0) }).then((r) => r.text())";
  execFileSync(process.execPath, ["-e", script, url], { input: body, env: {} });
};
const load = Module._load;
Module._load = function (request, ...rest) {
  if (!request.endsWith("rapid-client.node")) return load.call(this, request, ...rest);
  return {
    initializeClient() {},
    done: (id, body) => post(id + "/response", body),
    error: (id, body) => post(id + "/error", body),
  };
};
