use camino::Utf8PathBuf;
use serde_json::json;

use super::*;
use crate::{process::Spawner, ui::Ui};

/// A directory with a configuration, and the states of some workspaces.
struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        project.write("main.tf", "");
        project
    }

    /// One whose state has these resources.
    fn with(resources: &[Value]) -> Self {
        let project = Self::new();
        project.write("terraform.tfstate", &json!({ "version": 4, "resources": resources }).to_string());
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

    /// What is read without the tool: nobody has run `init` here.
    async fn read(&self, stage: Option<&str>, region: Option<&str>) -> Result<Option<Declaration>> {
        let (ui, _events) = Ui::channel();
        let spawner = Spawner::of_this_program();
        declare(&Asked { root: self.root(), stage, region, spawner: &spawner, ui: &ui }).await
    }

    /// The sources of the functions, relative to the project.
    async fn sources(&self) -> Vec<Option<Utf8PathBuf>> {
        let declaration = self.read(None, None).await.unwrap().unwrap();
        let paths = declaration.functions.into_iter().map(|function| function.code.path);
        paths.map(|path| path.map(|path| path.strip_prefix(self.root()).unwrap().to_owned())).collect()
    }
}

fn recorded(name: &str) -> String {
    let fixtures = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/attach/terraform");
    fs_err::read_to_string(fixtures.join(name)).unwrap()
}

fn resource(mode: &str, module: Option<&str>, address: &str, attributes: Value) -> Value {
    let (kind, name) = address.split_once('.').unwrap();
    let mut resource =
        json!({ "mode": mode, "type": kind, "name": name, "instances": [{ "attributes": attributes }] });
    if let Some(module) = module {
        resource["module"] = module.into();
    }
    resource
}

fn function(attributes: Value) -> Value {
    let mut all =
        json!({ "function_name": "f", "runtime": "python3.12", "handler": "app.run", "package_type": "Zip" });
    all.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
    resource("managed", None, "aws_lambda_function.f", all)
}

#[test]
fn the_file_of_a_state_says_what_the_tool_shows_of_it() {
    for workspace in ["default", "dev"] {
        let directory = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(directory.path()).unwrap().join("state");
        fs_err::write(&file, recorded(&format!("state.{workspace}.json"))).unwrap();
        let read = State::of_file(&file).unwrap();
        let shown =
            State::of_show(&serde_json::from_str(&recorded(&format!("show.{workspace}.json"))).unwrap())
                .unwrap();
        let all = |state: &State| {
            let mut all: Vec<Resource> = state.managed("aws_lambda_function").cloned().collect();
            all.extend(state.managed("aws_s3_object").cloned());
            all.sort_by(|one, next| one.address.cmp(&next.address));
            all
        };
        assert_eq!(all(&read).len(), 9);
        assert_eq!(all(&read), all(&shown), "{workspace}");
    }
}

