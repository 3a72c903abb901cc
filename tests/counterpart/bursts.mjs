// Many calls, and what they cost: for tests and for `benches/bursts.mjs`.

/** Makes so many calls, some at a time. Returns how long all of them took, in ms, how long each, how many posts there were and how many were throttled. */
export async function bursts(deployed, { calls, atOnce }) {
  const { counterpart } = deployed;
  await counterpart.settled();
  const from = counterpart.records.length;
  const durations = [];
  const failures = [];
  const ids = [];
  const one = async (number) => {
    const began = performance.now();
    try {
      const { error, bytes, value, requestId } = await deployed.call("count", { number });
      if (error || value.number !== number) failures.push(bytes.toString());
      else ids.push(requestId);
    } catch (error) {
      failures.push(String(error));
    }
    durations.push(performance.now() - began);
  };
  const began = performance.now();
  let number = 0;
  const caller = async () => {
    while (number < calls) await one(number++);
  };
  await Promise.all(Array.from({ length: atOnce }, caller));
  const took = performance.now() - began;
  await counterpart.settled();
  durations.sort((a, b) => a - b);
  const count = (kind) => counterpart.recorded({ kind }, from).length;
  return { took, median: durations[durations.length >> 1], longest: durations.at(-1), posts: count("post"), throttled: count("throttled"), failures, ids };
}

/** What came of it, beside what came of it without a quota that matters. */
export function shown({ took, median, longest, posts, throttled, failures }, free) {
  const times = (one, other) => `${Math.round(one)} ms (${(one / other).toFixed(1)} times)`;
  return (
    `${posts} posts (${Math.round((posts / took) * 1000)} a second), ${throttled} throttled, ${failures.length} calls failed; ` +
    `median ${times(median, free.median)}, longest ${times(longest, free.longest)}, all ${times(took, free.took)}`
  );
}
