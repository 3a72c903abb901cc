// The documentation: every link leads somewhere, and what it says of the command line is what the program has.
//
// Environment: SST_BINARY, the program; target/debug/sst if not set.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const binary = path.resolve(repository, process.env.SST_BINARY || "target/debug/sst");
const COMMANDS = "docs/commands.md";
/** The section of COMMANDS for options that all commands have. */
const COMMON = "Options of every command";

/** Files below a directory, relative to the repository. */
function filesBelow(directory, wanted) {
  const found = [];
  for (const entry of fs.readdirSync(path.join(repository, directory), { withFileTypes: true })) {
    if (["node_modules", "target"].includes(entry.name) || (entry.name.startsWith(".") && entry.isDirectory())) continue;
    const file = path.posix.join(directory, entry.name);
    if (entry.isDirectory()) found.push(...filesBelow(file, wanted));
    else if (wanted(entry.name)) found.push(file);
  }
  return found.sort();
}

const read = (file) => fs.readFileSync(path.join(repository, file), "utf8");
const isMarkdown = (name) => name.endsWith(".md");
const isReadme = (name) => name === "README.md";
const pages = filesBelow("docs", isMarkdown);
const documents = [
  ...["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"],
  ...pages,
  ...filesBelow("examples", isReadme),
  ...filesBelow("launch-configs", isReadme),
];

// ---- Markdown ----------------------------------------------------------------------------------------------------------

/** Lines as { text, fenced }, without comments. Line numbers stay what they are. */
function linesOf(markdown) {
  const text = markdown.replace(/<!--[^]*?-->/g, (comment) => comment.replace(/[^\n]/g, ""));
  let fence = null;
  return text.split(/\r?\n/).map((line) => {
    const mark = /^\s*(`{3,}|~{3,})/.exec(line)?.[1];
    if (mark && fence === null) fence = mark;
    else if (mark && line.trim() === mark && mark.startsWith(fence)) fence = null;
    else return { text: line, fenced: fence !== null };
    return { text: "", fenced: true };
  });
}

const CODE = /(`+)(?!`)(.*?[^`])\1(?!`)/g;
const withoutCode = (text) => text.replace(CODE, (code) => " ".repeat(code.length));
const codeIn = (text) => [...text.matchAll(CODE)].map((match) => match[2].trim());

/** The anchors that GitHub gives to headings. */
function anchorsOf(markdown) {
  const seen = new Map();
  const anchors = new Set();
  for (const { text, fenced } of linesOf(markdown)) {
    const heading = !fenced && /^#{1,6}\s+(.*?)\s*#*$/.exec(text)?.[1];
    if (!heading) continue;
    const plain = heading.replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/[*`]/g, "");
    const slug = plain.toLowerCase().replace(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, "").replaceAll(" ", "-");
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    anchors.add(count === 0 ? slug : `${slug}-${count}`);
  }
  return anchors;
}

