// Packages that are no part of the bundle when it is deployed: what the options call external, and the SDK of the runtime. They are
// loaded from the `node_modules` beside the bundle, into which they are linked from where Node would find them.

import fs from "node:fs";
import path from "node:path";

/** Present in Lambda's Node runtimes, by the version of the SDK that they have; a project may rely on that. */
const IN_THE_RUNTIME = { v2: /^aws-sdk$/, v3: /^@(aws-sdk|smithy)\// };

/** Every name that may be a package's. */
const BARE = /^[^./#]/;

/**
 * Notes in `run.packages` under which name the bundle imports which package directory, and in `run.provided` the packages that only the
 * runtime has.
 */
export function externalsPlugin(run, { entry, bundling, provided }) {
  const inRuntime = IN_THE_RUNTIME[provided];
  const isProvided = (name) => inRuntime?.test(name) ?? false;
  const external = bundling.external.filter((one) => BARE.test(one)).map(pattern);
  const aliases = Object.entries(bundling.esbuild?.alias ?? {});
  const aliased = aliases.map(([name]) => pattern(name));
  const filters = [...external, ...aliased, ...(inRuntime ? [/^(aws-sdk|@aws-sdk\/|@smithy\/)/] : [])].map((one) => one.source);
  return {
    name: "sst-externals",
    setup(build) {
      if (filters.length === 0) return;
      build.onResolve({ filter: new RegExp(filters.join("|")) }, ({ path: written, resolveDir, kind }) => {
        if (kind === "entry-point" || path.isAbsolute(written)) return undefined;
        // esbuild replaces names before it looks which are external, but only after it has asked plugins.
        const wanted = replaced(written, aliases);
        if (path.isAbsolute(wanted)) return undefined;
        const isExternal = external.some((one) => one.test(wanted));
        const name = BARE.test(wanted) && /^(@[^/]+\/)?[^/]+/.exec(wanted)?.[0];
        if (!name) return isExternal ? { path: wanted, external: true } : undefined;
        // There is one of each when it is deployed, so the one that the entry file sees is preferred.
        const target = locate(name, path.dirname(entry)) ?? locate(name, resolveDir);
        if (!target && isProvided(name)) {
          run.provided.add(name);
          return { path: wanted, external: true };
        }
        if (!isExternal) return undefined;
        if (target) {
          run.packages.set(name, target);
          for (const peer of peersOf(target)) if (isProvided(peer) && !locate(peer, target)) run.provided.add(peer);
        }
        return { path: wanted, external: true };
      });
    },
  };
}

/**
 * Notes the same for a file that is translated without being bundled, whose imports esbuild does not look at: all of them stay as they
 * are. What it would say of them when it bundled is `run.metafile`.
 */
export function importsPlugin(run, request) {
  const everything = { ...request, bundling: { ...request.bundling, external: ["*"] } };
  return {
    name: "sst-imports",
    setup(build) {
      const { plugins: _, ...translating } = build.initialOptions;
      build.onStart(async () => {
        try {
          const bundling = { ...translating, bundle: true, plugins: [externalsPlugin(run, everything)] };
          run.metafile = (await build.esbuild.build(bundling)).metafile;
        } catch {
          // It is told of the translation as well.
        }
      });
    },
  };
}

/** What is imported instead of what is written, as esbuild replaces names: the longest that is a whole one. */
function replaced(written, aliases) {
  const fitting = aliases.filter(([name]) => written === name || written.startsWith(`${name}/`));
  const [name, target] = fitting.sort(([one], [other]) => other.length - one.length)[0] ?? [];
  return name === undefined ? written : target + written.slice(name.length);
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
export function locate(name, directory) {
  for (;;) {
    const candidate = path.join(directory, "node_modules", name);
    if (fs.existsSync(candidate)) return fs.realpathSync(candidate);
    const parent = path.dirname(directory);
    if (parent === directory) return undefined;
    directory = parent;
  }
}

/** An entry of esbuild's `external`: a package with all that is in it, or a pattern with one `*`. */
function pattern(text) {
  const escaped = text.split("*").map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return new RegExp(escaped.length > 1 ? `^${escaped.join(".*")}$` : `^${escaped[0]}(/|$)`);
}
