// `preCompilation`: the entry file is compiled by the project's own TypeScript before it is bundled, for what esbuild does not do, as
// the metadata of decorators. Only the entry file, because that is all that a deployed function has of it: tsc writes every file,
// but esbuild then takes `./other.ts` rather than the `./other.js` beside it.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";

import { nearest } from "./format.mjs";

/** Entry file → its compiler, which remembers what has not changed, so that the next time is quick. */
const compilers = new Map();

export function precompilePlugin({ entry, bundling }) {
  return {
    name: "sst-precompile",
    setup(build) {
      build.onLoad({ filter: /\.tsx?$/, namespace: "file" }, ({ path: file }) => {
        if (path.resolve(file) !== entry) return undefined;
        return { ...compile(entry, bundling.tsconfig), resolveDir: path.dirname(entry) };
      });
    },
  };
}

/** The project's own files whose types the compiler has read: the metadata may be about types of other files. */
export function typesRead({ entry }) {
  const files = compilers.get(entry)?.service.getProgram()?.getSourceFiles() ?? [];
  return files.map(({ fileName }) => path.resolve(fileName)).filter((file) => !file.split(path.sep).includes("node_modules"));
}

function compile(entry, declared) {
  const tsconfig = declared ?? nearest(path.dirname(entry), "tsconfig.json");
  if (!tsconfig) return failed("`preCompilation` needs a `tsconfig.json`, and there is none above the entry file");
  const written = fs.statSync(tsconfig, { throwIfNoEntry: false })?.mtimeMs;
  let compiler = compilers.get(entry);
  if (compiler?.tsconfig !== tsconfig || compiler.written !== written) {
    const ts = load(entry);
    if (!ts) return failed("`preCompilation` needs `typescript`: run `npm install --save-dev typescript`");
    compiler = { ts, tsconfig, written, service: service(ts, entry, tsconfig) };
    compilers.set(entry, compiler);
  }
  const { ts } = compiler;
  // Types are not checked: that would take longer than all the rest.
  const [error] = compiler.service.getSyntacticDiagnostics(entry);
  if (error) return failed(ts.flattenDiagnosticMessageText(error.messageText, "\n"), at(error));
  const output = compiler.service.getEmitOutput(entry).outputFiles.find(({ name }) => /\.[cm]?jsx?$/.test(name));
  if (!output) return failed(`\`tsc\` makes nothing of it with the options of \`${tsconfig}\``);
  return { contents: output.text, loader: output.name.endsWith("x") ? "jsx" : "js" };
}

/** The project's compiler; none where there is none with an interface for programs. */
function load(entry) {
  try {
    const ts = createRequire(entry)("typescript");
    return typeof ts.createLanguageService === "function" ? ts : undefined;
  } catch {
    return undefined;
  }
}

function service(ts, entry, tsconfig) {
  const { config } = ts.readConfigFile(tsconfig, ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config ?? {}, ts.sys, path.dirname(tsconfig));
  // What the library leaves out of the options, and what would write elsewhere than into one map in the text.
  for (const name of ["composite", "declaration", "declarationMap", "emitDeclarationOnly", "noEmit", "tsBuildInfoFile"]) delete options[name];
  for (const name of ["outDir", "outFile", "rootDir", "mapRoot", "sourceRoot", "sourceMap"]) delete options[name];
  Object.assign(options, { incremental: false, inlineSourceMap: true });
  const version = (file) => String(fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs);
  return ts.createLanguageService({
    getCompilationSettings: () => options,
    getScriptFileNames: () => [entry],
    getScriptVersion: version,
    getScriptSnapshot: (file) => {
      const text = ts.sys.readFile(file);
      return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text);
    },
    getCurrentDirectory: () => process.cwd(),
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
    realpath: ts.sys.realpath,
  });
}

function failed(text, location) {
  return { errors: [{ text, location }] };
}

/** The place of a message as esbuild tells places. */
function at({ file, start, length }) {
  const { line, character } = file.getLineAndCharacterOfPosition(start);
  const lineText = file.text.split(/\r?\n/)[line];
  return { file: path.relative(process.cwd(), file.fileName), line: line + 1, column: character, length, lineText };
}