/** The targets of links, pictures, and definitions, with their lines. */
function linksOf(markdown) {
  const found = [];
  linesOf(markdown).forEach(({ text, fenced }, index) => {
    if (fenced) return;
    const plain = withoutCode(text);
    const patterns = [
      // A title may follow, and a target with spaces is in angle brackets.
      /\]\(\s*(?:<([^>]*)>|([^\s()]*(?:\([^\s()]*\)[^\s()]*)*))(?:\s+["'(][^)]*)?\s*\)/g,
      /^\s{0,3}\[[^\]]+\]:\s*(?:<([^>]*)>|(\S+))/g,
      /<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=["']([^"']*)["']/g,
    ];
    for (const pattern of patterns) {
      for (const match of plain.matchAll(pattern)) found.push({ target: match[1] ?? match[2], line: index + 1 });
    }
  });
  return found;
}

/** What is wrong with a link; nothing if it is right, or leads out of the repository's files. */
function problemOf(file, target) {
  if (/^[a-z][a-z\d+.-]*:/i.test(target) || target.startsWith("//")) return null;
  const [, location, anchor] = /^([^#]*)(?:#(.*))?$/.exec(target);
  const wanted = location ? path.posix.join(path.posix.dirname(file), decodeURIComponent(location)) : file;
  if (location.startsWith("/") || wanted.startsWith("..")) return "leads out of the repository";
  if (!fs.existsSync(path.join(repository, wanted))) return `\`${wanted}\` does not exist`;
  if (anchor === undefined) return null;
  if (!isMarkdown(wanted)) return /^L\d+(-L\d+)?$/.test(anchor) ? null : `\`${wanted}\` has no headings`;
  return anchorsOf(read(wanted)).has(decodeURIComponent(anchor)) ? null : `\`${wanted}\` has no heading \`#${anchor}\``;
}

describe("links", () => {
  for (const file of documents) {
    test(file, () => {
      const problems = [];
      for (const { target, line } of linksOf(read(file))) {
        const problem = problemOf(file, target);
        if (problem) problems.push(`${file}:${line}: (${target}) ${problem}`);
      }
      assert.equal(problems.join("\n"), "");
    });
  }

  test("every page is reached from docs/index.md", () => {
    const reached = new Set();
    const visit = (file) => {
      if (reached.has(file)) return;
      reached.add(file);
      for (const { target } of linksOf(read(file))) {
        const location = target.split("#")[0];
        const next = path.posix.join(path.posix.dirname(file), location);
        if (location && pages.includes(next)) visit(next);
      }
    };
    visit("docs/index.md");
    assert.deepEqual(pages.filter((page) => !reached.has(page)), []);
  });
});

describe("the checker itself", () => {
  test("anchors are GitHub's", () => {
    const text = "# A `b` & c\n## What's new?\n```\n# no\n```\n## What's new?\n### [x](y.md) ⏸ z_1\n<!-- # no -->";
    assert.deepEqual([...anchorsOf(text)], ["a-b--c", "whats-new", "whats-new-1", "x--z_1"]);
  });

  test("links are found, those in code are not", () => {
    const text = '[a](b.md#c "t") `[x](y)` ![p](<d e.svg>) <img src="f.png"><source srcset="h.png">\n```\n[x](y)\n```\n[r]: g.md\n[a](b_(c).md)';
    assert.deepEqual(linksOf(text).map(({ target }) => target), ["b.md#c", "d e.svg", "f.png", "h.png", "g.md", "b_(c).md"]);
  });

  test("what leads nowhere is reported", () => {
    assert.equal(problemOf("README.md", "https://example.com/x#y"), null);
    assert.match(problemOf("README.md", "nowhere.md"), /does not exist/);
    assert.match(problemOf("docs/index.md", "../../x"), /out of the repository/);
    assert.match(problemOf("docs/index.md", "#nothing-like-this"), /no heading/);
  });
});

// ---- The command line --------------------------------------------------------------------------------------------------

/** What the program says of a command: its options (lists of names), arguments, and commands below it. */
function helpOf(words) {
  let text;
  try {
    // A wide terminal, so that no line is broken; without a terminal the width is the program's own, and the start of
    // a line is all that counts.
    text = execFileSync(binary, [...words, "--help"], { encoding: "utf8", env: { ...process.env, COLUMNS: "200", NO_COLOR: "1" } });
  } catch (error) {
    throw new Error(`\`${[binary, ...words, "--help"].join(" ")}\` fails: build the program first, or set SST_BINARY`, { cause: error });
  }
  return parseHelp(text);
}

function parseHelp(text) {
  const help = { options: [], arguments: [], commands: [] };
  let section = "";
  for (const line of text.split(/\r?\n/)) {
    const heading = /^(\S.*):$/.exec(line)?.[1];
    if (heading) section = heading;
    const option = /^ {2,8}(-\w|--[a-z][\w-]*)(?:, (--[a-z][\w-]*))?(?=[ =[<]|$)/.exec(line);
    // Options may be put under headings of their own.
    if (option && !["Arguments", "Commands"].includes(section)) help.options.push(option.slice(1).filter(Boolean));
    if (section === "Arguments") {
      const argument = /^ {2}[<[]([\w-]+)[>\]]/.exec(line)?.[1];
      if (argument) help.arguments.push(argument);
    }
    if (section === "Commands") {
      const command = /^ {2}([a-z][\w-]*)(?: |$)/.exec(line)?.[1];
      // Only clap's own command has no help of its own.
      if (command && command !== "help") help.commands.push(command);
    }
  }
  return help;
}

/** All commands of the program by their words, the program itself as "". */
function allHelp() {
  const all = new Map();
  const visit = (words) => {
    const help = helpOf(words);
    all.set(words.join(" "), help);
    for (const command of help.commands) visit([...words, command]);
  };
  visit([]);
  return all;
}

/** The sections of COMMANDS: heading → lines. */
function sectionsOf(markdown) {
  const sections = new Map([["", []]]);
  let current = sections.get("");
  linesOf(markdown).forEach((line, index) => {
    const heading = !line.fenced && /^##\s+(.*?)\s*$/.exec(line.text)?.[1];
    if (heading) {
      const name = heading.replaceAll("`", "");
      assert.ok(!sections.has(name), `${COMMANDS}:${index + 1}: a second section \`${name}\``);
      sections.set(name, (current = []));
    }
    current.push({ ...line, number: index + 1 });
  });
  return sections;
}

const isOption = (text) => /^-(\w$|\w[ =]|-[a-z])/.test(text);
const nameOf = (text) => /^(--[a-z][\w-]*|-\w)/.exec(text)[1];

/** What the tables of a section have in their first column. */
function documented(lines) {
  const found = { options: new Set(), words: new Set() };
  for (const { text, fenced } of lines) {
    if (fenced || !text.startsWith("|")) continue;
    for (const code of codeIn(text.split(/(?<!\\)\|/)[1])) {
      if (isOption(code)) found.options.add(nameOf(code));
      else found.words.add(code.replace(/[<>[\].…]/g, ""));
    }
  }
  return found;
}

/** Calls of the program in code, e.g. `npx sst start --local`: lists of words, with their lines. */
function callsIn(lines) {
  const calls = [];
  for (const { text, fenced, number } of lines) {
    const codes = fenced ? [text.trim()] : codeIn(text);
    for (const code of codes) {
      const call = /^(?:\$ )?(?:npx |yarn )?sst((?: +[^\s#|>&;]+)*)/.exec(code.replace(/ # .*/, ""));
      if (call && !/^sst[\w.-]/.test(code)) calls.push({ words: call[1].trim().split(/ +/).filter(Boolean), number });
    }
  }
  return calls;
}

/** What a call has that the program does not. */
function problemOfCall(words, all) {
  let name = "";
  let rest = words;
  while (rest.length > 0 && all.get(name).commands.includes(rest[0])) {
    name = `${name} ${rest[0]}`.trim();
    rest = rest.slice(1);
  }
  const help = all.get(name);
  if (help.commands.length > 0 && rest.length > 0 && /^[a-z][\w-]*$/.test(rest[0]) && rest[0] !== "help") {
    return `there is no command \`sst ${name ? `${name} ` : ""}${rest[0]}\``;
  }
  // Whatever it does not know itself goes to another program.
  const passesOn = help.arguments.some((argument) => /^(ARG|ARGS|ARGUMENTS?)$/.test(argument));
  if (passesOn) return null;
  const names = new Set([...help.options, ...all.get("").options].flat());
  const own = rest.includes("--") ? rest.slice(0, rest.indexOf("--")) : rest;
  const unknown = own.filter(isOption).map(nameOf).find((option) => !names.has(option));
  return unknown ? `\`sst ${name}\` has no option \`${unknown}\`` : null;
}

describe("commands", () => {
  const sections = sectionsOf(read(COMMANDS));
  const common = documented(sections.get(COMMON) ?? []);
  let all;
  const help = () => (all ??= allHelp());

  test("every command of the program is documented, and no other", () => {
    const ofProgram = [...help().keys()].filter(Boolean).map((name) => `sst ${name}`);
    const inDocument = [...sections.keys()].filter((name) => /^sst /.test(name));
    assert.deepEqual(inDocument.toSorted(), ofProgram.toSorted(), `the sections \`## sst …\` of ${COMMANDS}`);
  });

  test("options of every command", () => {
    const ofProgram = help().get("").options.flat();
    assert.deepEqual([...common.options].toSorted(), ofProgram.toSorted(), `the table of "${COMMON}" in ${COMMANDS}`);
  });

  test("every option and argument of each command is documented, and no other", () => {
    const problems = [];
    for (const [name, { options, arguments: positional }] of help()) {
      const lines = sections.get(`sst ${name}`);
      if (!name || !lines) continue;
      const { options: told, words } = documented(lines);
      const own = options.flat();
      const missing = own.filter((option) => !told.has(option) && !common.options.has(option));
      problems.push(...missing.map((option) => `\`sst ${name}\`: the option \`${option}\` is not documented`));
      problems.push(...[...told].filter((option) => !own.includes(option)).map((option) => `\`sst ${name}\` has no option \`${option}\``));
      const unnamed = positional.filter((argument) => !words.has(argument));
      problems.push(...unnamed.map((argument) => `\`sst ${name}\`: the argument \`${argument}\` is not documented`));
      // Outside of tables, too, a command's section speaks of its own options.
      for (const { text, fenced, number } of lines) {
        if (fenced) continue;
        const foreign = codeIn(text).filter(isOption).map(nameOf).filter((option) => !own.includes(option));
        problems.push(...foreign.map((option) => `${COMMANDS}:${number}: \`sst ${name}\` has no option \`${option}\``));
      }
    }
    assert.equal([...new Set(problems)].join("\n"), "");
  });

  test("calls in all pages are calls that the program understands", () => {
    const problems = [];
    for (const page of pages) {
      const lines = linesOf(read(page)).map((line, index) => ({ ...line, number: index + 1 }));
      for (const { words, number } of callsIn(lines)) {
        const problem = problemOfCall(words, help());
        if (problem) problems.push(`${page}:${number}: ${problem}`);
      }
    }
    assert.equal(problems.join("\n"), "");
  });

  test("help is read as clap writes it", () => {
    const text = [
      ...["About", "", "Usage: sst x [OPTIONS] <FUNCTION> [ARGUMENT]...", "", "Commands:", "  sub-one  Does", "  help     Print", ""],
      ...["Arguments:", "  <FUNCTION>     The function", "  [ARGUMENT]...  e.g. `--runInBand`", "", "Options:"],
      ...["  -e, --event <FILE>   A file", "                       --not-this", "      --yes            Yes", "  -q                   Quiet"],
      ...["", "More options:", "      --color[=<WHEN>]", "          When"],
    ].join("\n");
    assert.deepEqual(parseHelp(text), {
      options: [["-e", "--event"], ["--yes"], ["-q"], ["--color"]],
      arguments: ["FUNCTION", "ARGUMENT"],
      commands: ["sub-one"],
    });
  });

  test("a call that the program does not understand is found", () => {
    const fake = new Map([
      ["", { options: [["-h", "--help"]], arguments: [], commands: ["start", "test"] }],
      ["start", { options: [["--local"]], arguments: [], commands: [] }],
      ["test", { options: [], arguments: ["ARGUMENT"], commands: [] }],
    ]);
    const lines = linesOf("`npx sst start --local` `sst strat` `sst start --lokal`\n```sh\nnpx sst test --runInBand\nsst.json\n```");
    const problems = callsIn(lines).map(({ words }) => problemOfCall(words, fake));
    assert.deepEqual(problems, [null, "there is no command `sst strat`", "`sst start` has no option `--lokal`", null]);
  });
});
