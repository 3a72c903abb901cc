// Makes the function of `@serverless-stack/core` 1.x that bundles handlers exchangeable. This file runs in the thread of Node's
// module hooks as well, hence it does without anything of the host's.

/** Where the host puts the replacement: a function of the options and of the original function. */
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
  if (!FUNCTION.test(source)) return loaded;
  const renamed = source.replace(FUNCTION, (_, isAsync = "") => `${isAsync}function originalBundle(`);
  return { ...loaded, source: `${renamed}\n${ADDED}\n` };
}

const ADDED = `
globalThis[Symbol.for("sst.synth.bundle.original")] = originalBundle;
export async function bundle(options) {
  return globalThis[Symbol.for("sst.synth.bundle")](options, originalBundle);
}`;
