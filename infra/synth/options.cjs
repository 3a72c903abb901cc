"use strict";

// What becomes of each option of the constructs whose bundling ours takes the place of. An option is honoured, or has no meaning
// on this machine, or the developer is told that it has no effect here, and why: by name, when an app uses it.

/** It does here what it does for a deployment. */
const HONOURED = "honoured";
/** It is about containers, in which nothing is built here. */
const OF_CONTAINERS = "of containers";
/** It is about what is uploaded, and not about what a function does. */
const OF_ASSETS = "of assets";
/** It is about what builds say and write besides the code. Errors are always shown, and source maps always made. */
const OF_REPORTS = "of reports";

/** The construct declares it, and then takes no notice of it. */
const OF_NOBODY = "of nobody";

const MEANINGLESS = [OF_CONTAINERS, OF_ASSETS, OF_REPORTS, OF_NOBODY];

/** An option that is said to have no effect. The reason follows a colon. */
const named = (reason) => ({ reason });

/** CDK's `DockerRunOptions`. */
const CONTAINER = {
  entrypoint: OF_CONTAINERS,
  command: named("it is a command for a container, and nothing is built in containers here"),
  volumes: OF_CONTAINERS,
  volumesFrom: OF_CONTAINERS,
  environment: HONOURED,
  workingDirectory: OF_CONTAINERS,
  user: OF_CONTAINERS,
  securityOpt: OF_CONTAINERS,
  network: OF_CONTAINERS,
  platform: OF_CONTAINERS,
  bundlingFileAccess: OF_CONTAINERS,
};

const FROM_SOURCES = "the function runs from its sources, with the packages that are installed on this machine";

/** Construct → option of its bundling → what becomes of it. */
const TABLE = {
  NodejsFunction: {
    ...CONTAINER,
    minify: named("code stays readable for debuggers, so functions and classes keep names that are shortened on Lambda"),
    sourceMap: OF_REPORTS,
    sourceMapMode: OF_REPORTS,
    sourcesContent: OF_REPORTS,
    target: HONOURED,
    loader: HONOURED,
    logLevel: OF_REPORTS,
    keepNames: HONOURED,
    tsconfig: HONOURED,
    metafile: OF_REPORTS,
    banner: HONOURED,
    footer: HONOURED,
    // esbuild is told of it only by `esbuildArgs`.
    charset: OF_NOBODY,
    define: HONOURED,
    externalModules: HONOURED,
    bundleAwsSDK: HONOURED,
    nodeModules: HONOURED,
    esbuildVersion: OF_CONTAINERS,
    esbuildArgs: HONOURED,
    buildArgs: OF_CONTAINERS,
    forceDockerBundling: OF_CONTAINERS,
    preCompilation: HONOURED,
    dockerImage: OF_CONTAINERS,
    commandHooks: HONOURED,
    assetHash: OF_ASSETS,
    format: HONOURED,
    mainFields: HONOURED,
    inject: HONOURED,
  },
  GoFunction: {
    ...CONTAINER,
    forcedDockerBundling: OF_CONTAINERS,
    dockerImage: OF_CONTAINERS,
    goBuildFlags: HONOURED,
    buildArgs: OF_CONTAINERS,
    assetHashType: OF_ASSETS,
    assetHash: OF_ASSETS,
    commandHooks: named("its commands are not run, only `go build` is"),
    cgoEnabled: HONOURED,
    goProxies: HONOURED,
  },
  RustFunction: {
    environment: HONOURED,
    forcedDockerBundling: OF_CONTAINERS,
    dockerImage: OF_CONTAINERS,
    dockerOptions: OF_CONTAINERS,
    assetHashType: OF_ASSETS,
    assetHash: OF_ASSETS,
    commandHooks: named("its commands are not run, only `cargo build` is"),
    architecture: OF_CONTAINERS,
    cargoLambdaFlags: HONOURED,
    profile: named("programs are compiled with the profile `dev`, for debuggers"),
  },
  PythonFunction: {
    ...CONTAINER,
    environment: OF_CONTAINERS,
    poetryIncludeHashes: OF_CONTAINERS,
    poetryWithoutUrls: OF_CONTAINERS,
    assetExcludes: named(`${FROM_SOURCES}, and the files that it excludes are there`),
    outputPathSuffix: named(FROM_SOURCES),
    image: OF_CONTAINERS,
    buildArgs: OF_CONTAINERS,
    assetHashType: OF_ASSETS,
    assetHash: OF_ASSETS,
    commandHooks: named(`its commands are not run: ${FROM_SOURCES}`),
  },
  /** Options of an asset that is a function's code. */
  "Code.fromAsset": {
    assetHash: OF_ASSETS,
    assetHashType: OF_ASSETS,
    bundling: HONOURED,
    deployTime: OF_ASSETS,
    displayName: OF_ASSETS,
    exclude: named("the function runs from the directory itself, and what is excluded is there"),
    followSymlinks: OF_ASSETS,
    ignoreMode: OF_ASSETS,
    readers: OF_ASSETS,
    sourceKMSKey: OF_ASSETS,
  },
  /** Its `bundling`, with what its commands need instead of a container. */
  "Code.fromAsset with bundling": {
    ...CONTAINER,
    image: OF_CONTAINERS,
    command: HONOURED,
    entrypoint: HONOURED,
    local: HONOURED,
    // The directories of this machine take the place of those in the container.
    volumes: HONOURED,
    workingDirectory: HONOURED,
    volumesFrom: named("there is no other container to take them from"),
    outputType: OF_ASSETS,
  },
  /** `bundle` of SST v1, for functions in JavaScript. */
  "sst.Function": {
    copyFiles: HONOURED,
    loader: HONOURED,
    externalModules: HONOURED,
    nodeModules: HONOURED,
    banner: HONOURED,
    commandHooks: HONOURED,
    "esbuildConfig.define": HONOURED,
    "esbuildConfig.keepNames": HONOURED,
    "esbuildConfig.plugins": HONOURED,
    // SST v1 itself never minified what ran on a developer's machine, and does minify unless it is told not to.
    minify: OF_REPORTS,
    format: HONOURED,
    sourcemap: OF_REPORTS,
  },
  /** The same for functions in other languages. */
  "sst.Function in another language": {
    copyFiles: named("the function runs from its sources, without the copies"),
    installCommands: named(`its commands are not run: ${FROM_SOURCES}`),
    buildTask: named("the project is built in the usual way of its build tool"),
    buildOutputDir: named("the project is built in the usual way of its build tool"),
    experimentalUseProvidedRuntime: named("the function runs on this machine's own Java"),
  },
};

/** The options that an app uses of a construct and that have no effect here, with the reasons. */
function unheeded(construct, options) {
  const found = [];
  for (const [option, fate] of Object.entries(TABLE[construct])) {
    if (fate.reason && isUsed(options?.[option])) found.push({ option, reason: fate.reason });
  }
  return found;
}

function isUsed(value) {
  if (value === undefined || value === null || value === false || value === "") return false;
  return Array.isArray(value) ? value.length > 0 : true;
}

module.exports = { HONOURED, MEANINGLESS, TABLE, unheeded };
