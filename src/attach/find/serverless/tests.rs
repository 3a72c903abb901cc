use camino::Utf8PathBuf;
use serde_json::json;

use super::*;
use crate::{
    attach::find::{Code, Declared, Which},
    process::Spawner,
    project::manifest::Bundling,
    ui::Ui,
};

fn fixture(name: &str) -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/attach/serverless").join(name)
}

fn recorded(service: &str, file: &str) -> Value {
    serde_json::from_slice(&fs_err::read(fixture(service).join(file)).unwrap()).unwrap()
}

/// What is read without the framework, or of what it has `printed`.
fn declared(root: &Utf8Path, stage: Option<&str>, printed: Option<Value>) -> Result<Declaration> {
    let (ui, _events) = Ui::channel();
    let spawner = Spawner::of_this_program();
    let asked = Asked { root, stage, region: None, spawner: &spawner, ui: &ui };
    let file = FILES.into_iter().find(|name| root.join(name).is_file()).unwrap();
    let read = read(&asked, file, printed, BTreeMap::new())?;
    let major = read.configuration.major();
    declaration(
        &asked,
        file,
        &read.configuration,
        read.package.as_ref(),
        major,
        read.notice.into_iter().collect(),
    )
}

/// A service that has only this file, and empty ones beside it.
struct Project(tempfile::TempDir);

impl Project {
    fn new(name: &str, text: &str, others: &[&str]) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        fs_err::write(project.root().join(name), text).unwrap();
        for other in others {
            project.write(other, "");
        }
        project
    }

    fn root(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    fn read(&self) -> Declaration {
        declared(self.root(), None, None).unwrap()
    }
}

fn code<'a>(declaration: &'a Declaration, label: &str) -> &'a Code {
    &declaration.functions.iter().find(|function| function.label == label).unwrap().code
}

const STAGES: [(Option<&str>, &str); 2] = [(None, "default"), (Some("prod"), "prod")];

#[test]
fn what_is_read_without_the_framework_is_what_it_prints() {
    for service in ["typescript", "mixed", "variables"] {
        for (stage, name) in STAGES {
            let printed = recorded(service, &format!("printed.{name}.json"));
            let read = declared(&fixture(service), stage, None).unwrap();
            let expected = declared(&fixture(service), stage, Some(printed)).unwrap();
            assert!(!read.functions.is_empty());
            assert_eq!(read, expected, "{service} {name}");
        }
    }
}

#[test]
fn every_kind_of_variable_is_what_the_framework_prints() {
    let (ui, _events) = Ui::channel();
    let spawner = Spawner::of_this_program();
    let root = fixture("variables");
    for (stage, name) in STAGES {
        let asked = Asked { root: &root, stage, region: None, spawner: &spawner, ui: &ui };
        let read = read(&asked, FILES[0], None, BTreeMap::new()).unwrap().configuration;
        let printed = recorded("variables", &format!("printed.{name}.json"));
        assert!(printed["custom"].as_object().unwrap().len() > 20);
        assert_eq!(read.get(&["custom"]).unwrap(), printed["custom"], "{name}");
    }
}

#[test]
fn functions_have_the_names_and_handlers_of_the_template_that_is_packaged() {
    for service in ["typescript", "mixed", "variables"] {
        for (stage, name) in STAGES {
            let template = recorded(service, &format!("template.{name}.json"));
            let read = declared(&fixture(service), stage, None).unwrap();
            assert_eq!(read.functions.len(), template.as_object().unwrap().len());
            for Declared { label, which, code } in read.functions {
                let id = functions::logical_id(&label);
                assert_eq!(which, Which::Name(template[&id]["FunctionName"].as_str().unwrap().to_owned()));
                assert_eq!(code.handler.as_deref(), template[&id]["Handler"].as_str(), "{id}");
                // What is an image has none, also where the service has one.
                let runtime = code.runtime.as_deref().filter(|_| code.unable.is_none());
                assert_eq!(runtime, template[&id]["Runtime"].as_str(), "{id}");
            }
        }
    }
}

