"use strict";
// Handlers whose errors nobody but the runner takes, and some that take their own.
const turn = () => new Promise((resolve) => setTimeout(resolve, 2));
const later = async () => {
  await turn();
  throw new RangeError("later");
};
const own = (name) => Object.assign(new Error(name), { name: "OwnError" });

exports.sync = () => {
  throw own("sync");
};
exports.before = async () => {
  throw own("before");
};
exports.after = async () => {
  await turn();
  throw own("after");
};
exports.deep = async () => {
  await turn();
  await later();
};
exports.passedOn = () => later();
exports.callback = (event, context, callback) => {
  setTimeout(callback, 2, null, "called");
  throw own("callback");
};
exports.patched = async () => {
  const { emit } = process;
  process.emit = function (...values) {
    return Reflect.apply(emit, this, values);
  };
  process.emit("own event");
  await turn();
  throw own("patched");
};
exports.text = async () => {
  throw "only text";
};
exports.streams = awslambda.streamifyResponse(async (event, stream) => {
  stream.write("begun");
  await turn();
  throw own("streams");
});

exports.caught = async () => {
  try {
    await later();
  } catch (error) {
    return error.message;
  }
};
exports.caughtAtOnce = () => {
  try {
    throw own("caught");
  } catch (error) {
    return Promise.resolve(error.message);
  }
};
exports.taken = () => later().catch((error) => error.message);
exports.allSettled = async () => (await Promise.allSettled([later()]))[0].reason.message;
exports.outer = async () => {
  const through = async () => {
    await turn();
    await later();
  };
  try {
    await through();
  } catch (error) {
    return error.message;
  }
};
