// What a build that failed is told as: where, why, and what to do; and which files have to change for another try.

import { isBuiltin } from "node:module";
import path from "node:path";

import { formatOf } from "./format.mjs";
import { inputsOf, unresolvedBy } from "./inputs.mjs";
import { options } from "./options.mjs";
import { isInstalled } from "./vendor.mjs";

/**
 * A failed build as the caller hears of it. `esbuild` may be missing, which is then the reason. `watched` is what plugins of the project
 * said that they depend on.
 */
export async function explain(esbuild, error, request, root, watched) {
  const messages = (error?.errors ?? []).map(advised);
  const read = messages.length > 0 ? await ownFiles(esbuild, request, root) : [];
  const places = messages.flatMap(({ location }) => (location ? [path.resolve(root, location.file)] : []));
  const inputs = inputsOf(request, [...read, ...places, ...watched], unresolvedBy(messages, root));
  if (messages.length === 0) {
    const text = String(error?.stack ?? error);
    const summary = String(error?.message ?? error);
    return { summary, detail: text, errorType: "Runtime.ImportModuleError", inputs };
  }
  const [{ location, text }] = messages;
  const where = location ? `${location.file}:${location.line}:${location.column + 1}: ` : "";
  const frames = await esbuild.formatMessages(messages, { kind: "error", color: false });
  const unresolved = /^Could not (resolve|read)/.test(text);
  return {
    summary: `${where}${text}`,
    detail: frames.map((frame, index) => counted(frame, messages[index].location)).join("").trimEnd(),
    errorType: unresolved ? "Runtime.ImportModuleError" : "Runtime.UserCodeSyntaxError",
    inputs,
  };
}

/** With what to do, where esbuild says nothing of it, or advises to leave a package out that has only not been installed. */
function advised(message) {
  const wanted = /^Could not resolve "([^"]*)"$/.exec(message.text)?.[1];
  const name = /^(@[^/\s]+\/[^/\s]+|[^@./#\s:][^/\s:]*)(?=\/|$)/.exec(wanted ?? "")?.[0];
  if (name && !isBuiltin(name) && message.notes?.[0]?.text.startsWith("You can mark the path")) {
    return { ...message, text: `${message.text}: run \`npm install ${name}\``, notes: [] };
  }
  const native = /^No loader is configured for "\.node" files: .*node_modules\/((@[^/]+\/)?[^/]+)/.exec(message.text)?.[1];
  if (native) return { ...message, text: `${message.text}: name \`${native}\` in \`nodeModules\`, as native code cannot be bundled` };
  return message;
}

/** Columns as editors count them, and as the summary says them: from one. */
function counted(frame, location) {
  if (!location) return frame;
  const place = `${location.file}:${location.line}:`;
  return frame.replace(`${place}${location.column}:`, `${place}${location.column + 1}:`);
}

/** The project's own files that the function is made of, as far as they can be read. */
async function ownFiles(esbuild, request, root) {
  const files = new Set();
  const recorder = {
    name: "sst-inputs",
    setup(build) {
      build.onLoad({ filter: /.*/, namespace: "file" }, ({ path: file }) => {
        // Packages are not looked into, and what is wrong has been told already.
        if (isInstalled(file)) return { contents: "", loader: "js" };
        files.add(file);
        return undefined;
      });
    },
  };
  await esbuild.build(options(request, root, formatOf(request.entry, request.bundling.format), [recorder])).catch(() => {});
  return files;
}
