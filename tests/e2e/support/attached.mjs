// A debugger in a process of its own, which a test can kill: `attached.mjs WORKSPACE CONFIGURATION BREAKPOINTS`, the latter two in
// JSON. Prints each place at which it stops, and leaves it at that.

import { JsDebug } from "./js-debug.mjs";

const [workspace, configuration, breakpoints] = process.argv.slice(2);
const debug = new JsDebug(workspace, JSON.parse(breakpoints));
await debug.start(JSON.parse(configuration));
console.log("attached");
for (;;) console.log((await debug.stopped()).place);