#[test]
fn scripts_are_bundled_with_the_options_of_the_plugin() {
    let root = fixture("typescript");
    let read = declared(&root, Some("prod"), None).unwrap();
    assert_eq!(read.shown, "serverless.yml (stage prod)");
    assert_eq!(read.region.as_deref(), Some("us-east-1"));
    assert_eq!(read.notices, ["`custom.esbuild.minify` has no effect on this machine"]);
    let expected = Code {
        path: Some(root.join("src/create.ts")),
        is_entry: true,
        handler: Some("src/create.handler".to_owned()),
        runtime: Some("nodejs20.x".to_owned()),
        root: Some(root.clone()),
        bundling: Some(Bundling {
            format: Some("cjs".to_owned()),
            target: Some("node20".to_owned()),
            external: vec!["@aws-sdk/*".to_owned()],
            loader: [(".sql".to_owned(), "text".to_owned())].into(),
            define: [("VERSION".to_owned(), "\"prod\"".to_owned())].into(),
            tsconfig: Some(root.join("tsconfig.build.json")),
            esbuild: json!({ "keepNames": true }).as_object().unwrap().clone(),
            ..Bundling::default()
        }),
        ..Code::default()
    };
    assert_eq!(code(&read, "create"), &expected);
    assert_eq!(code(&read, "list-all").path, Some(root.join("src/list.main.js")), "JavaScript as well");
}

#[test]
fn without_a_bundler_only_typescript_is_an_entry() {
    let root = fixture("mixed");
    let read = declared(&root, None, None).unwrap();
    assert_eq!(read.region.as_deref(), Some("us-east-1"), "the framework's default");
    let is_entry = |label: &str| code(&read, label).is_entry;
    assert_eq!((code(&read, "hello").path.as_ref(), is_entry("hello")), (Some(&root), false));
    assert_eq!((code(&read, "typed").path.clone(), is_entry("typed")), (Some(root.join("typed.ts")), true));
    assert_eq!(code(&read, "daily_report").path, Some(root.join("report")), "packed alone");
    assert_eq!(code(&read, "native").path, None, "nobody says where the sources are");
    assert_eq!(code(&read, "image").unable.as_deref(), Some("it is a container image"));
}

#[test]
fn version_4_bundles_what_it_is_told_to() {
    for (version, build, is_bundled) in [
        ("4", "{ esbuild: { external: [sharp, 'x/*'], exclude: ['*'], packages: external } }", true),
        ("4", "{ esbuild: true }", true),
        ("4", "{}", false),
        ("3", "{ esbuild: true }", false),
    ] {
        let text = format!(
            "{{ service: s, frameworkVersion: '{version}', build: {build}, provider: {{ name: aws }}, functions: {{ a: {{ handler: a.b }} }} }}"
        );
        let read = Project::new("serverless.yml", &text, &["a.js"]).read();
        assert_eq!(code(&read, "a").is_entry, is_bundled, "{text}");
        if let Some(bundling) = code(&read, "a").bundling.as_ref().filter(|_| build.contains("sharp")) {
            assert_eq!(
                (&bundling.external[..], &bundling.node_modules[..]),
                (&["sharp".into(), "x/*".into()][..], &["sharp".into()][..])
            );
            assert_eq!(bundling.esbuild["packages"], "external");
        }
    }
}

#[test]
fn the_plugin_may_be_told_another_file_than_the_handlers() {
    let text = "
service: s
plugins: [serverless-esbuild]
provider: { name: aws }
functions: { a: { handler: wrapper.handler, esbuildEntrypoint: src/own.handler } }
";
    let project = Project::new("serverless.yml", text, &["src/own.ts"]);
    let read = project.read();
    assert_eq!(code(&read, "a").path, Some(project.root().join("src/own.ts")));
    assert_eq!(code(&read, "a").handler.as_deref(), Some("wrapper.handler"));
}

