// CDK apps with functions in Python, Go, Rust and others: nothing is built for them, and their sources are known.

import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, it, test } from "node:test";

import languages from "../../infra/synth/languages.cjs";
import { copy, edit, fixture, functionsOf, synthesise } from "./support.mjs";

const APP = "cdk-languages";
const STACK = "languages";

/** What a construct could call to build something, and must not. */
const UNWANTED = ["docker", "go", "cargo", "uv", "poetry", "pipenv", "pip", "python", "python3", "bash", "git", "java", "dotnet"];
const FAILING = Object.fromEntries(UNWANTED.map((name) => [name, "exit 1"]));

/** Programs that claim to have built something, each in the way that the constructs expect of it. */
const PRETENDING = {
  docker: `[ "$1" != image ] || exit 1
  for argument; do
    case "$argument" in *:/asset-output:*) echo built > "\${argument%%:/asset-output:*}/built" ;; esac
  done`,
  go: `[ "$1" != version ] || echo "go version go1.24.0 linux/amd64"
    while [ $# -gt 0 ]; do [ "$1" != -o ] || echo "built by go" > "$2"; shift; done`,
  cargo: `while [ $# -gt 0 ]; do [ "$1" != --lambda-dir ] || echo "built by cargo" > "$2/bootstrap"; shift; done`,
  bash: 'exec /bin/sh "$@"',
};

describe("functions in other languages than JavaScript", () => {
  const project = fixture(APP);
  const { status, stderr, calls, records, templates } = synthesise(project, { programs: FAILING });
  const recordOf = (id) => records[`${STACK}/${id}`];

  it("synthesise without building anything", () => {
    assert.equal(stderr, "");
    assert.equal(status, 0);
    assert.deepEqual(calls, []);
  });

  it("are recorded, all of them", () => {
    const isLayer = (id) => records[id].kind === "LayerVersion";
    const recorded = Object.keys(records).sort();
    const functions = recorded.filter((id) => !isLayer(id));
    assert.equal(functions.length, 14);
    assert.deepEqual(functions, Object.keys(functionsOf(templates[STACK])).sort());
    const resources = Object.values(templates[STACK].Resources);
    assert.equal(recorded.filter(isLayer).length, resources.filter(({ Type }) => Type === "AWS::Lambda::LayerVersion").length);
  });

  it("are run from a directory if they are PythonFunctions", () => {
    assert.deepEqual(recordOf("Python"), {
      path: `${STACK}/Python`,
      kind: "PythonFunction",
      live: true,
      runtime: "python3.13",
      handler: "index.handler",
      entry: null,
      export: null,
      root: null,
      assetPath: path.join(project, "python"),
      inline: false,
      image: false,
      placeholder: true,
      bundling: {},
      build: null,
      unheeded: [],
      making: null,
    });
    // The file and the function of it that were named, instead of the usual ones.
    assert.equal(recordOf("PythonNamed").handler, "app.greeting.greet");
    assert.equal(recordOf("PythonNamed").assetPath, path.join(project, "python"));
  });

  it("are run from a package of a module if they are GoFunctions", () => {
    assert.deepEqual(recordOf("Go"), {
      path: `${STACK}/Go`,
      kind: "GoFunction",
      live: true,
      runtime: "provided.al2023",
      handler: "bootstrap",
      entry: path.join(project, "go/cmd/hello"),
      export: null,
      root: path.join(project, "go"),
      assetPath: null,
      inline: false,
      image: false,
      placeholder: true,
      bundling: {},
      build: { environment: { CGO_ENABLED: "0" } },
      unheeded: [],
      making: null,
    });
    assert.equal(recordOf("GoFile").entry, path.join(project, "go/cmd/hello/main.go"));
    assert.equal(recordOf("GoFile").root, path.join(project, "go"));
    // GOARCH is about the machine that the function is deployed to.
    assert.deepEqual(recordOf("GoFile").build, {
      flags: ["-ldflags", "-s -w", "-tags=live"],
      environment: { CGO_ENABLED: "1", GOFLAGS: "-trimpath", GOPROXY: "direct,off" },
    });
  });

  it("are run from a Cargo package if they are RustFunctions", () => {
    assert.deepEqual(recordOf("Rust"), {
      path: `${STACK}/Rust`,
      kind: "RustFunction",
      live: true,
      runtime: "provided.al2023",
      handler: "bootstrap",
      entry: path.join(project, "rust/Cargo.toml"),
      export: null,
      root: path.join(project, "rust"),
      assetPath: null,
      inline: false,
      image: false,
      placeholder: true,
      bundling: {},
      build: { binary: "hello" },
      unheeded: [],
      making: null,
    });
    // Of the flags those are left that `cargo build` knows as well.
    assert.deepEqual(recordOf("RustOptions").build, {
      flags: ["--locked"],
      environment: { RUSTFLAGS: "-C debuginfo=1" },
      binary: "hello",
      profile: "small",
      features: ["loud", "polite"],
    });
  });

  it("are run from the directory that a container would bundle, also if they share it", () => {
    for (const id of ["Bundled", "BundledToo"]) {
      const { kind, assetPath, placeholder } = recordOf(id);
      assert.deepEqual([kind, assetPath, placeholder], ["Function", path.join(project, "python"), true], id);
    }
  });

  it("are run from their asset if they are not bundled", () => {
    const expected = {
      PlainPython: ["python3.13", "index.handler", "python"],
      Provided: ["provided.al2023", "bootstrap", "provided"],
      Java: ["java21", "example.Handler::handleRequest", "java/app.jar"],
      Dotnet: ["dotnet8", "Example::Function::Handle", "dotnet"],
    };
    for (const [id, [runtime, handler, directory]] of Object.entries(expected)) {
      const record = recordOf(id);
      assert.deepEqual([record.runtime, record.handler], [runtime, handler]);
      assert.equal(record.assetPath, path.join(project, directory));
      assert.deepEqual([record.kind, record.placeholder, record.entry, record.build], ["Function", false, null, null], id);
    }
  });

  it("must not be deployed themselves if only a layer of theirs is missing", () => {
    const { assetPath, placeholder } = recordOf("Layered");
    assert.deepEqual({ assetPath, placeholder }, { assetPath: path.join(project, "python"), placeholder: true });
  });

  it("are left alone if they are images", () => {
    const { image, assetPath, entry, placeholder } = recordOf("Image");
    assert.deepEqual({ image, assetPath, entry, placeholder }, { image: true, assetPath: null, entry: null, placeholder: false });
  });
});

