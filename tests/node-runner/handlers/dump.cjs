// Everything that a function can see of its process.

const Module = require("node:module");

exports.dump = () => ({
  variables: { ...process.env, AWS_LAMBDA_RUNTIME_API: undefined },
  directory: process.cwd(),
  arguments: [process.argv, process.execArgv, process.title, process.argv0],
  listeners: process.eventNames().map((name) => [String(name), process.listenerCount(name)]).sort(),
  globals: Object.getOwnPropertyNames(globalThis).sort(),
  ofProcess: Object.getOwnPropertyNames(process).sort(),
  console: Object.keys(console).sort(),
  awslambda: typeof globalThis.awslambda,
  loaded: Object.keys(require.cache).sort(),
  lookup: Module.globalPaths,
  extensions: Object.keys(Module._extensions),
  compile: Module.prototype._compile.toString(),
  frames: Error.stackTraceLimit,
  preparing: String(Error.prepareStackTrace),
  locale: Intl.DateTimeFormat().resolvedOptions().locale,
  zone: [Intl.DateTimeFormat().resolvedOptions().timeZone, new Date(0).getTimezoneOffset()],
  text: (1234.5).toLocaleString(),
  mask: process.umask(),
  code: process.exitCode,
  maps: process.sourceMapsEnabled,
  entries: performance.getEntries().length,
});
exports.handler = async () => exports.dump();
