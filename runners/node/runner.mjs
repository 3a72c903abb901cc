// Runs inside every Node worker: loads the function's handler and serves the Lambda Runtime API until the process ends.
//
// Started in one of two ways:
//   direct    the environment is that of the function; SST_HANDLER names the handler to load, relative to LAMBDA_TASK_ROOT
//             (without it, _HANDLER). SST_LIFELINE, when set, is a pipe whose end means that nobody needs this process.
//             SST_PROVIDED, when set, is a directory `node_modules` with what Lambda's runtime would bring along.
//   standby   SST_STANDBY is a pipe on which the function arrives later; see `standby.mjs`.

import { lifeline } from "./pipe.mjs";
import { prepare, serve } from "./serve.mjs";

const OWN_VARIABLES = ["SST_HANDLER", "SST_STANDBY", "SST_LIFELINE", "SST_PROVIDED"];

const settings = Object.fromEntries(OWN_VARIABLES.map((name) => [name, process.env[name]]));
for (const name of OWN_VARIABLES) {
  delete process.env[name];
}

if (settings.SST_STANDBY !== undefined) {
  const { standBy } = await import("./standby.mjs");
  // Not awaited: an `await` at the top level would change how Node ends a process whose event loop is empty.
  standBy(Number(settings.SST_STANDBY));
} else {
  if (settings.SST_LIFELINE !== undefined) {
    lifeline(Number(settings.SST_LIFELINE));
  }
  const assignment = {
    runtimeApi: process.env.AWS_LAMBDA_RUNTIME_API,
    taskRoot: process.env.LAMBDA_TASK_ROOT ?? process.cwd(),
    handler: settings.SST_HANDLER ?? process.env._HANDLER,
    provided: settings.SST_PROVIDED,
  };
  // Node treats a process otherwise while its first module is being loaded. A function is loaded after that, as by a standby.
  setImmediate(() => serve(prepare(assignment), assignment));
}
