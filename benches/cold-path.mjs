// What the way costs the first call of an environment, where each message takes its time and connections are encrypted: `make bench`.
//
// Ours reaches for the table, API Gateway and `@connections` while its environment is initialised, which is not taken from the function's
// time. Beside it are environments that are initialised long before their first call, and do all that when it comes.

import { Deployed } from "../tests/counterpart/deployed.mjs";
import { Figures, inTurns } from "./support/figures.mjs";

const ROUNDS = Number(process.env.ROUNDS ?? 8);
const AHEAD = "nothing ahead";
const SIDES = { ours: "on-demand", [AHEAD]: "provisioned-concurrency" };

/** How long each message is under way, and what a first call is to take of its function's time, in ms. */
const DELAYS = [[0], [30, 500], [150, 1_000], [250, 1_600]];

const figures = new Figures("cold-path");
let table;
// On AWS, DynamoDB is another host than the API.
const prepare = async (counterpart) => {
  table = await counterpart.way();
  await counterpart.settings({ functions: { environment: { AWS_ENDPOINT_URL_DYNAMODB: table.endpoint } } });
};
const deployed = await Deployed.start({ tls: "h2", prepare });
try {
  for (const [delayMs, aim] of DELAYS) {
    for (const way of [table, deployed.counterpart.network.functions]) await way.set({ delayMs });
    const seen = { ours: [], [AHEAD]: [] };
    const first = (side) => async (round) => {
      const [all, own] = await firstCall(SIDES[side]);
      if (round >= 0) seen[side].push(all);
      return own;
    };
    const own = await inTurns(Object.fromEntries(Object.keys(SIDES).map((side) => [side, first(side)])), { rounds: ROUNDS });
    figures.times(`${delayMs} ms each way: first call, of the function's time`, own, aim);
    figures.times(`${delayMs} ms each way: first call, with the initialisation`, seen);
  }
} finally {
  await deployed.close();
}
figures.save();

/** A call that finds no environment: how long it takes with its initialisation, and from when the function has its event. */
async function firstCall(initialization) {
  const { counterpart, names } = deployed;
  await counterpart.settings({ functions: { initialization } });
  await counterpart.ask("recycle", { name: names.echo });
  await counterpart.settled();
  const from = counterpart.records.length;
  const { error, bytes } = await deployed.call("echo", { a: 1 });
  if (error) throw new Error(String(bytes));
  await counterpart.settled();
  const [called, given, answered] = ["called", "given", "answered"].map((kind) => counterpart.recorded({ kind, function: names.echo }, from)[0].time);
  return [answered - called, answered - given];
}
