use super::*;
use crate::project::manifest::BuildOptions;

/// A project of files, some of which have a text.
struct Project {
    _directory: tempfile::TempDir,
    places: Places,
}

impl Project {
    fn of(files: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        for file in files {
            let (file, text) = file.split_once('|').unwrap_or((file, ""));
            fs_err::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs_err::write(root.join(file), text).unwrap();
        }
        Self { _directory: directory, places: Places::of(&root) }
    }

    /// What is found for a function, as it is shown; of several each.
    fn find(&self, label: &str, deployed: &Deployed, code: &Code) -> Vec<String> {
        match self.sourced(label, deployed, code) {
            Ok(found) => vec![found.shown],
            Err(Unsourced::Ambiguous(several)) => several.into_iter().map(|one| one.shown).collect(),
            Err(Unsourced::NotFound(_)) => Vec::new(),
            Err(Unsourced::Unable(reason)) => vec![format!("unable: {reason}")],
        }
    }

    fn sourced(&self, label: &str, deployed: &Deployed, code: &Code) -> Result<Sourced, Unsourced> {
        let hints = Hints::default();
        find(&Sought {
            label,
            deployed,
            stack: None,
            logical_id: None,
            code,
            hints: &hints,
            mapping: None,
            places: &self.places,
        })
    }
}

fn function(runtime: &str, handler: &str) -> Deployed {
    let [name, runtime, handler] = ["orders-dev-create", runtime, handler].map(str::to_owned);
    Deployed { name, runtime, handler, ..Deployed::default() }
}

#[test]
fn the_file_that_a_handler_names_is_found() {
    let node = "nodejs22.x";
    for (files, runtime, handler, expected) in [
        // In the root, as the handler says it.
        (&["src/create.ts"][..], node, "src/create.handler", &["src/create.ts"][..]),
        (&["src/create.mjs"], node, "src/create.handler", &["./, JavaScript"]),
        (&["create/index.ts"], node, "create.handler", &["create/index.ts"]),
        (&["app/report.py"], "python3.13", "app.report.handler", &["./, Python"]),
        (&["src/create.ts"], node, "/var/task/src/create.handler", &["src/create.ts"]),
        // What was written, rather than what was made of it.
        (&["dist/create.js", "src/create.ts"], node, "dist/create.handler", &["src/create.ts"]),
        (&["dist/create.js", "create.ts"], node, "dist/create.handler", &["create.ts"]),
        (&["src/create.js", "src/create.ts"], node, "src/create.handler", &["src/create.ts"]),
        (&["dist/create.js", "src/create.ts"], node, "create.handler", &["src/create.ts"]),
        (&["dist/create.js"], node, "dist/create.handler", &["./, JavaScript"]),
        (&["src/create.js"], node, "dist/create.handler", &["src/create.js"]),
        // In a package of the workspace, before any other directory.
        (
            &[
                "package.json|{ \"workspaces\": [\"packages/*\"] }",
                "packages/a/src/create.ts",
                "old/src/create.ts",
            ],
            node,
            "src/create.handler",
            &["packages/a/src/create.ts"],
        ),
        // Anywhere.
        (&["services/orders/src/create.ts"], node, "src/create.handler", &["services/orders/src/create.ts"]),
        (&["services/a.ts", "node_modules/b/create.js"], node, "create.handler", &[]),
        // Of several, the one that has the name in it, or is called as the function is.
        (
            &["a/index.ts|export const main = 1", "b/index.ts|export const handler = 1"],
            node,
            "index.handler",
            &["b/index.ts"],
        ),
        (&["list/index.ts", "create/index.ts"], node, "index.handler", &["create/index.ts"]),
        (&["a/index.ts", "b/index.ts"], node, "index.handler", &["a/index.ts", "b/index.ts"]),
        // Java names a class.
        (
            &["app/pom.xml", "app/src/main/java/com/acme/Create.java"],
            "java21",
            "com.acme.Create::handleRequest",
            &["app/, Java"],
        ),
    ] {
        let found = Project::of(files).find("Create", &function(runtime, handler), &Code::default());
        assert_eq!(found, expected, "{files:?} {handler}");
    }
}

#[test]
fn the_program_that_is_called_as_the_function_is_found() {
    let main = |path: &str| format!("{path}|package main\n");
    let go = [main("cmd/create/main.go"), main("cmd/list/main.go"), "go.mod|module a\n".to_owned()];
    let cargo = "Cargo.toml|[package]\nname = \"orders\"\n".to_owned();
    let rust = [cargo, "src/bin/create.rs".to_owned(), "src/bin/list.rs".to_owned()];
    let one = [main("lambda/main.go")];
    for (files, label, handler, expected) in [
        (&go[..], "CreateFunction", "bootstrap", &["cmd/create/, Go"][..]),
        (&go, "Other", "list", &["cmd/list/, Go"]),
        (&rust, "Create", "bootstrap", &["create in ./, Rust"]),
        (&one, "Whatever", "bootstrap", &["lambda/, Go"]),
    ] {
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let deployed = Deployed { name: "x".to_owned(), ..function("provided.al2023", handler) };
        let found = Project::of(&files).find(label, &deployed, &Code::default());
        assert_eq!(found, expected, "{files:?} {label}");
    }
}

