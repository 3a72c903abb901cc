// What the page's modules make of texts: places in files, documents in events, differences, and lines for a shell.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, test } from "node:test";

import { asCurl, asInvoke, asLaunchEntry } from "../../console/copies.mjs";
import { Decoded, decode } from "../../console/decode.mjs";
import { write } from "../../console/document.mjs";
import { comparable, diff } from "../../console/diff.mjs";
import { duration, outcome, visible } from "../../console/format.mjs";
import { addressOf, pieces } from "../../console/links.mjs";

const ROOT = "/home/me/my app";
const base64 = (text) => Buffer.from(text).toString("base64");

test("only places inside the project become links", () => {
  const inside = "vscode://file/home/me/my%20app/src/a.js:4:11";
  for (const [path, expected] of [
    ["src/a.js", inside],
    ["./src/a.js", inside],
    [`${ROOT}/src/a.js`, inside],
    [`${ROOT}/lib/../src/a.js`, inside],
    ["../other/a.js", undefined],
    [`${ROOT}/../../../etc/a.js`, undefined],
    ["/etc/a.js", undefined],
    [`${ROOT}-other/a.js`, undefined],
    ["src\\a.js", undefined],
    ["src/?x=#.js", "vscode://file/home/me/my%20app/src/%3Fx%3D%23.js:4:11"],
  ]) {
    assert.equal(addressOf(ROOT, path, 4, 11), expected, path);
  }
  assert.equal(addressOf(undefined, "src/a.js", 4), undefined);
});

test("places are found in what languages write of errors", () => {
  const linked = (text) => pieces(ROOT, text).filter((piece) => typeof piece === "object").map((piece) => piece.address.replace("vscode://file/home/me/my%20app/", ""));
  for (const [text, expected] of [
    ["    at handler (src/index.js:4:11)", ["src/index.js:4:11"]],
    ["    at async /home/me/other/x.mts:1:2", []],
    ["    at file:///etc/x.mjs:1:2", []],
    ['  File "src/app.py", line 12, in handler', ["src/app.py:12"]],
    ["\t/home/me/other.go:9 +0x1d\n\tmain.go:9 +0x1d", ["main.go:9"]],
    ["src/main.rs:4:5: and src/lib.rs:7", ["src/main.rs:4:5", "src/lib.rs:7"]],
    ["http://example.com:80/ example.com:80 12:30:04", []],
    ["javascript:alert(1) vscode://x/y.js:1", []],
  ]) {
    assert.deepEqual(linked(text), expected, text);
    assert.equal(pieces(ROOT, text).map((piece) => piece.text ?? piece).join(""), text);
  }
});

test("a long word takes no longer than many short ones", () => {
  for (const word of ["x".repeat(500_000), "x.js".repeat(125_000), "x.js:".repeat(100_000), 'File "'.repeat(80_000)]) {
    const begin = performance.now();
    assert.equal(pieces(ROOT, word).map((piece) => piece.text ?? piece).join("").length, word.length);
    const took = performance.now() - begin;
    assert.ok(took < 1_000, `${word.slice(0, 8)}…: ${took} ms`);
  }
});

test("documents inside of events are found", () => {
  const plain = (value) => {
    if (value instanceof Decoded) return { [value.how]: plain(value.value) };
    if (Array.isArray(value)) return value.map(plain);
    return value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)])) : value;
  };
  for (const [event, expected] of [
    [{ a: 1, b: "text", c: "{broken" }, undefined],
    [{ body: '{"a":1}' }, { body: { "JSON in a string": { a: 1 } } }],
    [{ body: base64('{"a":1}'), isBase64Encoded: true }, { body: { "JSON in base64": { a: 1 } }, isBase64Encoded: true }],
    [{ body: base64("a=1"), isBase64Encoded: true }, { body: { base64: "a=1" }, isBase64Encoded: true }],
    [{ body: Buffer.from([255, 254]).toString("base64"), isBase64Encoded: true }, undefined],
    [{ body: base64('{"a":1}'), isBase64Encoded: false }, undefined],
    [{ Records: [{ Sns: { Message: '{"a":"[1]"}' } }] }, { Records: [{ Sns: { Message: { "JSON in a string": { a: { "JSON in a string": [1] } } } } }] }],
    [{ Records: [{ kinesis: { data: base64("x"), partitionKey: "1" } }] }, { Records: [{ kinesis: { data: { base64: "x" }, partitionKey: "1" } }] }],
  ]) {
    const { value, found } = decode(event);
    assert.deepEqual([found, plain(value)], [expected !== undefined, expected ?? event]);
  }
});

