// Bursts of calls against quotas of the account: `make bench`. So many calls a second, with as many posts as they take, without a quota that
// matters and with the documented ones, and with one that is much smaller. What counts are the ratios to the first, in the same process.

import { bursts, shown } from "../tests/counterpart/bursts.mjs";
import { Deployed } from "../tests/counterpart/deployed.mjs";

const NONE = { rate: 1e9, burst: 1e9, retryAfterSeconds: 1 };
const QUOTAS = {
  "10,000 a second, 5,000 at once": { rate: 10_000, burst: 5_000 },
  "2,500 a second, 1,250 at once": { rate: 2_500, burst: 1_250 },
  "50 a second, 20 at once": { rate: 50, burst: 20 },
};
/** A call takes two posts, and a third when it takes longer. */
const POSTS = 2;
const SECONDS = 4;

const deployed = await Deployed.start();
try {
  const { counterpart } = deployed;
  await counterpart.settings({ functions: { concurrency: 400 } });
  await bursts(deployed, { calls: 40, atOnce: 20 });
  for (const perSecond of [10, 100, 500]) {
    const run = async (quota) => {
      await counterpart.settings({ gateway: { ...NONE, ...quota } });
      // No more than can be answered in the time that functions have.
      return bursts(deployed, { calls: (perSecond / POSTS) * SECONDS, perSecond: perSecond / POSTS });
    };
    const free = await run(NONE);
    console.log(`${perSecond} posts a second, without a quota: ${shown(free, free)}`);
    for (const [name, quota] of Object.entries(QUOTAS)) console.log(`  ${name}: ${shown(await run(quota), free)}`);
  }
} finally {
  await deployed.close();
}
