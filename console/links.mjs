// Places in source files that a text names, as links that an editor opens.

/** What a file's name has to end in to be taken for one, so that `example.com:80` is none. */
const ENDINGS = "[cm]?[jt]sx?|py|go|rs|java|kts?|rb|cs|php|swift|scala|json|ya?ml|html|css|sh";
/** What is in no file's name here. A place begins behind it and nowhere else, or a long word would be looked at from each of its letters. */
const BOUND = "\\s()\\[\\]'\"`:<>|*?";
const PLACES = new RegExp(`(?<![^${BOUND}])(?:file://)?([^${BOUND}]+\\.(?:${ENDINGS})):(\\d+)(?::(\\d+))?|File "([^"\\n]+)", line (\\d+)`, "g");

/**
 * The address at which an editor opens a place, or undefined if that is not inside the project: what a text says is not ours, and may name
 * any file.
 */
export function addressOf(root, path, line, column) {
  if (!root || path.includes("\\")) return undefined;
  const absolute = path.startsWith("/") ? path : `${root}/${path}`;
  const parts = [];
  for (const part of absolute.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  const resolved = `/${parts.join("/")}`;
  if (!resolved.startsWith(`${root.replace(/\/$/, "")}/`)) return undefined;
  const place = line === undefined ? "" : `:${line}${column === undefined ? "" : `:${column}`}`;
  return `vscode://file/${parts.map(encodeURIComponent).join("/")}${place}`;
}

/** A text in pieces: strings, and `{ text, address }` for each place that has one. */
export function pieces(root, text) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(PLACES)) {
    const [whole, file, line, column, python, pythonLine] = match;
    const address = addressOf(root, file ?? python, line ?? pythonLine, column);
    if (!address) continue;
    if (match.index > end) found.push(text.slice(end, match.index));
    found.push({ text: whole, address });
    end = match.index + whole.length;
  }
  if (end < text.length) found.push(text.slice(end));
  return found;
}
