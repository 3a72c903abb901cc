// Bundles an app's main file into one that Node can run: TypeScript, JavaScript, ES modules and CommonJS, in any mixture.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";

import { ExpectedError } from "./report.mjs";

/**
 * Bundles `main`; packages stay outside, or only those of `external` if it is given. Returns the file that was written, and
 * the files it was made of (absolute paths). The bundle lies inside of the project, so that Node finds the project's packages
 * from there. Its format is the one that Node would take `main` for, unless another is given.
 */
export async function bundle({ project, main, npmRoot, format = isModule(main) ? "esm" : "cjs", external }) {
  const esbuild = loadEsbuild(npmRoot, project);
  const file = path.join(project, ".sst", "synth", format === "esm" ? "main.mjs" : "main.cjs");
  prepareDirectory(path.dirname(file), project);
  let result;
  try {
    result = await esbuild.build({
      absWorkingDir: project,
      entryPoints: [main],
      outfile: file,
      bundle: true,
      format,
      platform: "node",
      target: `node${process.versions.node}`,
      ...(external ? { external } : { packages: "external" }),
      sourcemap: "linked",
      keepNames: true,
      metafile: true,
      logLevel: "silent",
      // An ES module has no `require`, but a CommonJS file that became a part of it needs one.
      banner: format === "esm" ? { js: requireBanner(main) } : {},
      plugins: [ownLocations(esbuild)],
    });
  } catch (error) {
    if (!Array.isArray(error.errors)) throw error;
    const messages = esbuild.formatMessagesSync(error.errors, { kind: "error", color: false });
    throw new ExpectedError(messages.join("").trimEnd());
  }
  const inputs = Object.keys(result.metafile.inputs).map((input) => path.resolve(project, input));
  return { file, inputs: inputs.sort() };
}

function loadEsbuild(npmRoot, project) {
  for (const root of [npmRoot, project]) {
    if (!root) continue;
    try {
      return createRequire(path.join(root, "package.json"))("esbuild");
    } catch (error) {
      if (error.code !== "MODULE_NOT_FOUND") throw error;
    }
  }
  throw new ExpectedError("`esbuild` is not installed", "install `sst` again, or run `npm install --save-dev esbuild`");
}

function prepareDirectory(directory, project) {
  try {
    fs.mkdirSync(path.join(project, ".sst"), { recursive: true, mode: 0o700 });
    fs.mkdirSync(directory, { recursive: true });
  } catch (error) {
    throw new ExpectedError(`cannot write to \`${directory}\`: ${error.message}`);
  }
}

/** Whether Node would take the file for an ES module. */
function isModule(file) {
  const extension = path.extname(file);
  if (/^\.m[jt]s$/.test(extension)) return true;
  if (/^\.c[jt]s$/.test(extension)) return false;
  for (let directory = path.dirname(file); ; directory = path.dirname(directory)) {
    const manifest = path.join(directory, "package.json");
    if (fs.existsSync(manifest)) return JSON.parse(fs.readFileSync(manifest, "utf8")).type === "module";
    if (directory === path.dirname(directory)) return false;
  }
}

function requireBanner(main) {
  const from = JSON.stringify(pathToFileURL(main).href);
  return `import { createRequire as __sstCreateRequire } from "node:module"; const require = __sstCreateRequire(${from});`;
}

/** Keeps `__dirname`, `import.meta.url` and the like what they are in the original file, e.g. for paths to handlers. */
function ownLocations(esbuild) {
  return {
    name: "own-locations",
    setup(build) {
      build.onLoad({ filter: /\.[cm]?[jt]sx?$/ }, async ({ path: file }) => {
        const contents = await fs.promises.readFile(file, "utf8");
        if (!/__dirname|__filename|import\.meta/.test(contents)) return undefined;
        const loader = path.extname(file).slice(1).replace(/^[cm]/, "");
        const { code } = await esbuild.transform(contents, {
          loader,
          target: build.initialOptions.target,
          sourcefile: file,
          sourcemap: "inline",
          tsconfigRaw: nearestTsconfig(file),
          define: {
            __dirname: JSON.stringify(path.dirname(file)),
            __filename: JSON.stringify(file),
            "import.meta.dirname": JSON.stringify(path.dirname(file)),
            "import.meta.filename": JSON.stringify(file),
            "import.meta.url": JSON.stringify(pathToFileURL(file).href),
          },
        });
        return { contents: code, loader: "js", resolveDir: path.dirname(file) };
      });
    },
  };
}

/** The text of the `tsconfig.json` that applies to a file, for the options that change what its code means. */
function nearestTsconfig(file) {
  for (let directory = path.dirname(file); directory !== path.dirname(directory); directory = path.dirname(directory)) {
    const candidate = path.join(directory, "tsconfig.json");
    if (fs.existsSync(candidate)) return fs.readFileSync(candidate, "utf8");
  }
  return undefined;
}
