use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::ui::{Ui, UiEvent};

struct Place {
    // Removed from disk when it is dropped.
    _directory: tempfile::TempDir,
    root: Utf8PathBuf,
}

fn place(files: &[(&str, &str)]) -> Place {
    let directory = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::try_from(directory.path().canonicalize().unwrap()).unwrap();
    for (name, content) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    Place { _directory: directory, root }
}

fn error_of(files: &[(&str, &str)]) -> Error {
    let place = place(files);
    Project::find(&place.root).unwrap_err()
}

#[test]
fn the_project_is_found_from_below_and_read() {
    let place = place(&[
        (
            "sst.json",
            "\u{feff}{ \"name\": \"notes\", \"region\": \"eu-west-1\", \"main\": \"stacks/index.ts\",
               \"functions\": { \"Api/List\": { \"entry\": \"src/list.ts\", \"handler\": \"main\" },
                                \"Api/Get\": { \"directory\": \"src\" } } }",
        ),
        ("src/deep/file.txt", ""),
    ]);
    let project = Project::find(&place.root.join("src/deep")).unwrap();
    assert_eq!(project.root, place.root);
    assert_eq!(project.name, "notes");
    assert_eq!(project.region.as_deref(), Some("eu-west-1"));
    assert_eq!(
        project.kind,
        Kind::Sst { main: Some(place.root.join("stacks/index.ts")), context: Map::new() }
    );
    assert_eq!(
        project.functions["Api/List"],
        HandMapping {
            source: HandSource::Entry(place.root.join("src/list.ts")),
            handler: Some("main".into()),
            policy_attached: false
        }
    );
    assert_eq!(project.functions["Api/Get"].source, HandSource::Directory(place.root.join("src")));
}

