//! Builds real functions with the real esbuild, and runs what was built in Node.

use std::{process::Command, sync::Arc, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use sst::{
    builder::{Builder, Toolchain},
    core::event::{Artifact, BuildError, Event},
    ids::{FunctionId, Generation},
    process::Spawner,
    project::manifest::{BuildOptions, Bundling, FunctionSpec, Source},
    tasks::Tasks,
    tools::Tools,
    ui::{Ui, UiEvent},
};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(60);

/// A project on disk and a builder for it.
struct Project {
    root: Utf8PathBuf,
    builder: Builder,
    events: mpsc::UnboundedReceiver<Event>,
    generation: Generation,
    changed: Generation,
    _tasks: Tasks,
    shown: sst::ui::Events,
    _directory: tempfile::TempDir,
}

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let base =
            Utf8PathBuf::from_path_buf(directory.path().canonicalize().expect("a path")).expect("UTF-8");
        let crate_root = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
        let scripts = base.join("scripts");
        fs_err::create_dir(&scripts).expect("scripts");
        fs_err::os::unix::fs::symlink(crate_root.join("src/builder/sidecar"), scripts.join("builder"))
            .expect("a link");
        let node = which::which("node").expect("node is installed");
        let tools = Tools {
            node_version: "v20.0.0".to_owned(),
            node: Utf8PathBuf::from_path_buf(node).expect("UTF-8"),
            npm_root: npm_root(),
            scripts,
            stubs: Vec::new(),
        };
        let root = base.join("project");
        let (sender, events) = mpsc::unbounded_channel();
        let (ui, shown) = Ui::channel();
        let toolchain = Toolchain::new(
            Spawner::guarded_by(env!("CARGO_BIN_EXE_sst")),
            root.clone(),
            root.join(".sst/artifacts"),
            base.join("cache"),
            ui,
        );
        let mut tasks = Tasks::default();
        let builder = Builder::new(tools, toolchain, root.clone(), sender, &mut tasks);
        let generation = Generation(0);
        let project = Self {
            root,
            builder,
            events,
            generation,
            changed: generation,
            shown,
            _tasks: tasks,
            _directory: directory,
        };
        project.write("package.json", "{}");
        for (path, text) in files {
            project.write(path, text);
        }
        project
    }

    fn write(&self, path: &str, text: &str) {
        let file = self.root.join(path);
        fs_err::create_dir_all(file.parent().expect("a parent")).expect("a directory");
        fs_err::write(file, text).expect("a file");
    }

    fn entry(&self, path: &str, bundling: Bundling) -> Arc<FunctionSpec> {
        let file = self.root.join(path);
        let root = file.parent().expect("a parent").to_owned();
        let source =
            Source::Entry { path: file, export: "handler".to_owned(), root, bundling: bundling.into() };
        function(&format!("stack/{path}"), "index.handler", source)
    }

    /// Builds what was saved just now.
    async fn build(&mut self, spec: &Arc<FunctionSpec>) -> Result<Arc<Artifact>, BuildError> {
        self.changed = self.generation;
        self.build_next(spec).await
    }

    /// Builds one more, with nothing saved since the last one.
    async fn build_next(&mut self, spec: &Arc<FunctionSpec>) -> Result<Arc<Artifact>, BuildError> {
        self.generation = self.generation.next();
        self.builder.build(spec.clone(), self.generation, self.changed);
        self.built(spec, self.generation).await
    }

    async fn built(
        &mut self,
        spec: &FunctionSpec,
        expected: Generation,
    ) -> Result<Arc<Artifact>, BuildError> {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("the build ends");
        match event {
            Some(Event::Built { function, generation, result }) => {
                assert_eq!((&function, generation), (&spec.id, expected));
                result
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
}

fn function(id: &str, handler: &str, source: Source) -> Arc<FunctionSpec> {
    Arc::new(FunctionSpec {
        id: FunctionId::from(id),
        stack: "stack".to_owned(),
        logical_id: "Logical".to_owned(),
        language: if source.is_compiled() { "rust" } else { "node" }.into(),
        runtime: "nodejs20.x".to_owned(),
        handler: handler.to_owned(),
        source,
        timeout_s: Some(3),
        memory_mb: Some(128),
        environment: Vec::new(),
        json_log: None,
        layers: Vec::new(),
    })
}

/// The npm package with its dependencies, which are installed when they are missing.
fn npm_root() -> Utf8PathBuf {
    static INSTALLED: std::sync::Once = std::sync::Once::new();
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("npm");
    INSTALLED.call_once(|| {
        if !root.join("node_modules/esbuild").is_dir() {
            let status =
                Command::new("npm").args(["ci", "--prefix", root.as_str()]).status().expect("npm runs");
            assert!(status.success(), "`npm ci` failed");
        }
    });
    root
}

/// Runs the built handler in a new Node process; what it returns, as JSON.
fn run(artifact: &Artifact) -> String {
    let (output, errors) = try_run(artifact);
    assert!(errors.is_empty(), "{errors}");
    output
}

fn try_run(artifact: &Artifact) -> (String, String) {
    let (stem, export) = artifact.handler.split_once('.').expect("a handler");
    let file = ["mjs", "cjs", "js"]
        .map(|extension| artifact.task_root.join(format!("{stem}.{extension}")))
        .into_iter()
        .find(|file| file.is_file())
        .expect("the built file exists");
    let script = format!(
        "import({:?}).then(async (module) => {{ process.stdout.write(JSON.stringify(await module[{export:?}]())) }})",
        format!("file://{file}")
    );
    let output =
        Command::new("node").args(["--enable-source-maps", "-e", &script]).output().expect("node runs");
    (String::from_utf8(output.stdout).expect("UTF-8"), String::from_utf8(output.stderr).expect("UTF-8"))
}

#[tokio::test]
async fn typescript_becomes_a_file_that_runs_and_stays_in_its_place() {
    let mut project = Project::new(&[
        (
            "src/list.ts",
            "import { greet } from './greet';\nexport const handler = async (): Promise<string> => greet('a');",
        ),
        (
            "src/greet.ts",
            "enum Word { Hello = 'hello' }\nexport const greet = (name: string): string => `${Word.Hello} ${name}`;",
        ),
    ]);
    let spec = project.entry("src/list.ts", Bundling::default());
    let first = project.build(&spec).await.expect("it builds");
    assert_eq!(run(&first), r#""hello a""#);
    for input in ["src/list.ts", "src/greet.ts", "package.json"] {
        assert!(first.inputs.contains(&project.root.join(input)), "{input} is missing in {:?}", first.inputs);
    }
    assert!(first.task_root.starts_with(project.root.join(".sst/artifacts")));

    let again = project.build(&spec).await.expect("it builds");
    assert_eq!(again.fingerprint, first.fingerprint, "nothing changed");

    project.write("src/greet.ts", "export const greet = (name: string): string => `bye ${name}`;");
    let second = project.build(&spec).await.expect("it builds");
    assert_eq!((&second.task_root, &second.handler), (&first.task_root, &first.handler));
    assert_ne!(second.fingerprint, first.fingerprint);
    assert_eq!(run(&second), r#""bye a""#);

    project.builder.cool(&spec.id);
    let warmed = project.build(&spec).await.expect("it builds");
    assert_eq!(warmed.fingerprint, second.fingerprint, "forgetting a function changes nothing in it");
    project.builder.end().await;
}

#[tokio::test]
async fn stack_traces_name_the_source() {
    let mut project = Project::new(&[(
        "src/fail.ts",
        "interface Gone { a: string }\n\nexport const handler = async () => {\n  throw new Error('on line 4');\n};",
    )]);
    let spec = project.entry("src/fail.ts", Bundling::default());
    let artifact = project.build(&spec).await.expect("it builds");
    let (_, errors) = try_run(&artifact);
    let place = format!("{}:4:", project.root.join("src/fail.ts"));
    assert!(errors.contains(&place), "{place} is not in {errors}");
}

#[tokio::test]
async fn the_format_follows_the_entry() {
    let mut project = Project::new(&[
        ("cjs/a.js", "exports.handler = async () => typeof module.exports;"),
        ("esm/package.json", r#"{ "type": "module" }"#),
        (
            "esm/a.ts",
            "const value = await Promise.resolve('top');\nexport const handler = async () => value + typeof import.meta.url;",
        ),
        ("cjs/b.mts", "export const handler = async () => import.meta.url.length > 0;"),
    ]);
    for (entry, extension, result) in [
        ("cjs/a.js", "cjs", r#""object""#),
        ("esm/a.ts", "mjs", r#""topstring""#),
        ("cjs/b.mts", "mjs", "true"),
    ] {
        let spec = project.entry(entry, Bundling::default());
        let artifact = project.build(&spec).await.unwrap_or_else(|error| panic!("{entry}: {}", error.detail));
        assert!(artifact.task_root.join(format!("index.{extension}")).is_file(), "{entry}");
        assert_eq!(run(&artifact), result, "{entry}");
    }
    // Declared otherwise, it is another file; the former one must be gone.
    let esm = Bundling { format: Some("esm".to_owned()), ..Bundling::default() };
    project.write("cjs/a.js", "export const handler = async () => typeof import.meta.url;");
    let spec = project.entry("cjs/a.js", esm);
    let artifact = project.build(&spec).await.expect("it builds");
    assert!(!artifact.task_root.join("index.cjs").exists());
    assert_eq!(run(&artifact), r#""string""#);
}

#[tokio::test]
async fn the_options_of_the_project_count() {
    let mut project = Project::new(&[
        (
            "src/a.ts",
            "import text from './note.md';\ndeclare const VERSION: string;\nexport const handler = async () => text + VERSION + (globalThis as any).extra;",
        ),
        ("src/note.md", "note"),
    ]);
    let bundling = Bundling {
        loader: [(".md".to_owned(), "text".to_owned())].into(),
        define: [("VERSION".to_owned(), "\"7\"".to_owned())].into(),
        banner: Some("globalThis.extra = '!';".to_owned()),
        ..Bundling::default()
    };
    let spec = project.entry("src/a.ts", bundling);
    assert_eq!(run(&project.build(&spec).await.expect("it builds")), r#""note7!""#);
}

#[tokio::test]
async fn a_plugin_of_the_project_is_used_and_its_change_noticed() {
    let plugin = |value: u8| {
        format!(
            "export default [{{ name: 'v', setup(build) {{
               build.onResolve({{ filter: /^virtual:/ }}, ({{ path }}) => ({{ path, namespace: 'virtual' }}));
               build.onLoad({{ filter: /.*/, namespace: 'virtual' }}, () => (
                 {{ contents: 'export default {value}', watchFiles: ['/data/a.yml'], watchDirs: ['/data/all'] }}));
             }} }}];"
        )
    };
    let mut project = Project::new(&[
        ("src/a.ts", "import value from 'virtual:x';\nexport const handler = async () => value;"),
        ("plugins.mjs", &plugin(1)),
    ]);
    let file = project.root.join("plugins.mjs");
    let spec = project.entry("src/a.ts", Bundling { plugins: Some(file.clone()), ..Bundling::default() });
    let artifact = project.build(&spec).await.expect("it builds");
    assert_eq!(run(&artifact), "1");
    for input in [file.as_path(), "/data/a.yml".into(), "/data/all/*".into()] {
        assert!(artifact.inputs.contains(&input.to_owned()), "{input} is missing in {:?}", artifact.inputs);
    }
    project.write("plugins.mjs", &plugin(2));
    assert_eq!(run(&project.build(&spec).await.expect("it builds")), "2");
}

#[tokio::test]
async fn a_syntax_error_has_a_place_and_a_code_frame() {
    let mut project = Project::new(&[("src/list.ts", "export const handler = async () => 1;")]);
    let spec = project.entry("src/list.ts", Bundling::default());
    project.build(&spec).await.expect("it builds");
    project.write("src/list.ts", "const a = 1;\nexport const handler = async () => {\n  return a b;\n};\n");
    let error = project.build(&spec).await.expect_err("it is broken");
    assert_eq!(error.error_type, "Runtime.UserCodeSyntaxError");
    assert_eq!(error.summary, r#"src/list.ts:3:12: Expected ";" but found "b""#);
    assert!(error.detail.contains("3 │   return a b;"), "{}", error.detail);
    assert!(!error.detail.contains('\u{1b}'), "no colours");
    assert!(error.inputs.contains(&project.root.join("src/list.ts")));
    project.write("src/list.ts", "export const handler = async () => 2;");
    assert_eq!(run(&project.build(&spec).await.expect("it is mended")), "2");
}

#[tokio::test]
async fn a_missing_import_names_where_it_may_appear() {
    let mut project = Project::new(&[(
        "src/list.ts",
        "import { a } from '../lib/deep/a';\nexport const handler = async () => a;",
    )]);
    let spec = project.entry("src/list.ts", Bundling::default());
    let error = project.build(&spec).await.expect_err("it is missing");
    assert_eq!(error.error_type, "Runtime.ImportModuleError");
    assert!(
        error.summary.starts_with("src/list.ts:1:19: Could not resolve \"../lib/deep/a\""),
        "{}",
        error.summary
    );
    let created = project.root.join("lib/deep/a.ts");
    assert!(error.inputs.iter().any(|input| created.starts_with(input)), "{:?}", error.inputs);
    project.write("lib/deep/a.ts", "export const a = 'there';");
    let artifact = project.build(&spec).await.expect("it is there");
    assert_eq!(run(&artifact), r#""there""#);

    fs_err::remove_file(&created).expect("removed");
    let error = project.build(&spec).await.expect_err("it is missing again");
    assert_eq!(error.error_type, "Runtime.ImportModuleError");
}

#[tokio::test]
async fn a_build_names_what_it_depends_on_and_what_it_has_looked_for() {
    let mut project = Project::new(&[
        ("tsconfig.json", "{ /* base */ \"extends\": [\"./config/base\", \"settings/paths.json\"], }"),
        ("config/base.json", "{ \"compilerOptions\": { \"strict\": true } }"),
        ("node_modules/settings/package.json", "{ \"name\": \"settings\" }"),
        (
            "node_modules/settings/paths.json",
            "{ \"compilerOptions\": { \"paths\": { \"@lib/*\": [\"../../none/*\", \"../../lib/*\"] } } }",
        ),
        ("node_modules/.package-lock.json", "{}"),
        ("node_modules/dep/package.json", "{ \"name\": \"dep\" }"),
        ("node_modules/dep/index.js", "exports.dep = 1;"),
        ("lib/x.ts", "export const x = 1;"),
        ("src/util/index.ts", "export const util = 1;"),
        ("src/plain.js", "export const plain = 1;"),
        (
            "src/a.ts",
            "import { dep } from 'dep';\nimport { x } from '@lib/x';\nimport { util } from './util';\n\
             import { plain } from './plain';\nexport const handler = async () => [dep, x, util, plain];",
        ),
    ]);
    let spec = project.entry("src/a.ts", Bundling::default());
    let first = project.build(&spec).await.expect("it builds");
    let root = project.root.clone();
    let names = |path: &str| first.inputs.contains(&root.join(path));
    for path in [
        "tsconfig.json",
        "config/base.json",
        "node_modules/settings/paths.json",
        "src/tsconfig.json",
        "src/package.json",
        "package.json",
        "node_modules/.package-lock.json",
        "node_modules/dep/package.json",
        "src/node_modules",
        "none/x.ts",
        "lib/x.tsx",
        "src/util.ts",
        "src/util/index.tsx",
        "src/plain.ts",
    ] {
        assert!(names(path), "{path} is missing in {:?}", first.inputs);
    }
    // These would not be read rather than what was found, and directories stand for everything in them.
    for path in [
        "lib/x.js",
        "src/util/index.js",
        "src/plain.json",
        "src/util",
        "src",
        "node_modules",
        "node_modules/dep",
    ] {
        assert!(!names(path), "{path} is in {:?}", first.inputs);
    }
    // A package that is only there for others was installed anew.
    project.write("node_modules/.package-lock.json", "{ \"packages\": {} }");
    assert_ne!(project.build(&spec).await.expect("it builds").fingerprint, first.fingerprint);
}

#[tokio::test]
async fn a_missing_entry_and_a_missing_package_are_import_errors() {
    let mut project =
        Project::new(&[("src/a.ts", "import 'nowhere-to-be-found';\nexport const handler = async () => 1;")]);
    let spec = project.entry("src/none.ts", Bundling::default());
    let error = project.build(&spec).await.expect_err("there is none");
    assert_eq!(error.error_type, "Runtime.ImportModuleError");
    assert!(error.summary.contains("none.ts"), "{}", error.summary);
    assert!(error.inputs.iter().any(|input| project.root.join("src/none.ts").starts_with(input)));

    let spec = project.entry("src/a.ts", Bundling::default());
    let error = project.build(&spec).await.expect_err("there is no such package");
    let root = &project.root;
    assert!(error.inputs.contains(&root.join("src/node_modules")), "{:?}", error.inputs);
    assert_eq!(error.error_type, "Runtime.ImportModuleError");
    let told =
        r#"src/a.ts:1:8: Could not resolve "nowhere-to-be-found": run `npm install nowhere-to-be-found`"#;
    assert_eq!(error.summary, told);
    assert!(error.detail.contains("    src/a.ts:1:8:\n"), "{}", error.detail);
    assert!(!error.detail.contains("external"), "{}", error.detail);
}

/// A package in `node_modules` that exports its version in both formats.
fn package(project: &Project, directory: &str, name: &str, version: &str) {
    let manifest = serde_json::json!({
        "name": name,
        "version": version,
        "exports": {
            ".": { "import": "./index.mjs", "require": "./index.cjs" },
            "./sub": { "import": "./index.mjs", "require": "./index.cjs" },
        },
    });
    project.write(&format!("{directory}/package.json"), &manifest.to_string());
    project.write(&format!("{directory}/index.mjs"), &format!("export const version = 'module {version}';"));
    project.write(&format!("{directory}/index.cjs"), &format!("exports.version = 'common {version}';"));
}

#[tokio::test]
async fn packages_are_bundled_as_the_source_file_finds_them() {
    let import = "import { version } from 'tiny';\nimport { version as sub } from 'tiny/sub';\n\
                  import other from '../lib/other';\nimport { version as scoped } from '@some/thing';\n\
                  export const handler = async () => [version, sub, other, scoped];";
    let mut project = Project::new(&[
        ("services/api/src/a.cts", import),
        ("services/api/src/a.mts", import),
        ("services/api/package.json", "{}"),
        (
            "services/api/lib/other.ts",
            "import { version } from 'tiny';\nimport { deep } from '../../lib/deep';\nexport default version + deep;",
        ),
        (
            "services/lib/deep.ts",
            "import { version } from 'tiny/sub';\nexport const deep = ' and ' + version;",
        ),
    ]);
    package(&project, "node_modules/tiny", "tiny", "1.0.0");
    package(&project, "services/api/node_modules/tiny", "tiny", "2.0.0");
    // As pnpm lays it out: a link into a store.
    package(
        &project,
        "node_modules/.pnpm/@some+thing@3.0.0/node_modules/@some/thing",
        "@some/thing",
        "3.0.0",
    );
    fs_err::create_dir_all(project.root.join("services/api/node_modules/@some")).expect("a directory");
    fs_err::os::unix::fs::symlink(
        project.root.join("node_modules/.pnpm/@some+thing@3.0.0/node_modules/@some/thing"),
        project.root.join("services/api/node_modules/@some/thing"),
    )
    .expect("a link");
    for entry in ["services/api/src/a.cts", "services/api/src/a.mts"] {
        let spec = project.entry(entry, Bundling::default());
        let artifact = project.build(&spec).await.unwrap_or_else(|error| panic!("{}", error.detail));
        let expected = r#"["module 2.0.0","module 2.0.0","module 2.0.0 and module 1.0.0","module 3.0.0"]"#;
        assert_eq!(run(&artifact), expected);
        for installed in ["services/api/node_modules/tiny", "node_modules/tiny"] {
            let manifest = project.root.join(installed).join("package.json");
            assert!(artifact.inputs.contains(&manifest), "{:?}", artifact.inputs);
        }
    }
}

#[tokio::test]
async fn a_package_that_is_installed_anew_is_a_new_build() {
    let mut project = Project::new(&[(
        "src/a.mjs",
        "import { version } from 'tiny';\nexport const handler = async () => version;",
    )]);
    package(&project, "node_modules/tiny", "tiny", "1.0.0");
    let spec = project.entry("src/a.mjs", Bundling::default());
    let first = project.build(&spec).await.expect("it builds");
    package(&project, "node_modules/tiny", "tiny", "2.0.0");
    let second = project.build(&spec).await.expect("it builds");
    assert_ne!(first.fingerprint, second.fingerprint);
    assert_eq!(run(&second), r#""module 2.0.0""#);
}

#[tokio::test]
async fn a_package_of_the_workspace_is_bundled_as_source_unless_it_is_external() {
    let mut project = Project::new(&[
        ("packages/shared/package.json", r#"{ "name": "shared", "main": "index.ts" }"#),
        ("packages/shared/index.ts", "export const value: number = 1;"),
        ("packages/built/package.json", r#"{ "name": "built", "main": "index.js" }"#),
        ("packages/built/index.js", "exports.file = __filename;"),
        (
            "services/a/index.ts",
            "import { value } from 'shared';\nimport { file } from 'built';\nimport { S3 } from '@aws-sdk/client-s3';\n\
             export const handler = async () => [value, file, typeof S3];",
        ),
    ]);
    fs_err::create_dir_all(project.root.join("services/a/node_modules")).expect("a directory");
    for name in ["shared", "built"] {
        let link = project.root.join("services/a/node_modules").join(name);
        fs_err::os::unix::fs::symlink(project.root.join("packages").join(name), link).expect("a link");
    }
    let bundling = Bundling { external: vec!["built".to_owned()], ..Bundling::default() };
    let spec = project.entry("services/a/index.ts", bundling);
    let artifact = project.build(&spec).await.unwrap_or_else(|error| panic!("{}", error.detail));
    assert!(
        artifact.inputs.contains(&project.root.join("packages/shared/index.ts")),
        "{:?}",
        artifact.inputs
    );
    // What only Lambda has is installed beside, and is for the runner to find.
    let (_, errors) = try_run(&artifact);
    assert!(errors.contains("Cannot find module '@aws-sdk/client-s3'"), "{errors}");
    let modules = artifact.provided.clone().expect("it is provided");
    assert!(modules.join("@aws-sdk/client-s3/package.json").is_file(), "{modules}");
    let beside = modules.parent().expect("a parent").to_owned();
    assert!(
        artifact.packages.contains(&("@aws-sdk/client-s3".to_owned(), beside)),
        "{:?}",
        artifact.packages
    );
    project.write("node_modules/@aws-sdk/client-s3/index.js", "exports.S3 = class {};");
    let artifact = project.build(&spec).await.expect("it builds");
    assert_eq!(artifact.provided, None, "the project's own wins");
    let file = project.root.join("packages/built/index.js");
    assert_eq!(run(&artifact), format!(r#"[1,"{file}","function"]"#));
}

#[tokio::test]
async fn a_package_that_there_is_not_keeps_no_other_away() {
    let code = "require('@aws-sdk/client-sts'); const text = '@aws-sdk/client-nothing-like-this';";
    let mut project = Project::new(&[("code/index.js", code)]);
    let source = Source::Directory { path: project.root.join("code") };
    let spec = function("stack/Directory", "index.handler", source);
    let artifact = project.build(&spec).await.expect("it builds");
    let modules = artifact.provided.clone().expect("some of it is provided");
    assert!(modules.join("@aws-sdk/client-sts/package.json").is_file(), "{modules}");
    assert!(!modules.join("@aws-sdk/client-nothing-like-this").exists());
}

#[tokio::test]
async fn a_build_process_that_dies_is_replaced() {
    let plugins = "import fs from 'node:fs';
        const seen = new URL('./seen', import.meta.url);
        export default [{ name: 'dies', setup(build) {
          build.onLoad({ filter: /once/ }, () => {
            if (!fs.existsSync(seen)) { fs.writeFileSync(seen, ''); process.kill(process.pid, 'SIGKILL'); }
          });
          build.onLoad({ filter: /always/ }, () => process.exit(7));
        } }];";
    let handler = "export const handler = async () => 1;";
    let mut project = Project::new(&[
        ("plugins.mjs", plugins),
        ("src/once.ts", handler),
        ("src/always.ts", handler),
        ("src/fine.ts", handler),
    ]);
    let bundling = Bundling { plugins: Some(project.root.join("plugins.mjs")), ..Bundling::default() };
    let once = project.entry("src/once.ts", bundling.clone());
    assert_eq!(run(&project.build(&once).await.expect("the second attempt builds")), "1");
    assert!(project.root.join("seen").exists(), "the first process has died");

    let always = project.entry("src/always.ts", bundling);
    let error = project.build(&always).await.expect_err("it dies each time");
    assert!(error.summary.contains("exit status: 7"), "{}", error.summary);
    let fine = project.entry("src/fine.ts", Bundling::default());
    project.build(&fine).await.expect("others are not affected");
    project.builder.end().await;
}

#[tokio::test]
async fn many_functions_are_built_at_once_each_exactly_once() {
    let names: Vec<String> = (0..45).map(|number| format!("src/f{number}.ts")).collect();
    let text = "export const handler = async () => __filename;";
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), text)).collect();
    let mut project = Project::new(&files);
    let specs: Vec<_> = names.iter().map(|name| project.entry(name, Bundling::default())).collect();
    for spec in &specs {
        project.builder.build(spec.clone(), Generation(1), Generation(0));
        project.builder.cool(&spec.id);
        project.builder.build(spec.clone(), Generation(2), Generation(1));
    }
    let mut built = std::collections::BTreeSet::new();
    for _ in 0..specs.len() * 2 {
        let event = tokio::time::timeout(PATIENCE, project.events.recv()).await.expect("each build ends");
        let Some(Event::Built { function, generation, result }) = event else { panic!("{event:?}") };
        result.unwrap_or_else(|error| panic!("{function}: {}", error.detail));
        assert!(built.insert((function, generation)));
    }
    project.builder.end().await;
    assert!(project.events.try_recv().is_err());
}

#[tokio::test]
async fn functions_of_one_file_are_built_once_and_each_runs_its_own_handler() {
    // The project's own esbuild, which writes down each of its builds.
    let counting = format!(
        "const real = require({:?});
        const note = () => require('node:fs').appendFileSync(`${{__dirname}}/builds`, '.');
        exports.version = real.version;
        exports.formatMessages = real.formatMessages;
        exports.build = (options) => (note(), real.build(options));
        exports.context = async (options) => {{
          const context = await real.context(options);
          return {{ dispose: () => context.dispose(), rebuild: () => (note(), context.rebuild()) }};
        }};",
        npm_root().join("node_modules/esbuild")
    );
    let text = |version: u32| {
        (0..3).map(|n| format!("export const h{n} = async () => [{n}, {version}];\n")).collect::<String>()
    };
    let mut project =
        Project::new(&[("node_modules/esbuild/index.js", &counting), ("src/handlers.ts", &text(0))]);
    let entry = project.entry("src/handlers.ts", Bundling::default());
    let specs = [0, 1, 2].map(|number| {
        let mut spec = FunctionSpec { id: format!("stack/f{number}").into(), ..(*entry).clone() };
        let Source::Entry { export, .. } = &mut spec.source else { unreachable!() };
        *export = format!("h{number}");
        Arc::new(spec)
    });
    let builds = |project: &Project| {
        fs_err::read(project.root.join("node_modules/esbuild/builds")).map_or(0, |all| all.len())
    };
    for version in 0..3 {
        project.write("src/handlers.ts", &text(version));
        project.changed = project.generation;
        let before = builds(&project);
        for (number, spec) in specs.iter().enumerate() {
            let built = project.build_next(spec).await.unwrap_or_else(|error| panic!("{}", error.detail));
            assert_eq!(run(&built), format!("[{number},{version}]"));
            assert!(built.task_root.ends_with(spec.id.as_file_name()));
        }
        // Only once a second function has come it is known that what is built is needed again.
        let expected = if version == 0 { 2 } else { 1 };
        assert_eq!(builds(&project) - before, expected);
    }
    project.builder.end().await;
}

#[tokio::test]
async fn a_directory_is_taken_as_it_is() {
    let mut project = Project::new(&[
        ("plain/src/list.mjs", "export const handler = async () => 'as it is';"),
        ("plain/node_modules/big/index.js", ""),
    ]);
    let path = project.root.join("plain");
    let source = || Source::Directory { path: path.clone() };
    let spec = function("stack/plain", "src/list.handler", source());
    let first = project.build(&spec).await.expect("it is there");
    assert_eq!((&first.task_root, first.handler.as_str()), (&path, "src/list.handler"));
    assert!(first.inputs.contains(&path) && first.packages.is_empty(), "{first:?}");
    assert_eq!(run(&first), r#""as it is""#);

    project.write("plain/node_modules/big/index.js", "changed");
    assert_eq!(project.build(&spec).await.expect("it is there").fingerprint, first.fingerprint);
    project.write("plain/src/other.mjs", "");
    assert_ne!(project.build(&spec).await.expect("it is there").fingerprint, first.fingerprint);

    // Where its file is the runtime knows: in a directory, at the root, in a layer.
    let spec = function("stack/none", "src/none.handler", source());
    assert!(project.build(&spec).await.expect("it is for the runtime to say").inputs.contains(&path));
}

#[tokio::test]
async fn it_is_told_when_cargo_waits_for_another_one() {
    let mut project = Project::new(&[
        ("rust/Cargo.toml", "[package]\nname = \"waits\"\nversion = \"0.0.0\"\n\n[workspace]\n"),
        ("rust/src/main.rs", "fn main() {}\n"),
        // What another Cargo holds that builds into the same directory, e.g. that of an editor.
        ("target/debug/.cargo-lock", ""),
    ]);
    let lock = std::fs::File::open(project.root.join("target/debug/.cargo-lock")).expect("a lock");
    lock.lock().expect("nobody has it");
    let target = project.root.join("target").into_string();
    let environment = [("CARGO_TARGET_DIR".to_owned(), target)].into();
    let build = BuildOptions { environment, ..BuildOptions::default() };
    let (path, directory) = (project.root.join("rust/Cargo.toml"), project.root.join("rust"));
    let source = Source::Program { path, directory, build: build.into() };
    let spec = function("stack/rust", "", source);
    project.builder.build(spec.clone(), Generation(1), Generation(0));
    let told = async {
        // Which directory that is depends on Cargo's version.
        let waits = "Compiling `stack/rust`: cargo is waiting for file lock on ";
        while !matches!(project.shown.recv().await, UiEvent::Info(text) if text.starts_with(waits)) {}
    };
    tokio::time::timeout(PATIENCE, told).await.expect("it is told");
    drop(lock);
    project.built(&spec, Generation(1)).await.expect("it compiles then");
    project.builder.end().await;
}
