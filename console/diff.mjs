// What differs between two texts, line by line.

/** Larger ones are not compared in the middle: it would take too long. */
const MOST_CELLS = 4_000_000;

/** Lines as `{ kind, text }`: `same`, `removed` or `added`. */
export function diff(before, after) {
  const one = before.split("\n");
  const other = after.split("\n");
  let start = 0;
  while (start < one.length && start < other.length && one[start] === other[start]) start += 1;
  let end = 0;
  while (end < one.length - start && end < other.length - start && one.at(-1 - end) === other.at(-1 - end)) end += 1;
  const line = (kind) => (text) => ({ kind, text });
  const middle = between(one.slice(start, one.length - end), other.slice(start, other.length - end));
  return [...one.slice(0, start).map(line("same")), ...middle, ...one.slice(one.length - end).map(line("same"))];
}

/** By the longest common subsequence. */
function between(one, other) {
  const line = (kind) => (text) => ({ kind, text });
  if (one.length * other.length > MOST_CELLS) return [...one.map(line("removed")), ...other.map(line("added"))];
  const width = other.length + 1;
  const longest = new Uint32Array((one.length + 1) * width);
  for (let i = one.length - 1; i >= 0; i -= 1) {
    for (let j = other.length - 1; j >= 0; j -= 1) {
      const below = longest[(i + 1) * width + j];
      const right = longest[i * width + j + 1];
      longest[i * width + j] = one[i] === other[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(below, right);
    }
  }
  const found = [];
  let [i, j] = [0, 0];
  while (i < one.length || j < other.length) {
    if (i < one.length && j < other.length && one[i] === other[j]) {
      found.push({ kind: "same", text: one[i] });
      i += 1;
      j += 1;
    } else if (j >= other.length || (i < one.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) {
      found.push({ kind: "removed", text: one[i] });
      i += 1;
    } else {
      found.push({ kind: "added", text: other[j] });
      j += 1;
    }
  }
  return found;
}

/** The same with keys in order, so that documents are compared by what they say. A text that is no document stays as it is. */
export function comparable(text) {
  const sorted = (value) => {
    if (Array.isArray(value)) return value.map(sorted);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
  };
  try {
    return JSON.stringify(sorted(JSON.parse(text)), null, 2);
  } catch {
    return text;
  }
}
