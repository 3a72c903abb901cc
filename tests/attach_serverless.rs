//! What `sst attach` finds by way of a project's own tool, which is a program of its `node_modules`.
#![allow(clippy::unwrap_used, reason = "a test may fail that way")]

use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use sst::{
    attach::find::{Asked, Declaration, Which, declare},
    process::Spawner,
    ui::Ui,
};
use tempfile::TempDir;

/// The fixture in TypeScript, with a framework that does as `script` says.
struct Project(TempDir);

impl Project {
    fn new(package: &str, version: &str, script: &str) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        for file in ["serverless.yml", "src/create.ts", "src/list.main.js"] {
            project.write(file, &fs_err::read_to_string(fixture().join(file)).unwrap());
        }
        project.write(
            &format!("node_modules/{package}/package.json"),
            &format!(r#"{{ "version": "{version}" }}"#),
        );
        let program = format!("node_modules/.bin/{package}");
        project.write(&program, &format!("#!/bin/sh\n{script}\n"));
        let executable = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(project.root().join(program), executable).unwrap();
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

    async fn read(&self) -> Declaration {
        let spawner = Spawner::guarded_by(env!("CARGO_BIN_EXE_sst"));
        let (ui, _events) = Ui::channel();
        let asked = Asked {
            root: self.root(),
            stage: Some("prod"),
            region: Some("eu-north-1"),
            spawner: &spawner,
            ui: &ui,
        };
        let declaration = declare(&asked).await.unwrap().unwrap();
        spawner.end().await;
        declaration
    }
}

fn fixture() -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/attach/serverless/typescript")
}

fn names(declaration: &Declaration) -> Vec<&str> {
    let names = declaration.functions.iter().map(|function| match &function.which {
        Which::Name(name) => name.as_str(),
        Which::Resource { logical_id, .. } => logical_id.as_str(),
    });
    names.collect()
}

#[tokio::test]
async fn a_projects_own_framework_is_asked_and_can_ask_nothing() {
    // Reading comes to an end at once, or else this would wait for ever.
    let script =
        "cat > read; echo \"$@\" > arguments; echo $CI > ci; echo 'a plugin says this'; cat printed.json";
    let project = Project::new("osls", "4.3.1", script);
    let printed = fs_err::read_to_string(fixture().join("printed.prod.json")).unwrap();
    project.write("printed.json", &printed.replace("orders-prod-create", "as-only-the-tool-knows"));
    let read = project.read().await;
    assert_eq!(names(&read), ["as-only-the-tool-knows", "orders-prod-list"]);
    assert_eq!(read.functions[0].code.path, Some(project.root().join("src/create.ts")));
    let said = |file: &str| fs_err::read_to_string(project.root().join(file)).unwrap();
    assert_eq!(said("arguments"), "print --format json --stage prod --region eu-north-1\n");
    assert_eq!((said("read").as_str(), said("ci").as_str()), ("", "1\n"));
}

#[tokio::test]
async fn a_framework_that_fails_is_told_and_the_file_is_read_without_it() {
    let project = Project::new("serverless", "3.40.0", "echo Error: >&2; echo 'No such plugin' >&2; exit 1");
    let read = project.read().await;
    assert_eq!(names(&read), ["orders-prod-create", "orders-prod-list"]);
    assert_eq!(
        read.notices[0],
        "`serverless print` failed (No such plugin): `serverless.yml` was read without it"
    );
    assert_eq!(read.region.as_deref(), Some("eu-north-1"));
}

#[tokio::test]
async fn version_4_is_not_asked_without_a_key() {
    assert_eq!(std::env::var_os("SERVERLESS_ACCESS_KEY"), None, "this test is about its absence");
    let project = Project::new("serverless", "4.2.0", "touch started");
    let read = project.read().await;
    assert_eq!(names(&read), ["orders-prod-create", "orders-prod-list"]);
    assert!(read.notices[0].contains("set `SERVERLESS_ACCESS_KEY` to have it asked"), "{:?}", read.notices);
    assert!(!project.root().join("started").exists());
}
