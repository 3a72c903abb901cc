// A bundle here behaves as the one that the CDK makes, on plain Node: in the first worker, and after a save in a process that has
// loaded the packages before.

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";

import popular from "./cases/popular.mjs";
import rules from "./cases/rules.mjs";
import { deployed, layOut, live, workplace } from "./support.mjs";

const FORMATS = ["cjs", "esm"];

/** Packages in CommonJS expect a `require` in modules, which people give them. */
const BANNER = `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);`;

/** A pattern of names, e.g. `CASES='^lodash'`, to run those cases alone. */
const only = process.env.CASES && new RegExp(process.env.CASES);

test("functions answer as their deployed bundles do", async (t) => {
  const place = workplace(t);
  const described = [
    ...Object.entries(popular).flatMap(([name, [imports, expression, options]]) =>
      FORMATS.map((format) => {
        const files = { "index.ts": `${imports}\nexport const handler = async () => (${expression}) ?? "undefined";\n` };
        return [`${name} ${format}`, format, { files, options: { ...options, ...(format === "esm" && { banner: BANNER }) } }];
      }),
    ),
    ...Object.entries(rules).flatMap(([name, one]) => (one.formats ?? FORMATS).map((format) => [`${name} ${format}`, format, one])),
  ].filter(([name]) => !only || only.test(name));
  const cases = described.map(([name, format, one], index) => ({ name, isSplit: one.isSplit, ...layOut(place, `case-${index}`, format, one) }));
  const expected = await deployed(place, cases);
  const actual = await live(cases);
  for (const { id, name, isSplit = true } of cases) {
    await t.test(name, () => {
      const { failed, ...answer } = expected.get(id);
      const { first, second } = actual.get(id);
      for (const [when, one] of [["the first worker", first], ["after a save", second]]) {
        if (failed) {
          assert.ok(one.failed?.includes(failed), `${when}: ${JSON.stringify(one)} instead of ${failed}`);
        } else {
          const { built, isSplit: _, ...answered } = one;
          assert.deepEqual(answered, answer, when);
        }
      }
      if (!failed) assert.equal(first.isSplit, false, "the first bundle is whole");
      if (!failed) assert.equal(second.isSplit, isSplit, "whether packages are in a vendor bundle");
    });
  }
});
