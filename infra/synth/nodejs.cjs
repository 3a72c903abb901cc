"use strict";

// What `NodejsFunction` tells its own bundling, as a record of hook.cjs says it.

const path = require("node:path");

const flags = require("./esbuild-flags.cjs");
const { unheeded } = require("./options.cjs");

/** Where commands are told that they are to write. Whoever runs them puts the real directory in its place. */
const OUTPUT = "/asset-output";

function nodejs(options) {
  const extra = flags.read(flags.fromConstruct(options.esbuildArgs));
  const unknown = extra.unknown.map((flag) => ({
    option: `esbuildArgs["${flag}"]`,
    reason: /minify/.test(flag) ? "code stays readable for debuggers" : "where and how the code is written is decided here",
  }));
  return {
    entry: path.resolve(options.entry),
    root: path.resolve(options.projectRoot),
    bundling: bundlingOf(options, extra.options, isLegacySdk(options.runtime)),
    unheeded: [...unheeded("NodejsFunction", options), ...unknown],
  };
}

/** The options as esbuild knows them. What the app leaves open, and the library has an own default for, is filled in. */
function bundlingOf(options, ofArgs, legacySdk) {
  const root = path.resolve(options.projectRoot);
  // What comes later on esbuild's command line wins.
  const { format, target, external, loader, define, banner, footer, tsconfig, mainFields, conditions, inject, ...others } =
    flags.withWholePaths(ofArgs, root);
  const defaultExternal = options.bundleAwsSDK ? [] : legacySdk ? ["aws-sdk"] : ["@aws-sdk/*", "@smithy/*"];
  return {
    format: format ?? options.format ?? "cjs",
    target: target ?? options.target ?? null,
    external: [...(options.externalModules ?? defaultExternal), ...(options.nodeModules ?? []), ...(external ?? [])],
    loader: { ...options.loader, ...loader },
    define: { ...options.define, ...define },
    banner: banner?.js ?? options.banner ?? null,
    footer: footer?.js ?? options.footer ?? null,
    tsconfig: tsconfig ?? (options.tsconfig === undefined ? null : path.resolve(options.tsconfig)),
    mainFields: mainFields ?? options.mainFields ?? [],
    conditions: conditions ?? [],
    inject: [...(options.inject ?? []).map((file) => path.resolve(root, file)), ...(inject ?? [])],
    plugins: null,
    esbuild: { ...(options.keepNames ? { keepNames: true } : {}), ...others },
    environment: options.environment ?? {},
    preCompilation: options.preCompilation ?? false,
    nodeModules: options.nodeModules ?? [],
    copyFiles: [],
    commands: commandsOf(options.commandHooks, root, root, options.nodeModules?.length > 0),
  };
}

/** What an app wants to have run before and after its code is bundled; `null` if nothing. */
function commandsOf(hooks, input, directory, installs) {
  const of = (name) => hooks?.[name]?.(input, OUTPUT) ?? [];
  const before = of("beforeBundling");
  const after = [...(installs ? of("beforeInstall") : []), ...of("afterBundling")];
  return before.length + after.length > 0 ? { directory, before, after } : null;
}

/** Node 16 and older came with version 2 of the SDK, which is one package. */
function isLegacySdk(runtime) {
  const version = /^nodejs(\d+)/.exec(runtime?.name ?? "")?.[1];
  return version !== undefined && Number(version) <= 16;
}

module.exports = nodejs;
module.exports.commandsOf = commandsOf;
