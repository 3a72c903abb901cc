// Has the debuggers that are attached stop at the first line of a handler, once.

import inspector from "node:inspector";

/** By which the engine asks whether to stop: conditions of breakpoints see nothing but what is global. */
const STOPS = Symbol.for("sst.stopsAtFirstLine");

/**
 * Sets a breakpoint of our own in a handler. It is no statement in the runner from which the developer would have to step in, and it
 * is there for all debuggers, whatever they speak.
 *
 * @param {Function} handler
 * @returns {() => void} takes the breakpoint away
 */
export function stopAtFirstLine(handler) {
  const session = new inspector.Session();
  session.connect();
  // A handler that calls itself stops no second time.
  let stops = true;
  globalThis[STOPS] = () => {
    const answer = stops;
    stops = false;
    return answer;
  };
  globalThis[STOPS].handler = handler;
  const place = "globalThis[Symbol.for('sst.stopsAtFirstLine')]";
  session.post("Debugger.enable");
  const objectId = functionBehind(session, `${place}.handler`);
  session.post("Debugger.setBreakpointOnFunctionCall", { objectId, condition: `${place}()` }, (error) => {
    if (error) {
      console.error(`sst: no debugger can stop at the first line of the handler: ${error.message}`);
    }
  });
  return () => {
    delete globalThis[STOPS];
    session.disconnect();
  };
}

/** What a name stands for; of a function that `bind` has made, the function that it calls, which has the lines. */
function functionBehind(session, expression) {
  let objectId;
  // Each answer comes before `post` returns.
  session.post("Runtime.evaluate", { expression, silent: true }, (_error, answer) => (objectId = answer?.result.objectId));
  for (let next = objectId; next !== undefined; ) {
    objectId = next;
    next = undefined;
    session.post("Runtime.getProperties", { objectId, ownProperties: true }, (_error, answer) => {
      next = answer?.internalProperties?.find(({ name }) => name === "[[TargetFunction]]")?.value.objectId;
    });
  }
  return objectId;
}