#[test]
fn a_cdk_project_takes_its_name_from_the_package() {
    let place = place(&[
        ("cdk.json", r#"{ "app": ["node", "bin/app.js"], "build": "tsc", "context": { "a": 1 } }"#),
        ("package.json", r#"{ "name": "@acme/my.shop" }"#),
    ]);
    let project = Project::find(&place.root).unwrap();
    assert_eq!(project.name, "my-shop");
    let Kind::Cdk { app, build, context } = project.kind else { panic!("not a cdk project") };
    assert_eq!((app.as_str(), build.as_deref()), ("node bin/app.js", Some("tsc")));
    assert_eq!(context["a"], 1);
}

#[test]
fn a_cdk_project_may_have_an_sst_json_for_its_mappings() {
    let place = place(&[
        ("cdk.json", r#"{ "app": "node app.js" }"#),
        ("sst.json", r#"{ "name": "shop", "functions": { "A/F": { "directory": "." } } }"#),
    ]);
    let project = Project::find(&place.root).unwrap();
    assert!(matches!(project.kind, Kind::Cdk { .. }));
    assert_eq!(project.name, "shop");
    assert!(project.functions.contains_key("A/F"));
}

#[test]
fn bad_files_are_told_apart() {
    let nothing = error_of(&[]);
    assert!(nothing.message.starts_with("no `sst.json` or `cdk.json` in"), "{nothing}");
    assert_eq!(nothing.exit_code(), 2);

    let malformed = error_of(&[("sst.json", "{\n  \"name\": \"x\"\n  \"region\": \"y\"\n}\n")]);
    assert!(malformed.message.contains("sst.json:3:3: not valid JSON: expected `,` or `}`"), "{malformed}");
    assert!(malformed.detail.unwrap().contains("> 3 |   \"region\": \"y\""));

    assert!(error_of(&[("sst.json", "")]).message.ends_with("sst.json` is empty"));
    assert!(error_of(&[("sst.json", "[]")]).message.ends_with("must hold a JSON object, not a list"));
    assert!(error_of(&[("sst.json", "{}")]).message.ends_with("sst.json` has no `name`"));
    assert!(error_of(&[("sst.json", r#"{"name": 1}"#)]).message.contains("must be a string, not a number"));
    for name in ["1st", "my app", "-x", "my_app", "", "naïve"] {
        let error = error_of(&[("sst.json", &format!(r#"{{"name": "{name}"}}"#))]);
        assert!(error.message.contains("cannot be part of"), "{name}: {error}");
    }
    assert!(error_of(&[("cdk.json", "{}")]).message.ends_with("cdk.json` has no `app`"));
    assert!(
        error_of(&[("sst.json", r#"{"name": "a", "functions": {"A/F": {}}}"#)])
            .message
            .contains("has neither `entry` nor `directory`")
    );
    assert!(
        error_of(&[("sst.json", r#"{"name": "a", "functions": {"A/F": {"entry": 5}}}"#)])
            .message
            .contains(r#"`functions."A/F".entry` in"#)
    );
}

fn project(place: &Place, stage_in_file: Option<&str>) -> Project {
    Project {
        root: place.root.clone(),
        name: "notes".into(),
        region: None,
        kind: Kind::Sst { main: None, context: Map::new() },
        functions: BTreeMap::new(),
        stage_in_file: stage_in_file.map(str::to_owned),
        masked: Vec::new(),
        unknown: Vec::new(),
        cdk: Default::default(),
    }
}

fn nobody(_: Option<&str>, _: Option<String>) -> Result<String> {
    panic!("nobody is to be asked")
}

#[test]
fn the_stage_comes_from_the_first_place_that_names_one() {
    let place = place(&[]);
    let (ui, mut shown) = Ui::channel();
    let request = StageRequest { interactive: true, suggestion: Some("jane.doe"), ..StageRequest::default() };
    let flag = StageRequest { flag: Some("prod"), ..request };
    assert_eq!(resolve_stage(&project(&place, Some("team")), flag, &ui, nobody).unwrap(), "prod");
    assert!(shown.try_recv().is_err());

    assert_eq!(resolve_stage(&project(&place, Some("team")), request, &ui, nobody).unwrap(), "team");
    assert!(matches!(shown.try_recv(), Ok(UiEvent::Warning(text)) if text.contains("deprecated")));

    // A fallback is taken for this run only, so that it is not used on AWS by mistake later on.
    let local = StageRequest { fallback: Some("dev"), ..request };
    assert_eq!(resolve_stage(&project(&place, None), local, &ui, nobody).unwrap(), "dev");
    assert!(!place.root.join(".sst/stage").exists());

    let mut answers = vec!["", "no spaces please"];
    let answered = resolve_stage(&project(&place, None), request, &ui, |suggestion, wrong| {
        assert_eq!(suggestion, Some("jane-doe"));
        assert_eq!(wrong.is_some_and(|wrong| wrong.contains("`no spaces please`")), answers.len() == 1);
        Ok(answers.pop().unwrap().to_owned())
    });
    assert_eq!(answered.unwrap(), "jane-doe");
    assert!(answers.is_empty(), "a bad answer is asked for again");
    assert_eq!(resolve_stage(&project(&place, None), local, &ui, nobody).unwrap(), "jane-doe");
}

#[test]
fn without_a_stage_and_without_a_terminal_it_is_an_error() {
    let place = place(&[]);
    let (ui, _shown) = Ui::channel();
    let error = resolve_stage(&project(&place, None), StageRequest::default(), &ui, nobody).unwrap_err();
    assert!(error.hint.unwrap().contains("--stage"));
    for bad in ["", "a b", "1", "ünï", "-", &"x".repeat(51)] {
        let request = StageRequest { flag: Some(bad), ..StageRequest::default() };
        assert!(resolve_stage(&project(&place, None), request, &ui, nobody).is_err(), "{bad}");
    }
}

#[test]
fn the_state_directory_is_private_and_ignored() {
    let place = place(&[]);
    std::fs::create_dir(place.root.join(".sst")).unwrap();
    let state = StateDir::open(&place.root).unwrap();
    let mode = |path: &Utf8Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state.path("")), 0o700);
    state.write("functions.json", b"{}").unwrap();
    state.write("functions.json", b"{\"a\":1}").unwrap();
    assert_eq!(mode(&state.path("functions.json")), 0o600);
    assert_eq!(state.read("functions.json").unwrap().as_deref(), Some("{\"a\":1}"));
    assert_eq!(state.read(".gitignore").unwrap().as_deref(), Some("*\n"));
    assert_eq!(state.read("missing").unwrap(), None);
    assert_eq!(std::fs::read_dir(state.path("")).unwrap().count(), 2, "no temporary files stay");
}

#[test]
fn links_out_of_the_state_directory_are_refused() {
    let place = place(&[("elsewhere/file", "kept")]);
    let [state, elsewhere] = [".sst", "elsewhere"].map(|name| place.root.join(name));
    std::os::unix::fs::symlink(&elsewhere, &state).unwrap();
    let error = StateDir::open(&place.root).unwrap_err();
    assert_eq!(error.message, format!("`{state}` is a symbolic link"));
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 1, "nothing is written through it");
    std::fs::remove_file(&state).unwrap();
    StateDir::open(&place.root).unwrap();
    let log = state.join("local-cloud.log");
    std::os::unix::fs::symlink(elsewhere.join("file"), &log).unwrap();
    assert_eq!(StateDir::open(&place.root).unwrap_err().message, format!("`{log}` is a symbolic link"));
    std::fs::remove_file(&log).unwrap();
    // One of our own.
    std::os::unix::fs::symlink(&elsewhere, state.join("cloud-modules")).unwrap();
    StateDir::open(&place.root).unwrap();
}

#[test]
fn a_state_directory_that_cannot_be_one_is_an_error_that_names_it() {
    let place = place(&[(".sst", "a file")]);
    let error = StateDir::open(&place.root).unwrap_err();
    assert!(error.message.contains("cannot write"), "{error}");
    assert!(error.hint.unwrap().contains(".sst"));
    assert_eq!(error.kind, ErrorKind::Environment);
}

mod fuzz {
    use proptest::prelude::*;
    use sst_fuzz::{corpus, damaged, damaged_json, fuzz};

    use super::*;

    #[test]
    fn whatever_the_projects_files_hold_is_read_or_an_error() {
        let documents = corpus("sst-json");
        let values = documents.iter().map(|document| serde_json::from_slice(document).unwrap()).collect();
        let inputs = (prop_oneof![damaged(documents), damaged_json(values)], 0..4_u8);
        let place = place(&[("package.json", "{ \"name\": \"@scope/notes\" }")]);
        let (sst, cdk) = (place.root.join("sst.json"), place.root.join("cdk.json"));
        fuzz("sst.json", file!(), 800, &inputs, |(bytes, files)| {
            // As either file, as both, and beside a good one.
            let good: &[u8] = br#"{ "name": "a", "app": "b" }"#;
            std::fs::write(&sst, if files == 2 { good } else { &bytes }).unwrap();
            std::fs::write(&cdk, if files == 0 { good } else { &bytes }).unwrap();
            if files == 1 {
                std::fs::remove_file(&sst).unwrap();
            }
            match Project::find(&place.root) {
                Ok(project) => drop(project.may_change_debug_stack()),
                Err(error) => assert!(!error.message.is_empty() && format!("{error:?}").len() < 4_000_000),
            }
        });
    }
}

#[test]
fn projects_of_other_tools_are_found_only_where_functions_are_attached() {
    for file in ["samconfig.toml", "template.yaml", "serverless.yml", "main.tf", "terraform.tfstate"] {
        let place = place(&[(file, ""), ("src/list.js", "")]);
        let below = place.root.join("src");
        let project = Project::find_any(&below).unwrap();
        assert_eq!((&project.root, &project.kind), (&place.root, &Kind::Deployed), "{file}");
        let hint = Project::find(&below).unwrap_err().hint.unwrap();
        assert!(hint.contains(file) && hint.contains("sst attach"), "{hint}");
        // A template in a directory of an app is no project by itself.
        assert!(Project::find_served(&below).is_err(), "{file}");
        std::fs::create_dir(place.root.join(".sst")).unwrap();
        std::fs::write(place.root.join(".sst/start.lock"), "").unwrap();
        assert_eq!(Project::find_served(&below).unwrap().root, place.root, "{file}");
    }
    let nothing = place(&[("src/list.js", "")]);
    let below = nothing.root.join("src");
    assert_eq!(Project::find_any(&below).unwrap().root, below);
    let app = place(&[("cdk.json", "{ \"app\": \"x\" }"), ("fn/template.yaml", "")]);
    assert_eq!(Project::find_served(&app.root.join("fn")).unwrap().root, app.root);
}

#[test]
fn an_sst_json_may_only_say_where_functions_are() {
    let mapping = "{ \"functions\": { \"orders-list\": { \"entry\": \"src/list.ts\" } } }";
    let place = place(&[("sst.json", mapping)]);
    let project = Project::find_any(&place.root).unwrap();
    assert_eq!(project.kind, Kind::Deployed);
    assert_eq!(project.functions["orders-list"].source, HandSource::Entry(place.root.join("src/list.ts")));
    let error = Project::find(&place.root).unwrap_err();
    assert!(error.message.ends_with("has no `name`"), "{}", error.message);
    assert!(error_of(&[("sst.json", "{ \"region\": \"eu-west-1\" }")]).message.ends_with("has no `name`"));
}