#[test]
fn what_the_tool_says_comes_before_what_is_searched() {
    let project = Project::of(&[
        "a/create.ts",
        "b/src/create.ts",
        "b/dist/create.js",
        "c/create.js",
        "d/dist/create.js",
        "d/dist/create.js.map|{ \"version\": 3, \"sources\": [\"../src/other.ts\"], \"mappings\": \"\" }",
        "d/src/other.ts",
    ]);
    let at = |path: &str| Some(project.places.root.join(path));
    let deployed = function("nodejs22.x", "create.handler");
    for (path, is_entry, expected) in [
        ("a", false, "a/create.ts"),
        ("a/create.ts", true, "a/create.ts"),
        ("b/dist", false, "b/src/create.ts"),
        ("c", false, "c/, JavaScript"),
        ("d/dist", false, "d/src/other.ts"),
    ] {
        let code = Code { path: at(path), is_entry, ..Code::default() };
        assert_eq!(project.find("Create", &deployed, &code), [expected], "{path}");
    }
}

#[test]
fn options_of_the_tool_reach_the_build() {
    let project = Project::of(&["create.ts", "work/Cargo.toml|[package]\nname = \"work\"\n"]);
    let root = &project.places.root;
    let bundling =
        crate::project::manifest::Bundling { target: Some("es2022".to_owned()), ..Default::default() };
    let code = Code {
        path: Some(root.clone()),
        bundling: Some(bundling.clone()),
        root: Some(root.join("up")),
        ..Code::default()
    };
    let found = project.sourced("Create", &function("nodejs22.x", "create.handler"), &code).unwrap();
    let Source::Entry { bundling: with, root: from, .. } = &found.spec.source else { panic!("{found:?}") };
    assert_eq!((with.as_ref(), from), (&bundling, &root.join("up")));

    let build = BuildOptions { binary: Some("worker".to_owned()), ..BuildOptions::default() };
    let code = Code { path: Some(root.join("work")), build: Some(build.clone()), ..Code::default() };
    let found = project.sourced("Work", &function("provided.al2023", "bootstrap"), &code).unwrap();
    let Source::Program { build: with, .. } = &found.spec.source else { panic!("{found:?}") };
    assert_eq!((with.as_ref(), found.shown.as_str()), (&build, "worker in work/, Rust"));
}

#[test]
fn what_cannot_run_here_is_left_alone() {
    let project = Project::of(&["create.ts"]);
    let of = |deployed: &Deployed, code: &Code| project.find("Create", deployed, code).remove(0);
    let image = Deployed { is_image: true, ..Deployed::default() };
    assert!(of(&image, &Code::default()).contains("container image"));
    assert!(of(&function("ruby3.4", "create.handler"), &Code::default()).contains("Ruby"));
    let wrapped = function("nodejs22.x", "newrelic-lambda-wrapper.handler");
    assert!(of(&wrapped, &Code::default()).contains("NEW_RELIC_LAMBDA_HANDLER"));
    let unable = Code { unable: Some("for a reason".to_owned()), ..Code::default() };
    assert_eq!(of(&function("nodejs22.x", "create.handler"), &unable), "unable: for a reason");
}

#[test]
fn what_synthesis_has_found_out_stays_with_what_is_deployed() {
    let project = Project::of(&["create.ts"]);
    let deployed = Deployed {
        timeout_s: 7,
        layers: vec!["arn:layer:1".to_owned()],
        ..function("nodejs20.x", "index.handler")
    };
    let known =
        project.sourced("Create", &function("nodejs22.x", "create.handler"), &Code::default()).unwrap().spec;
    let known = FunctionSpec { id: "Orders/Create".into(), ..known };
    let code = Code { known: Some(Box::new(known.clone())), ..Code::default() };
    let found = project.sourced("Orders/Create", &deployed, &code).unwrap();
    assert_eq!((found.spec.id.as_str(), found.spec.timeout_s), ("orders-dev-create", Some(7)));
    assert_eq!((&found.spec.source, found.spec.handler.as_str()), (&known.source, "create.handler"));
    assert_eq!(found.spec.layers, [Layer::Published { arn: "arn:layer:1".to_owned() }]);
    assert_eq!(found.shown, "create.ts");
}

#[test]
fn a_name_is_mentioned_where_it_is_a_whole_one() {
    assert!(mentions("export const handler = 1", "handler"));
    assert!(mentions("exports.handler=1", "handler"));
    assert!(!mentions("export const handlers = $handler", "handler"));
}