test("nothing but the assets differs from the template without us", (context) => {
  const project = copy(context, APP);
  const usual = synthesise(project, { programs: PRETENDING, hook: false });
  assert.equal(usual.status, 0, usual.stderr);
  assert.deepEqual(usual.records, {});
  assert.ok(usual.calls.some((call) => call.startsWith("docker run ")), "it did build something");
  const ours = synthesise(project, { programs: FAILING });
  assert.equal(ours.status, 0, ours.stderr);
  assert.deepEqual(withoutAssets(ours.templates), withoutAssets(usual.templates));
  const { Properties: properties } = functionsOf(ours.templates[STACK])[`${STACK}/Python`];
  assert.notDeepEqual(properties.Code, functionsOf(usual.templates[STACK])[`${STACK}/Python`].Properties.Code);
});

test("functions that are deployed themselves are built as usual, and no others", (context) => {
  const project = copy(context, APP);
  const named = ["Python", "Go", "RustOptions", "BundledToo"].map((id) => `${STACK}/${id}`);
  const { status, stderr, calls, records, templates, directory } = synthesise(project, { bundle: named, programs: PRETENDING });
  assert.equal(status, 0, stderr);
  const contents = (id) => {
    const { Metadata: metadata } = functionsOf(templates[STACK])[id];
    return fs.readdirSync(path.resolve(directory, metadata["aws:asset:path"]));
  };
  const built = { Python: ["built"], Go: ["bootstrap"], RustOptions: ["bootstrap"], BundledToo: ["built"] };
  for (const [id, files] of Object.entries(built)) {
    assert.equal(records[`${STACK}/${id}`].placeholder, false, id);
    assert.deepEqual(contents(`${STACK}/${id}`), files, id);
  }
  for (const id of ["PythonNamed", "GoFile", "Rust", "Bundled", "Layered"]) {
    assert.equal(records[`${STACK}/${id}`].placeholder, true, id);
    if (id !== "Layered") assert.deepEqual(contents(`${STACK}/${id}`), ["index.js"], id);
  }
  const builds = (beginning) => calls.filter((call) => call.startsWith(beginning));
  assert.equal(builds("go build ").length, 1);
  assert.equal(builds("docker run ").length, 2);
  assert.equal(builds("docker build ").length, 1, "the image that `Python` is bundled in");
  // Besides the function that was named, the extension that is a layer of it.
  const [rust, extension, ...more] = builds("cargo lambda build ");
  assert.match(rust, /--profile small .*--features loud,polite --compiler cargo --arm64 --locked/);
  assert.match(extension, /--extension/);
  assert.deepEqual(more, []);
});

