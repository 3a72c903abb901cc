// Leaves packages out of the bundle: they are loaded from the `node_modules` that Node would find from the importing
// file, whether npm, pnpm, or yarn laid it out. A package of the project's own workspace is source code, and is bundled.

import { createHash } from "node:crypto";
import fs from "node:fs";
import { isBuiltin } from "node:module";
import path from "node:path";

/** Present in Lambda's Node runtimes, by the version of the SDK that they have; a project may rely on that. */
const IN_THE_RUNTIME = { v2: /^aws-sdk$/, v3: /^@(aws-sdk|smithy)\// };

/**
 * Notes in `run.packages` under which name the bundle imports which package directory, and in `run.provided` the packages that only
 * the runtime has.
 */
export function packagesPlugin(run, { entry, bundling, provided }) {
  const isProvided = (name) => IN_THE_RUNTIME[provided]?.test(name) ?? false;
  const external = bundling.external.map(pattern);
  return {
    name: "sst-packages",
    setup(build) {
      build.onResolve({ filter: /^[^./#]/ }, ({ path: wanted, resolveDir, kind }) => {
        if (kind === "entry-point" || path.isAbsolute(wanted)) return undefined;
        if (isBuiltin(wanted)) return { path: wanted, external: true };
        const name = /^(@[^/]+\/)?[^/]+/.exec(wanted)?.[0];
        if (!name) return undefined;
        const target = locate(name, resolveDir);
        if (!target) {
          if (!isProvided(name)) return undefined;
          run.provided.add(name);
          return { path: wanted, external: true };
        }
        const isInstalled = target.split(path.sep).includes("node_modules");
        if (!isInstalled && !external.some((one) => one.test(wanted) || one.test(name))) return undefined;
        const linked = target === locate(name, path.dirname(entry)) ? name : alias(name, target);
        run.packages.set(linked, target);
        for (const peer of peersOf(target)) if (isProvided(peer) && !locate(peer, target)) run.provided.add(peer);
        run.imports.add(JSON.stringify([wanted, resolveDir]));
        return { path: linked + wanted.slice(name.length), external: true };
      });
    },
  };
}

/** What a package expects others to install. */
function peersOf(directory) {
  try {
    return Object.keys(JSON.parse(fs.readFileSync(path.join(directory, "package.json"), "utf8")).peerDependencies ?? {});
  } catch {
    return [];
  }
}

/** A package's own directory, as seen from another. */
function locate(name, directory) {
  for (;;) {
    const candidate = path.join(directory, "node_modules", name);
    if (fs.existsSync(candidate)) return fs.realpathSync(candidate);
    const parent = path.dirname(directory);
    if (parent === directory) return undefined;
    directory = parent;
  }
}

/** The name for a version of a package that is not the one the entry file would get. */
function alias(name, target) {
  return `${name}-${createHash("sha256").update(target).digest("hex").slice(0, 12)}`;
}

/** An entry of esbuild's `external`, which may contain one `*`. */
function pattern(text) {
  const escaped = text.split("*").map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`^${escaped.join(".*")}$`);
}