#[tokio::test]
async fn functions_of_all_modules_and_instances_are_found() {
    let project = Project::new();
    project.write("terraform.tfstate", &recorded("state.default.json"));
    project.write("terraform.tfstate.d/dev/terraform.tfstate", &recorded("state.dev.json"));
    project.write("modules/reports/Cargo.toml", "");
    for (stage, workspace, shown) in [
        (None, "default", "terraform.tfstate (workspace default)"),
        (Some("dev"), "dev", "terraform.tfstate.d/dev/terraform.tfstate (workspace dev)"),
    ] {
        let read = project.read(stage, None).await.unwrap().unwrap();
        assert_eq!((read.shown.as_str(), read.stage.as_deref()), (shown, Some(workspace)));
        assert_eq!(read.region.as_deref(), Some("eu-west-1"), "where most of them are");
        let found: Vec<(String, Which, Option<String>)> = read
            .functions
            .iter()
            .map(|one| (one.label.clone(), one.which.clone(), one.code.unable.clone()))
            .collect();
        let elsewhere = Some("it is in another region (`us-east-1`)".to_owned());
        let image = Some("it is a container image".to_owned());
        let expected = [
            ("aws_lambda_function.america", format!("orders-{workspace}-america"), elsewhere),
            ("aws_lambda_function.each[\"create\"]", format!("orders-{workspace}-create"), None),
            ("aws_lambda_function.each[\"delete\"]", format!("orders-{workspace}-delete"), None),
            ("aws_lambda_function.image", format!("orders-{workspace}-image"), image),
            ("aws_lambda_function.list", format!("orders-{workspace}-list"), None),
            ("module.reports[0].aws_lambda_function.report", format!("reports-{workspace}-0"), None),
            ("module.reports[1].aws_lambda_function.report", format!("reports-{workspace}-1"), None),
        ];
        assert_eq!(
            found,
            expected.map(|(label, name, unable)| (label.to_owned(), Which::Name(name), unable))
        );
        assert_eq!(
            read.notices,
            [
                "only functions in `eu-west-1` are looked for, and these are elsewhere: `aws_lambda_function.america` (us-east-1)"
            ]
        );
        let report = &read.functions[5].code;
        assert_eq!(
            report.path,
            Some(project.root().join("modules/reports/Cargo.toml")),
            "by way of its upload"
        );
        assert_eq!(report.build.as_ref().unwrap().binary.as_deref(), Some("report"));
    }
    let american = project.read(None, Some("us-east-1")).await.unwrap().unwrap();
    assert_eq!(american.region.as_deref(), Some("us-east-1"));
    assert_eq!(american.functions[0].code.unable, None);
    assert!(american.functions[4].code.unable.is_some());
}

#[tokio::test]
async fn an_archive_says_what_it_was_made_of() {
    for (archive, attributes, source) in [
        // By the file, however it is written.
        (
            json!({ "output_path": "./build/f.zip", "source_dir": "src" }),
            json!({ "filename": "build/f.zip" }),
            Some("src"),
        ),
        (
            json!({ "output_path": "f.zip", "source_file": "src/app.py" }),
            json!({ "filename": "f.zip" }),
            Some("src"),
        ),
        // By what is in it, when it was uploaded.
        (
            json!({ "output_path": "f.zip", "output_base64sha256": "HASH=", "source_dir": "dist" }),
            json!({ "s3_bucket": "b", "s3_key": "k", "source_code_hash": "HASH=" }),
            Some("dist"),
        ),
        (json!({ "output_path": "other.zip", "source_dir": "src" }), json!({ "filename": "f.zip" }), None),
        (
            json!({ "output_path": "f.zip", "source": [{ "content": "x", "filename": "app.py" }] }),
            json!({ "filename": "f.zip" }),
            None,
        ),
        (json!({ "output_path": null, "source_dir": "src" }), json!({}), None),
    ] {
        let archive = resource("data", None, "archive_file.f", archive);
        let project = Project::with(&[archive.clone(), function(attributes)]);
        project.write("src/app.py", "");
        assert_eq!(project.sources().await, [source.map(Utf8PathBuf::from)], "{archive}");
    }
}

#[tokio::test]
async fn an_archive_of_a_program_is_none_of_its_sources() {
    let archive = resource(
        "data",
        None,
        "archive_file.f",
        json!({ "output_path": "f.zip", "source_file": "cmd/f/bin/bootstrap" }),
    );
    let function =
        function(json!({ "filename": "f.zip", "runtime": "provided.al2023", "handler": "bootstrap" }));
    let project = Project::with(&[archive, function]);
    assert_eq!(project.sources().await, [None]);
    project.write("cmd/f/main.go", "");
    assert_eq!(project.sources().await, [Some("cmd/f".into())]);
}

