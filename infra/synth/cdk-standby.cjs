// The CDK CLI with its code loaded, which takes it a second, before it is known what it has to do. What it is told then is one line of JSON
// on standard input: the arguments, the directory, and the variables that are set or taken away (null). From there on it is as if the CLI,
// whose script is the only argument, had been started so.

const path = require("node:path");
const process = require("node:process");
const readline = require("node:readline");

const [script] = process.argv.slice(2);

// The CLI does the same before it loads anything.
process.setSourceMapsEnabled(true);
try {
  require(path.resolve(script, "../../lib"));
} catch {
  // It is said by the script itself, when it is told what to do.
}

const lines = readline.createInterface({ input: process.stdin });
lines.once("line", (line) => {
  lines.close();
  process.stdin.destroy();
  const { arguments: words, directory, environment } = JSON.parse(line);
  for (const [name, value] of Object.entries(environment)) {
    if (value === null) delete process.env[name];
    else process.env[name] = value;
  }
  process.chdir(directory);
  process.argv = [process.argv[0], script, ...words];
  require(script);
});