#[test]
fn other_bundlers_are_taken_for_esbuild_and_what_is_lost_is_told() {
    let service = |plugin: &str, custom: &str| {
        let text = format!(
            "{{ service: s, plugins: {{ modules: [{plugin}] }}, custom: {custom}, provider: {{ name: aws }}, functions: {{ a: {{ handler: a.b }} }} }}"
        );
        Project::new("serverless.yml", &text, &["a/index.js"])
    };
    let webpack = service("serverless-webpack", "{ webpack: { webpackConfig: w.js } }");
    let read = webpack.read();
    assert_eq!(code(&read, "a").path, Some(webpack.root().join("a/index.js")));
    assert_eq!(read.notices, ["`w.js` of webpack is not heeded: functions are bundled with esbuild here"]);
    let bundle = service(
        "serverless-bundle",
        "{ bundle: { externals: [x], forceExclude: [y], ignorePackages: [z], forceInclude: [w], tsConfig: t.json, aliases: [{ Lib: lib }, { no: false }] } }",
    );
    let bundling = code(&bundle.read(), "a").bundling.clone().unwrap();
    assert_eq!(bundling.external, ["x", "y", "z"]);
    assert_eq!(bundling.node_modules, ["x", "w"]);
    assert_eq!(bundling.tsconfig, Some(bundle.root().join("t.json")));
    assert_eq!(bundling.esbuild["alias"], json!({ "Lib": bundle.root().join("lib") }));
    let own = service("serverless-esbuild", "{ esbuild: { config: ./esbuild.cjs, plugins: ./plugins.cjs } }");
    let read = own.read();
    assert_eq!(read.notices, ["`custom.esbuild.config` has no effect on this machine"]);
    assert!(code(&read, "a").bundling.as_ref().unwrap().plugins.as_ref().unwrap().ends_with("plugins.cjs"));
}

#[test]
fn sources_of_programs_are_known_where_somebody_says_them() {
    let text = "
service: s
provider: { name: aws, runtime: provided.al2023 }
plugins: [serverless-go-plugin]
custom: { go: { baseDir: src } }
functions:
  compiled: { handler: create/main.go }
  archived: { handler: bootstrap, package: { artifact: cmd/list/build/list.zip } }
  rusty: { handler: bootstrap, package: { artifact: target/lambda/audit/bootstrap.zip } }
  java: { handler: 'a.B::c', runtime: java21, package: { artifact: jvm/target/app.jar } }
  unknown: { handler: bootstrap, package: { artifact: elsewhere.zip } }
";
    let files = ["src/create/main.go", "cmd/list/main.go", "jvm/pom.xml"];
    let project = Project::new("serverless.yml", text, &files);
    let read = project.read();
    let source = |label: &str| {
        let code = code(&read, label);
        (code.path.clone().map(|path| path.strip_prefix(project.root()).unwrap().to_owned()), code.is_entry)
    };
    assert_eq!(source("compiled"), (Some("src/create/main.go".into()), true));
    assert_eq!(source("archived"), (Some("cmd/list".into()), true));
    assert_eq!(source("java"), (Some("jvm/pom.xml".into()), true));
    assert_eq!(source("unknown"), (None, false));
    assert_eq!(source("rusty"), (None, false));
    project.write("Cargo.toml", "");
    let read = project.read();
    assert_eq!(code(&read, "rusty").path, Some(project.root().join("Cargo.toml")));
    assert_eq!(code(&read, "rusty").build.as_ref().unwrap().binary.as_deref(), Some("audit"));
    let text = "
service: s
provider: { name: aws, runtime: rust }
plugins: [serverless-rust]
custom: { rust: { cargoFlags: '--features  all' } }
functions: { a: { handler: one.two } }
";
    let project = Project::new("serverless.yml", text, &["one/Cargo.toml"]);
    let read = project.read();
    let Code { path, build, handler, runtime, .. } = code(&read, "a");
    assert_eq!(path, &Some(project.root().join("one/Cargo.toml")));
    let build = build.as_ref().unwrap();
    assert_eq!(
        (build.binary.as_deref(), &build.flags[..]),
        (Some("two"), &["--features".into(), "all".into()][..])
    );
    assert_eq!((handler, runtime), (&None, &None), "those on Lambda are others");
}