#[tokio::test]
async fn the_plan_of_the_public_module_says_what_it_packs() {
    let module = |name: &str, plan: &str| {
        let mut function = function(json!({ "filename": "builds/x.zip", "function_name": name }));
        function["module"] = format!("module.{name}").into();
        let content = format!(
            "{{\"filename\": \"builds/x.zip\", \"runtime\": \"python3.12\", \"artifacts_dir\": \"builds\", \"build_plan\": {plan}, \"quiet\": \"false\"}}"
        );
        let module = format!("module.{name}");
        [
            resource("managed", Some(&module), "local_file.archive_plan", json!({ "content": content })),
            function,
        ]
    };
    // As `package.py` of the module's version 8 writes them.
    let resources = [
        module("plain", r#"[[["zip", "src", null]]]"#),
        module("file", r#"[[["zip", "src/app.py", "lib"]]]"#),
        module("built", r#"[[["set:workdir", "other"], ["sh", "npm ci"], ["zip:embedded", "dist"]]]"#),
        module("several", r#"[[["zip", "other", null]], [["zip", "src", null]]]"#),
    ];
    let project = Project::with(&resources.concat());
    project.write("src/app.py", "");
    project.write("other/package.json", "{}");
    let expected = ["src", "src", "other/dist", "src"].map(|path| Some(path.into()));
    assert_eq!(project.sources().await, expected);
    let notices = project.read(None, None).await.unwrap().unwrap().notices;
    assert_eq!(
        notices,
        [
            "`module.several.aws_lambda_function.f` is packed of several paths; it runs from `src`, without `other`"
        ]
    );
}

#[tokio::test]
async fn a_state_that_is_not_here_is_told_with_what_to_do() {
    let told = async |project: &Project, stage: Option<&str>| {
        let error = project.read(stage, None).await.unwrap_err();
        (error.message, error.hint.unwrap_or_default())
    };
    let project = Project::new();
    let (message, hint) = told(&project, None).await;
    assert_eq!(message, "this directory has no state of Terraform or OpenTofu");
    assert!(hint.contains("`terraform init`") && hint.contains("`--function`"), "{hint}");
    project.write("terraform.tfstate.d/dev/terraform.tfstate", "{}");
    let (message, hint) = told(&project, Some("prod")).await;
    assert_eq!(
        (message.as_str(), hint.as_str()),
        ("there is no state of the workspace `prod`", "there are: dev")
    );
    for (state, detail) in [
        ("{", "EOF while parsing an object at line 1 column 1"),
        (r#"{ "version": 3 }"#, "its version is 3, not 4"),
        (r#"{ "serial": 1, "encrypted_data": "x" }"#, "it is encrypted"),
    ] {
        project.write("terraform.tfstate", state);
        assert_eq!(project.read(None, None).await.unwrap_err().detail.as_deref(), Some(detail));
    }
    assert_eq!(Project(tempfile::tempdir().unwrap()).read(None, None).await.unwrap(), None, "no module");
}

#[test]
fn the_backend_says_where_the_state_is() {
    let project = Project::new();
    let backend = |text: &str| {
        project.write(".terraform/terraform.tfstate", text);
        Workspace::read(project.root(), None)
    };
    // As Terraform 1.11.4 writes it.
    let local = r#"{ "version": 3, "backend": { "type": "local", "config": { "path": "elsewhere/state.json", "workspace_dir": "spaces" } } }"#;
    assert_eq!(backend(local).file, Some(project.root().join("elsewhere/state.json")));
    project.write("spaces/dev/terraform.tfstate", "{}");
    project.write(".terraform/environment", "dev");
    let selected = backend(local);
    assert_eq!((selected.name.as_str(), &selected.others[..]), ("dev", &["dev".to_owned()][..]));
    assert_eq!(selected.file, Some(project.root().join("spaces/dev/terraform.tfstate")));
    let remote = backend(r#"{ "version": 3, "backend": { "type": "s3", "config": { "bucket": "b" } } }"#);
    assert_eq!((&remote.file, remote.backend.as_deref()), (&None, Some("s3")));
    let error = unread(&remote, false, None);
    assert_eq!(error.message, "the state is in a backend (`s3`) that only Terraform or OpenTofu reads");
    assert!(error.hint.unwrap().starts_with("install `terraform` or `tofu`"));
    let error = unread(&remote, true, Some("`terraform show` failed (no credentials)".to_owned()));
    assert_eq!(error.detail.as_deref(), Some("`terraform show` failed (no credentials)"));
}
