//! Cloud assemblies as a construct with other ideas, or a broken disk, could leave them.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use sst_fuzz::{corpus, damaged_values, fuzz};

use super::{expressions::stubs, *};
use crate::{debug_stack::DebugStack, project::Kind};

const FILES: [(&str, &str); 6] = [
    ("manifest", "manifest.json"),
    ("template", "App.template.json"),
    ("nested", "Nested.nested.template.json"),
    ("assets", "App.assets.json"),
    ("stage", "stage/manifest.json"),
    ("prod", "stage/Prod.template.json"),
];

struct Place {
    directory: Utf8PathBuf,
    project: Project,
    debug_stack: DebugStack,
}

impl Place {
    fn new(root: &Utf8Path) -> Self {
        // Deep enough for every `..` in the corpus of damages.
        let root = root.join("a/b/c/d/e");
        for directory in ["assembly/stage", "live"] {
            fs_err::create_dir_all(root.join(directory)).unwrap();
        }
        let kind = Kind::Cdk { app: "node app.js".to_owned(), build: None, context: Default::default() };
        let project = Project {
            root: root.clone(),
            name: "app".to_owned(),
            region: None,
            kind,
            functions: Default::default(),
            stage_in_file: None,
            masked: Vec::new(),
            unknown: Vec::new(),
            cdk: Default::default(),
        };
        let debug_stack = DebugStack {
            endpoint: "wss://a.example/dev".into(),
            management: "https://a.example/dev".into(),
            api_id: "abcdef1234".into(),
            api_stage: "dev".into(),
            table: "connections".into(),
            table_arn: "arn:aws:dynamodb:eu-west-1:123456789012:table/connections".into(),
            bucket: "payloads".into(),
            stub_policy: None,
            answers: crate::debug_stack::Answers::Mock,
        };
        Self { directory: root, project, debug_stack }
    }

    /// Writes the assembly and goes through what `sst start` does with one.
    fn serve(&self, documents: &Value) {
        let assembly = self.directory.join("assembly");
        for (name, file) in FILES {
            fs_err::write(assembly.join(file), documents[name].to_string()).unwrap();
        }
        let sources = documents["sources"].as_array().into_iter().flatten();
        let sources: String = sources.map(|source| format!("{source}\n")).collect();
        let records = self.directory.join("functions.jsonl");
        fs_err::write(&records, sources).unwrap();
        let Ok(assembly) = Assembly::read(&assembly, &records, "dev", "123456789012", "eu-west-1") else {
            return;
        };
        let Ok(manifest) = discover(&assembly, &self.project) else { return };
        for increase_timeout in [false, true] {
            let live = self.directory.join("live");
            fs_err::remove_dir_all(&live).unwrap();
            fs_err::create_dir(&live).unwrap();
            let options = Options {
                debug_stack: &self.debug_stack,
                region: "eu-west-1",
                increase_timeout,
                today: jiff::civil::date(2026, 11, 30),
                stubs: &stubs(),
                kept: &Kept::new(),
            };
            let Ok(rewritten) = rewrite(&assembly, &manifest, &options, &live) else { return };
            assert_eq!(changes(&rewritten.templates, &rewritten.templates), []);
            let _ = changes(&[], &rewritten.templates);
            let _ = abandoned(&rewritten.templates, &[]);
            let _ = asset_directories(&live);
            let _ = StackSources::new(&self.directory, &assembly.inputs, &rewritten.manifest.functions);
        }
    }
}

#[test]
fn damaged_assemblies_are_refused_or_rewritten() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::new(Utf8Path::from_path(directory.path()).unwrap());
    let documents: Vec<Value> =
        corpus("templates").iter().map(|document| serde_json::from_slice(document).unwrap()).collect();
    for document in &documents {
        place.serve(document);
        let live = fs_err::read_to_string(place.directory.join("live/App.template.json")).unwrap();
        assert!(live.contains("SST_STUB"), "the undamaged app has stubs");
    }
    fuzz("templates", file!(), 100, &damaged_values(documents), |documents| place.serve(&documents));
}