#[test]
fn a_name_that_is_not_known_is_looked_up_in_the_stack_or_in_what_was_packaged() {
    let text = "
service: s
provider: { name: aws, stackName: the-stack, region: '${ssm:/region}' }
functions: { a_b: { handler: a.b, name: '${ssm:/name}' } }
";
    let project = Project::new("serverless.yml", text, &["a.js"]);
    let read = project.read();
    let which = Which::Resource {
        stack: "the-stack".to_owned(),
        logical_id: "AUnderscorebLambdaFunction".to_owned(),
    };
    assert_eq!(read.functions[0].which, which);
    assert_eq!(read.region, None);
    assert_eq!(
        read.notices,
        ["`provider.region` has `${ssm:/region}`, which only the Serverless Framework can look up"]
    );
    let state = json!({ "service": { "provider": { "stage": "dev", "region": "eu-west-3" }, "functions": { "a_b": { "name": "n" } } } });
    project.write(".serverless/serverless-state.json", &state.to_string());
    let read = project.read();
    assert_eq!(read.functions[0].which, Which::Name("n".to_owned()));
    assert_eq!((read.region.as_deref(), read.notices.len()), (Some("eu-west-3"), 0));
    let other = declared(project.root(), Some("prod"), None).unwrap();
    assert_eq!(other.functions[0].which, which, "that of another stage is none of this one");
    assert_eq!(other.region, None);
}

#[test]
fn a_function_whose_name_nobody_knows_is_told() {
    let text = "{ service: '${file(x.js)}', provider: { name: aws }, functions: { a: { handler: a.b }, b: { handler: a.b, name: known } } }";
    let read = Project::new("serverless.yml", text, &[]).read();
    assert_eq!(read.functions.len(), 1);
    assert_eq!(
        read.notices,
        [
            "`functions.a.name` has `${file(x.js)}`, which is a program that only the Serverless Framework runs, so the function is not \
              looked for"
        ]
    );
}

#[test]
fn programs_are_read_from_what_was_packaged_last() {
    let project = Project::new("serverless.ts", "export default {}", &["src/create.ts"]);
    let error = declared(project.root(), None, None).unwrap_err();
    assert!(error.message.contains("`serverless.ts` is a program"), "{error}");
    project
        .write(".serverless/serverless-state.json", &recorded("typescript", "state.prod.json").to_string());
    let read = declared(project.root(), None, None).unwrap();
    assert_eq!(read.stage.as_deref(), Some("prod"));
    assert_eq!(read.functions[1].which, Which::Name("orders-prod-list".to_owned()));
    assert_eq!(code(&read, "create").path, Some(project.root().join("src/create.ts")));
    assert!(read.notices[0].contains("what was packaged last was read instead"), "{:?}", read.notices);
    assert!(declared(project.root(), Some("dev"), None).is_err(), "another stage was not packaged");
}

#[tokio::test]
async fn several_services_have_to_be_told_apart_and_no_service_is_none() {
    let (ui, _events) = Ui::channel();
    let spawner = Spawner::of_this_program();
    let project =
        Project::new("serverless-compose.yml", "services: { a: { path: services/a }, b: { path: b } }", &[]);
    let asked = Asked { root: project.root(), stage: None, region: None, spawner: &spawner, ui: &ui };
    let error = declare(&asked).await.unwrap_err();
    assert_eq!(error.message, "`serverless-compose.yml` names several services");
    assert!(error.hint.unwrap().ends_with("one of them: `services/a` (a), `b` (b)"));
    fs_err::remove_file(project.root().join("serverless-compose.yml")).unwrap();
    assert_eq!(declare(&asked).await.unwrap(), None);
}

#[test]
fn files_that_are_wrong_or_of_other_clouds_are_told() {
    for (name, text, told) in [
        ("serverless.yml", "a: [", "`serverless.yml` cannot be read"),
        ("serverless.json", "{", "`serverless.json` cannot be read"),
        ("serverless.yml", "just words", "`serverless.yml` cannot be read"),
        (
            "serverless.yml",
            "{ service: a, provider: google }",
            "`serverless.yml` is for the provider `google`, not for AWS",
        ),
    ] {
        let project = Project::new(name, text, &[]);
        assert_eq!(declared(project.root(), None, None).unwrap_err().message, told, "{text}");
    }
}
