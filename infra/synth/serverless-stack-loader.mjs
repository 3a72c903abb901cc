// Makes the function of `@serverless-stack/core` 1.x that bundles handlers exchangeable. This file runs in the thread of Node's
// module hooks as well, hence it does without anything of the host's.

/** Where the host puts the replacement: a function of the options, the original function, and whether that is an async one. */
export const REPLACEMENT = Symbol.for("sst.synth.bundle");
/** Where the changed module notes that it was found. */
export const ORIGINAL = Symbol.for("sst.synth.bundle.original");

const MODULE = /\/@serverless-stack\/core\/dist\/runtime\/handler\/(?:index|handler)\.js$/;
const FUNCTION = /^export\s+(async\s+)?function\s+bundle\s*\(/m;

/** Node's hook for loading modules. */
export async function load(url, context, next) {
  return patched(url, await next(url, context));
}

/** What was loaded from `url`, changed if it is the module in question. */
export function patched(url, loaded) {
  if (!MODULE.test(url) || loaded.format !== "module") return loaded;
  const source = typeof loaded.source === "string" ? loaded.source : Buffer.from(loaded.source).toString("utf8");
  const found = FUNCTION.exec(source);
  if (!found) return loaded;
  const isAsync = found[1] !== undefined;
  const renamed = source.replace(FUNCTION, `${isAsync ? "async " : ""}function originalBundle(`);
  return { ...loaded, source: `${renamed}\n${replacement(isAsync)}\n` };
}

/** Not an `async` function, whatever the original is: older releases of 1.x do not wait for it. */
function replacement(isAsync) {
  return `
globalThis[Symbol.for("${ORIGINAL.description}")] = originalBundle;
export function bundle(options) {
  return globalThis[Symbol.for("${REPLACEMENT.description}")](options, originalBundle, ${isAsync});
}`;
}
