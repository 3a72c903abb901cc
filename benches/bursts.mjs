// Calls while the account's quota of requests is used by all its APIs: `make bench`. So many posts a second are asked of them beside the calls, with
// the documented quotas, and with one that leaves ten a second. What counts are the ratios to calls without a quota that matters, in the same process.

import { bursts, shown } from "../tests/counterpart/bursts.mjs";
import { Deployed } from "../tests/counterpart/deployed.mjs";
import { Figures } from "./support/figures.mjs";

const NONE = { rate: 1e9, burst: 1e9, retryAfterSeconds: 1, others: 0 };
const CALLS = { calls: 60, atOnce: 8 };

const figures = new Figures("bursts");
const deployed = await Deployed.start();
try {
  const { counterpart } = deployed;
  await counterpart.settings({ functions: { concurrency: CALLS.atOnce } });
  await bursts(deployed, CALLS);
  for (const others of [10, 100, 500]) {
    const run = async (quota) => {
      await counterpart.settings({ gateway: { ...NONE, ...quota } });
      return bursts(deployed, CALLS);
    };
    const free = await run({});
    const medians = { "without a quota": free.median };
    console.log(`${others} posts a second of others; without a quota: ${shown(free, free)}`);
    const small = { rate: others + 10, burst: 20 };
    const quotas = { "10,000 a second, 5,000 at once": { rate: 10_000, burst: 5_000 }, "2,500 a second, 1,250 at once": { rate: 2_500, burst: 1_250 }, "ten more than that a second, 20 at once": small };
    for (const [name, quota] of Object.entries(quotas)) {
      const found = await run({ ...quota, others });
      medians[name] = found.median;
      console.log(`  ${name}: ${shown(found, free)}`);
    }
    figures.values(`median of ${CALLS.calls} calls, ${others} posts a second of others`, "ms", medians);
  }
} finally {
  await deployed.close();
}
figures.save();
