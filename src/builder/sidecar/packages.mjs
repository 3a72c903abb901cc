// Leaves packages out of the bundle: they are loaded from the `node_modules` that Node would find from the importing file, whether
// npm, pnpm, or yarn laid it out. A package of the project's own workspace is source code, and is bundled.

import fs from "node:fs";
import { isBuiltin } from "node:module";
import path from "node:path";

/** Present in Lambda's Node runtimes; a project may rely on that. */
const IN_THE_RUNTIME = /^(aws-sdk|@aws-sdk\/|@smithy\/)/;

export function packagesPlugin(run, external = []) {
  return {
    name: "sst-packages",
    setup(build) {
      build.onResolve({ filter: /^[^./#]/ }, ({ path: wanted, resolveDir, kind }) => {
        if (kind === "entry-point" || path.isAbsolute(wanted)) return undefined;
        if (isBuiltin(wanted)) return { path: wanted, external: true };
        const name = /^(@[^/]+\/)?[^/]+/.exec(wanted)?.[0];
        if (!name || external.includes(name)) return undefined;
        const found = locate(name, resolveDir);
        if (!found) return IN_THE_RUNTIME.test(wanted) ? { path: wanted, external: true } : undefined;
        const target = fs.realpathSync(found);
        if (!target.split(path.sep).includes("node_modules")) return undefined;
        const known = run.packages.get(name);
        // Two versions of one package cannot both be linked under its name; the second one is bundled.
        if (known && known.target !== target) return undefined;
        run.packages.set(name, { target });
        run.imports.add(JSON.stringify([wanted, resolveDir]));
        return { path: wanted, external: true };
      });
    },
  };
}

function locate(name, directory) {
  for (;;) {
    const candidate = path.join(directory, "node_modules", name);
    if (fs.existsSync(candidate)) return candidate;
    const parent = path.dirname(directory);
    if (parent === directory) return undefined;
    directory = parent;
  }
}
