"use strict";
class OwnError extends Error {
  constructor(message) {
    super(message);
    this.name = "OwnError";
    this.code = 7;
  }
}

exports.returns = async (event) => ({ got: event });
exports.nothing = async () => {};
exports.sync = () => "a value";
exports.never = () => {};
exports.callback = (event, context, callback) => setImmediate(() => callback(null, "called"));
exports.callbackError = (event, context, callback) => callback(new OwnError("given to the callback"));
exports.done = (event, context) => context.done(null, "done");
exports.succeed = (event, context) => context.succeed("succeeded");
exports.failed = (event, context) => context.fail(new OwnError("failed"));
exports.throws = async () => {
  throw new OwnError("thrown");
};
exports.throwsNow = () => {
  throw new TypeError("thrown at once");
};
exports.throwsText = async () => {
  throw "only text";
};
exports.circular = async () => {
  const value = {};
  value.value = value;
  return value;
};
exports.rejects = async () => {
  Promise.reject(new RangeError("late"));
  await new Promise((resolve) => setTimeout(resolve, 60_000));
};
exports.uncaught = async () => {
  setImmediate(() => {
    throw new EvalError("in a timer");
  });
  await new Promise((resolve) => setTimeout(resolve, 60_000));
};
exports.exits = async () => process.exit(7);
exports.logs = async () => {
  console.log("first line\nsecond line");
  console.error("on stderr");
  return "logged";
};
exports.context = async (event, context) => ({
  id: context.awsRequestId,
  arn: context.invokedFunctionArn,
  name: context.functionName,
  version: context.functionVersion,
  memory: context.memoryLimitInMB,
  group: context.logGroupName,
  stream: context.logStreamName,
  client: context.clientContext,
  identity: context.identity,
  waits: context.callbackWaitsForEmptyEventLoop,
  left: context.getRemainingTimeInMillis() > 1000 && context.getRemainingTimeInMillis() <= 30_000,
  trace: process.env._X_AMZN_TRACE_ID,
  key: process.env.AWS_ACCESS_KEY_ID,
});
exports.streams = awslambda.streamifyResponse(async (event, stream) => {
  const http = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { "x-own": "1" } });
  http.write("part one, ");
  http.write("part two");
  http.end();
});
exports.notAFunction = 5;