test("a layer is built for the functions that are deployed themselves", (context) => {
  const project = copy(context, APP);
  const usual = synthesise(project, { programs: PRETENDING, hook: false });
  const named = { bundle: [`${STACK}/Layered`], programs: PRETENDING };
  const { status, stderr, calls, records, templates, directory } = synthesise(project, named);
  assert.equal(status, 0, stderr);
  assert.equal(calls.filter((call) => call.startsWith("docker run ")).length, 1);
  assert.equal(records[`${STACK}/Layered`].placeholder, false);
  assert.equal(records[`${STACK}/PythonNamed`].placeholder, true);
  const layers = layersOf(templates[STACK]);
  assert.deepEqual(withoutAssets(layers.PythonLayer), withoutAssets(layersOf(usual.templates[STACK]).PythonLayer));
  const contents = (id) => fs.readdirSync(path.join(directory, layers[id].Metadata["aws:asset:path"]));
  const hash = layers.PythonLayer.Metadata["aws:asset:path"].replace("asset.", "");
  assert.equal(layers.PythonLayer.Properties.Content.S3Key, `${hash}.zip`);
  assert.deepEqual(contents("PythonLayer"), ["built"]);
  assert.deepEqual(contents("RustExtension"), ["index.js"]);
  assert.deepEqual(contents("BundledLayer"), ["index.js"]);
});

test("everything is built if everything is deployed", (context) => {
  const project = copy(context, APP);
  const usual = synthesise(project, { programs: PRETENDING, hook: false });
  const everything = synthesise(project, { bundle: ["*"], programs: PRETENDING });
  assert.equal(everything.status, 0, everything.stderr);
  assert.ok(Object.values(everything.records).every(({ placeholder }) => !placeholder));
  const programs = (calls) => calls.map((call) => call.split(" ").slice(0, 2).join(" ")).sort();
  assert.deepEqual(programs(everything.calls), programs(usual.calls));
});

test("what is wrong with an entry is still said by the construct", (context) => {
  const project = copy(context, APP);
  edit(project, "lib/languages-stack.js", 'manifestPath: "rust/Cargo.toml"', 'manifestPath: "nowhere"');
  const { status, stderr } = synthesise(project, { programs: FAILING });
  assert.notEqual(status, 0);
  assert.match(stderr, /nowhere\/Cargo\.toml/);
});

test("of the flags for `cargo lambda` those are taken over that `cargo` knows", () => {
  const flags = ["--release", "--bin=tool", '-F "one two" --features=three', "-o zip --target x86_64-unknown-linux-gnu", "-p pack"];
  assert.deepEqual(languages.rust({ manifestPath: "/crate/Cargo.toml", cargoLambdaFlags: flags }), {
    kind: "RustFunction",
    isScript: false,
    entry: "/crate/Cargo.toml",
    root: "/crate",
    build: { flags: ["-p", "pack"], binary: "tool", profile: "release", features: ["one", "two", "three"] },
    unheeded: [],
  });
  assert.equal(languages.rust({ manifestPath: "/crate/Cargo.toml" }).build, null);
});

test("flags that are quoted for a shell are single arguments", () => {
  const goBuildFlags = ["-ldflags \"-X 'main.version=1 2' -s\"", "-tags 'a,b' -o=\\ x"];
  const { build, root } = languages.go({ entry: "/module/cmd", moduleDir: "/module", goBuildFlags });
  assert.deepEqual(build.flags, ["-ldflags", "-X 'main.version=1 2' -s", "-tags", "a,b", "-o= x"]);
  assert.equal(root, "/module");
});

/** The templates without what says which asset a resource has. */
function withoutAssets(value) {
  const dropped = ["Code", "Content", "aws:asset:path"];
  return JSON.parse(JSON.stringify(value, (key, part) => (dropped.includes(key) ? undefined : part)));
}

/** The layers of a template, by the construct's own name. */
function layersOf(template) {
  const layers = Object.values(template.Resources).filter(({ Type }) => Type === "AWS::Lambda::LayerVersion");
  return Object.fromEntries(layers.map((layer) => [layer.Metadata["aws:cdk:path"].split("/")[1], layer]));
}