test("a document is written as JSON is, up to a length", () => {
  const value = { a: [1, "two", null, true, [], {}], b: { "c\n": -1.5 }, d: [[{}]] };
  const text = (most) => write(value, most).words.map(([, text]) => text).join("");
  assert.equal(text(Infinity), JSON.stringify(value, null, 2));
  assert.equal(write(value, Infinity).isCut, false);
  for (const most of [5, 20, 60]) {
    assert.ok(text(Infinity).startsWith(text(most)) && text(most).length < most + 20, text(most));
    assert.equal(write(value, most).isCut, true);
  }
});

test("differences are lines that came and went", () => {
  const marks = (before, after) => diff(before, after).map(({ kind, text }) => ({ same: " ", removed: "-", added: "+" })[kind] + text).join("|");
  assert.equal(marks("a\nb\nc", "a\nx\nc"), " a|-b|+x| c");
  assert.equal(marks("a\nb", "b"), "-a| b");
  assert.equal(marks("a\na", "a\na\na"), " a| a|+a");
  assert.equal(marks("", "a"), "-|+a");
  assert.equal(comparable('{"b":1,"a":[{"d":1,"c":2}]}'), comparable('{"a":[{"c":2,"d":1}],"b":1}'));
  assert.equal(comparable("no JSON"), "no JSON");
});

describe("lines for a shell", () => {
  /** The words of a line, as a shell understands it. */
  const words = (line, program) => execFileSync("sh", ["-c", `${program}() { for word in "$@"; do printf '%s\\n' "$word"; done; }; ${line}`], { encoding: "utf8" }).trim().split("\n");
  const session = { control: "127.0.0.1:13557" };

  test("nothing of an event is run", () => {
    const event = JSON.stringify({ a: "'; touch /tmp/sst-was-run; '$(touch /tmp/sst-was-run)`x`" });
    assert.equal(words(asCurl("app/F n", event, session), "jq() { echo t; }; curl").at(-2), event);
    assert.equal(words(asCurl("app/F n", event, session), "jq() { echo t; }; curl").at(-1), "http://127.0.0.1:13557/api/v1/functions/app%2FF%20n/invoke");
    assert.deepEqual(words(asInvoke("F'n", event), "npx"), ["sst", "invoke", "F'n", "--event", "-"]);
  });

  test("an HTTP event is the request that it was", () => {
    const event = { rawPath: "/notes", rawQueryString: "a=1&b=%27", headers: { host: "x", "x-own": "it's" }, body: '{"a":1}', requestContext: { http: { method: "POST" }, domainName: "abc.example.com" } };
    const line = asCurl("F", JSON.stringify(event), session);
    assert.deepEqual(words(line, "curl"), ["--request", "POST", "--header", "x-own: it's", "--data-binary", '{"a":1}', "https://abc.example.com/notes?a=1&b=%27"]);
    const local = { ...event, requestContext: { ...event.requestContext, apiId: "abc" } };
    const endpoints = ["http://127.0.0.1:4566/other", "http://127.0.0.1:4566/_aws/execute-api/abc/"];
    assert.match(asCurl("F", JSON.stringify(local), { ...session, endpoints }), /'http:\/\/127\.0\.0\.1:4566\/_aws\/execute-api\/abc\/notes\?a=1&b=%27'$/);
  });

  test("an entry for an editor has the port of its function", () => {
    const session = { inspector: "127.0.0.1:9229", debugAdapter: "127.0.0.1:9231" };
    const entry = (one) => JSON.parse(asLaunchEntry(one, session));
    assert.equal(entry({ id: "a/F", language: "node" }).port, 9229);
    assert.deepEqual(entry({ id: "a/F", language: "python", debugPort: 9240 }).connect, { host: "127.0.0.1", port: 9240 });
    assert.equal(entry({ id: "a/F", language: "rust", debugPort: 9240 }).debugServer, 9231);
  });
});

test("texts are shown, and not obeyed", () => {
  assert.equal(visible("\u001b[31mred\u001b[0m\r\na\rb\tc\u202ed\u0000"), "red\na\\u{d}b\tc\\u{202e}d\\u{0}");
  assert.equal(visible(undefined), "undefined");
});

test("durations and outcomes are said as people say them", () => {
  assert.deepEqual([undefined, 0.04, 9.99, 12.4, 9_999, 12_300, 90_500].map(duration), ["", "0.0 ms", "10.0 ms", "12 ms", "9999 ms", "12.3 s", "1:30 min"]);
  assert.equal(outcome({ status: "paused", place: "src/a.js:4", leftMs: 61_000 }).text, "paused at src/a.js:4 (1:01 left)");
  assert.deepEqual(["200", "404", "500"].map((summary) => outcome({ status: "returned", summary }).kind), ["returned", "refused", "refused"]);
});
