//! Functions whose code the app makes of an asset by commands or a function of its own, as `Code.fromAsset` takes them for a container:
//! never in a container here, but with the developer's own tools. What comes of it is a directory like any other. So are layers made.

use std::{io, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::{
    COMMAND, Language, Toolbox,
    made::{Listing, Made, MadeLayer},
    not_compiled,
    program::{TO_COMPILE, follow},
    unbuildable,
};
use crate::{
    core::event::{Artifact, BuildError},
    ids::FunctionId,
    ignored,
    process::Command,
    project::manifest::{FunctionSpec, Making, Source},
};

/// Stands for the directory of what is made, in commands and paths of the app.
const OUTPUT: &str = "/asset-output";

/// What the app says of its own function for making code.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    /// It has made the code.
    Made,
    /// It leaves that to the commands.
    Declined,
    /// It has failed.
    Failed(String),
}

/// Makes the code, and of that the artifact of its language.
pub(super) async fn artifact(
    language: &'static dyn Language,
    spec: &Arc<FunctionSpec>,
    tools: &Toolbox,
    on_line: &mut (dyn FnMut(&str) + Send),
) -> Result<Artifact, BuildError> {
    let Source::Made { path, making } = &spec.source else {
        return language.build(spec, tools, on_line).await;
    };
    let order = Order { id: &spec.id, path, making, directory: tools.directory(spec) };
    let output = order.directory.join("code");
    let mut made = tools.made.lock().await.remove(&spec.id).unwrap_or_default();
    let put = |next: &Utf8Path| {
        language.map_copies(next, path)?;
        // In one step: workers load what is there. And always to the same place, so that breakpoints stay.
        let _ = fs_err::remove_dir_all(&output);
        fs_err::rename(next, &output)
    };
    let result = order.fill(&mut made, output.is_dir(), put, tools, on_line).await;
    tools.made.lock().await.insert(spec.id.clone(), made);
    let inputs = result?;
    let source = source_of(language, &output).map_err(|error| unbuildable(error, inputs.clone()))?;
    let spec = Arc::new(FunctionSpec { source, ..FunctionSpec::clone(spec) });
    let with_inputs = |others: Vec<Utf8PathBuf>| {
        let others = others.into_iter().filter(|file| !file.starts_with(&output));
        inputs.iter().cloned().chain(others).collect()
    };
    match language.build(&spec, tools, on_line).await {
        Ok(artifact) => Ok(Artifact { inputs: with_inputs(artifact.inputs.clone()), ..artifact }),
        Err(error) => Err(BuildError { inputs: with_inputs(error.inputs.clone()), ..error }),
    }
}

/// Makes a layer, unless it is there. Returns its directory or archive, and what it is made of.
///
/// It is in another directory each time: other functions may still run with the one before.
///
/// # Errors
/// When its commands fail, or make nothing.
pub(crate) async fn layer(
    name: &FunctionId,
    path: &Utf8Path,
    making: &Making,
    tools: &Toolbox,
    on_line: &mut (dyn FnMut(&str) + Send),
) -> Result<(Utf8PathBuf, Vec<Utf8PathBuf>), BuildError> {
    let order = Order { id: name, path, making, directory: tools.layer(name) };
    // Functions that have the same one wait here for one another.
    let mut layers = tools.made_layers.lock().await;
    let MadeLayer { made, number } = layers.entry(name.clone()).or_default();
    let place = |number: usize| order.directory.join(number.to_string());
    if *number == 0 {
        // Of an earlier session.
        let _ = fs_err::remove_dir_all(&order.directory);
    }
    let is_there = place(*number).is_dir();
    let put = |next: &Utf8Path| {
        *number += 1;
        fs_err::rename(next, place(*number))?;
        if let Some(older) = number.checked_sub(2) {
            let _ = fs_err::remove_dir_all(place(older));
        }
        Ok(())
    };
    let inputs = order.fill(made, is_there, put, tools, on_line).await?;
    let place = place(*number);
    let archive = only_archive(&place).map_err(|error| unbuildable(error.to_string(), inputs.clone()))?;
    Ok((archive.unwrap_or(place), inputs))
}

/// What is to be made of an asset.
struct Order<'a> {
    id: &'a FunctionId,
    /// The asset.
    path: &'a Utf8Path,
    making: &'a Making,
    /// Where that is done.
    directory: Utf8PathBuf,
}

impl Order<'_> {
    /// Makes it, unless it `is_there` and what it is made of is what it was. `put` puts it in its place. Returns what is watched.
    async fn fill(
        &self,
        made: &mut Made,
        is_there: bool,
        put: impl FnOnce(&Utf8Path) -> io::Result<()>,
        tools: &Toolbox,
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Vec<Utf8PathBuf>, BuildError> {
        let &Self { path, making, .. } = self;
        let listed = async || list(path).await.map_err(|error| unbuildable(error, vec![path.to_owned()]));
        let before = listed().await?;
        let read: Listing = before.iter().filter(|(file, _)| !made.written(file)).map(owned).collect();
        if is_there && made.making.as_ref() == Some(making) && made.read == read {
            // Only its own commands have written to the asset.
            return Ok(made.inputs(path, &before));
        }
        let next = self.directory.join("next");
        let result = self.make(&next, tools, on_line).await;
        let after = listed().await?;
        made.note(&before, &after);
        let inputs = made.inputs(path, &after);
        if let Err(error) = result {
            return Err(BuildError { inputs, ..error });
        }
        put(&next).map_err(|error| unbuildable(error.to_string(), inputs.clone()))?;
        // As they were before: what has been saved meanwhile may have come too late.
        made.read = before.iter().filter(|(file, _)| !made.written(file)).map(owned).collect();
        made.making = Some(making.clone());
        Ok(inputs)
    }

    /// Makes it in `next`.
    async fn make(
        &self,
        next: &Utf8Path,
        tools: &Toolbox,
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), BuildError> {
        let &Self { path, making, .. } = self;
        let cannot = |summary: String| unbuildable(summary, Vec::new());
        let _ = fs_err::remove_dir_all(next);
        fs_err::create_dir_all(next).map_err(|error| cannot(error.to_string()))?;
        let by_app = match &making.by_app {
            Some(_) => self.ask_app(next, tools, on_line).await?,
            None => false,
        };
        if !by_app {
            let words: Vec<String> =
                making.command.iter().map(|word| word.replace(OUTPUT, next.as_str())).collect();
            let Some((program, arguments)) = words.split_first() else {
                return Err(cannot(
                    "the app's `tryBundle` has bundled nothing, and there is no `command`".to_owned(),
                ));
            };
            let mut command = Command::new(program);
            command.args(arguments).current_dir(making.directory.as_str().replace(OUTPUT, next.as_str()));
            command.envs(&making.environment).env("PATH", search_path(path));
            let said = follow(&tools.spawner, command, TO_COMPILE, on_line).await;
            let shown = making.command.join(" ");
            let said = said.map_err(|error| cannot(format!("`{shown}` cannot be run: {error}")))?;
            if !said.status.success() {
                let summary = format!("`{shown}` ended with {}", said.status);
                let detail = format!("{summary}\n{}{}", said.stdout, said.stderr);
                return Err(not_compiled(summary, detail.trim_end().to_owned(), Vec::new()));
            }
        }
        let mut made = next.read_dir_utf8().map_err(|error| cannot(error.to_string()))?;
        if made.next().is_none() {
            return Err(cannot(format!(
                "the bundling of `{path}` has put nothing into its output directory"
            )));
        }
        Ok(())
    }

    /// Has the app call its own function. Returns whether that has made the code.
    async fn ask_app(
        &self,
        next: &Utf8Path,
        tools: &Toolbox,
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<bool, BuildError> {
        let cannot = |summary: String| unbuildable(summary, Vec::new());
        let Some(synthesis) = &self.making.by_app else { return Ok(false) };
        let directory = self.directory.join("synthesis");
        let _ = fs_err::remove_dir_all(&directory);
        fs_err::create_dir_all(&directory).map_err(|error| cannot(error.to_string()))?;
        let sources = directory.join("sources.jsonl");
        let (program, arguments) =
            synthesis.command.split_first().ok_or_else(|| cannot("the app has no command".to_owned()))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&tools.project)
            .envs(&synthesis.environment)
            .env("CDK_OUTDIR", directory.join("cdk.out"))
            .env("SST_SOURCES", &sources)
            .env("SST_MAKE", self.id.as_str())
            .env("SST_MAKE_OUTPUT", next);
        let said = follow(&tools.spawner, command, TO_COMPILE, on_line).await;
        let said = said.map_err(|error| cannot(format!("the app cannot be run: {error}")))?;
        // How the app ends says nothing: it is stopped in the middle.
        let answer = fs_err::read(format!("{sources}.made.json")).ok();
        match answer.and_then(|text| serde_json::from_slice(&text).ok()) {
            Some(Answer::Made) => Ok(true),
            Some(Answer::Declined) => Ok(false),
            Some(Answer::Failed(error)) => {
                let summary = format!("`tryBundle`: {}", error.lines().next().unwrap_or_default());
                let detail = format!("{error}\n{}{}", said.stdout, said.stderr);
                Err(not_compiled(summary, detail.trim_end().to_owned(), Vec::new()))
            }
            None => {
                let summary = "the app has not come to the bundling of it".to_owned();
                let detail = format!("{summary}\n{}{}", said.stdout, said.stderr);
                Err(not_compiled(summary, detail.trim_end().to_owned(), Vec::new()))
            }
        }
    }
}

fn owned((file, stamp): (&Utf8PathBuf, &String)) -> (Utf8PathBuf, String) {
    (file.clone(), stamp.clone())
}

/// The commands of the project's packages come first, as in `npm run`.
fn search_path(directory: &Utf8Path) -> String {
    let own = directory.ancestors().map(|above| above.join("node_modules/.bin").into_string());
    own.chain(std::env::var("PATH")).collect::<Vec<_>>().join(":")
}

/// What has been made, as a source of its language.
fn source_of(language: &dyn Language, output: &Utf8Path) -> Result<Source, String> {
    let directory = output.to_owned();
    if language.id() == COMMAND {
        return Ok(Source::Command { command: vec!["./bootstrap".to_owned()], directory });
    }
    let Some(only) = only_archive(output).map_err(|error| error.to_string())? else {
        return Ok(Source::Directory { path: directory });
    };
    if language.takes_archives() {
        return Ok(Source::Program { path: only, directory, build: Box::default() });
    }
    let name = only.file_name().unwrap_or_default();
    Err(format!(
        "its bundling makes the archive `{name}`, which is not unpacked here: have it leave the files"
    ))
}

/// The archive that has been made, where it is all that has. The library takes that for the asset by itself.
fn only_archive(output: &Utf8Path) -> io::Result<Option<Utf8PathBuf>> {
    let mut entries = output.read_dir_utf8()?;
    let only = match (entries.next(), entries.next()) {
        (Some(only), None) => only?.into_path(),
        _ => return Ok(None),
    };
    Ok(Some(only).filter(|only| only.extension().is_some_and(|extension| matches!(extension, "jar" | "zip"))))
}

/// The files of an asset, or that file.
async fn list(path: &Utf8Path) -> Result<Listing, String> {
    let path = path.to_owned();
    let listed = tokio::task::spawn_blocking(move || {
        let mut listing = Listing::new();
        visit(&path, &mut listing).map_err(|error| format!("cannot read `{path}`: {error}"))?;
        Ok(listing)
    });
    listed.await.unwrap_or_else(|error| Err(error.to_string()))
}

fn visit(path: &Utf8Path, listing: &mut Listing) -> io::Result<()> {
    // A file may go while it is looked at.
    let Ok(metadata) = fs_err::metadata(path) else { return Ok(()) };
    if !metadata.is_dir() {
        let stamp = format!("{} {:?}", metadata.len(), metadata.modified().ok());
        listing.insert(path.to_owned(), stamp);
        return Ok(());
    }
    for entry in path.read_dir_utf8()? {
        let entry = entry?;
        if !ignored::is_ignored(entry.path()) && !entry.path().is_symlink() {
            visit(entry.path(), listing)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{ids::LanguageId, process, project::manifest::Synthesis, ui::Ui};

    struct Asset {
        root: Utf8PathBuf,
        tools: Toolbox,
        _directory: tempfile::TempDir,
    }

    impl Asset {
        fn new(files: &[(&str, &str)]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let root = Utf8PathBuf::from_path_buf(directory.path().canonicalize().unwrap()).unwrap();
            let (ui, _) = Ui::channel();
            let tools = Toolbox::new(
                process::for_tests(),
                root.clone(),
                root.join(".sst/artifacts"),
                root.join("cache"),
                ui,
            );
            let asset = Self { root, tools, _directory: directory };
            files.iter().for_each(|(path, text)| asset.write(path, text));
            asset
        }

        fn write(&self, path: &str, text: &str) {
            let file = self.root.join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, text).unwrap();
        }

        /// What is watched of it. Where the code is, settings above it may count as well.
        fn inputs(&self, artifact: &Artifact) -> Vec<Utf8PathBuf> {
            let of_asset = |path: &&Utf8PathBuf| path.starts_with(self.root.join("asset"));
            artifact.inputs.iter().filter(of_asset).cloned().collect()
        }

        fn runs(&self) -> usize {
            fs_err::read_to_string(self.root.join("runs")).unwrap_or_default().lines().count()
        }

        /// Builds the function in `asset`, which is made by a line for the shell.
        async fn build(
            &self,
            language: &str,
            line: &str,
            by_app: Option<&str>,
        ) -> Result<Artifact, BuildError> {
            let path = self.root.join("asset");
            let shell = |line: &str| ["sh", "-c", line].map(str::to_owned).into();
            let making = Making {
                command: if line.is_empty() { Vec::new() } else { shell(line) },
                directory: path.clone(),
                environment: [("RUNS".to_owned(), self.root.join("runs").into_string())].into(),
                try_bundle: by_app.map(str::to_owned),
                by_app: by_app.map(|line| Synthesis { command: shell(line), environment: BTreeMap::new() }),
            };
            let spec = FunctionSpec {
                id: "stack/Made".into(),
                stack: "stack".to_owned(),
                logical_id: "Made".to_owned(),
                language: LanguageId::from(language),
                runtime: "nodejs22.x".to_owned(),
                handler: "index.handler".to_owned(),
                source: Source::Made { path, making: Box::new(making) },
                timeout_s: Some(3),
                memory_mb: Some(128),
                environment: Vec::new(),
                json_log: None,
                layers: Vec::new(),
            };
            crate::languages::build(&Arc::new(spec), &self.tools, &mut |_| {}).await
        }
    }

    const COPY: &str = "echo run >> $RUNS; cp -r . /asset-output && echo $((6 * 7)) > /asset-output/made.txt";

    #[tokio::test]
    async fn commands_make_the_code_and_again_after_a_save() {
        let asset =
            Asset::new(&[("asset/index.js", "exports.handler = () => 1;\n"), ("asset/sub/a.txt", "a")]);
        let first = asset.build("node", COPY, None).await.unwrap();
        assert_eq!(asset.inputs(&first), [asset.root.join("asset")]);
        let read = |name: &str| fs_err::read_to_string(first.task_root.join(name)).unwrap();
        assert_eq!((read("made.txt").as_str(), read("sub/a.txt").as_str()), ("42\n", "a"));
        let script = read("index.js");
        assert!(script.starts_with("exports.handler = () => 1;\n"), "{script}");
        let map = sourcemap::SourceMap::from_slice(read("index.js.map").as_bytes()).unwrap();
        let original = map.lookup_token(0, 20).and_then(|token| token.get_source().map(str::to_owned));
        assert_eq!(original.as_deref(), Some(asset.root.join("asset/index.js").as_str()));

        asset.build("node", COPY, None).await.unwrap();
        assert_eq!(asset.runs(), 1, "nothing has changed");
        asset.write("asset/sub/a.txt", "changed");
        let second = asset.build("node", COPY, None).await.unwrap();
        assert_eq!((asset.runs(), second.task_root), (2, first.task_root.clone()));
        assert_ne!(second.fingerprint, first.fingerprint);
        assert_eq!(read("sub/a.txt"), "changed");
    }

    #[tokio::test]
    async fn what_commands_write_to_the_asset_itself_does_not_start_them_again() {
        let line = "echo run >> $RUNS; mkdir -p dist; cp src/index.js dist/index.js; cp dist/* /asset-output";
        let asset = Asset::new(&[("asset/src/index.js", "1;\n"), ("asset/package.json", "{}")]);
        let first = asset.build("node", line, None).await.unwrap();
        assert_eq!(
            asset.inputs(&first),
            ["asset/package.json", "asset/src"].map(|path| asset.root.join(path))
        );
        asset.build("node", line, None).await.unwrap();
        assert_eq!(asset.runs(), 1);

        // One that was there before may have been saved by somebody, until it changes once more.
        let asset = Asset::new(&[("asset/src/index.js", "1;\n"), ("asset/dist/index.js", "old")]);
        let first = asset.build("node", line, None).await.unwrap();
        assert_eq!(asset.inputs(&first), [asset.root.join("asset")]);
        let second = asset.build("node", line, None).await.unwrap();
        assert_eq!((asset.inputs(&second), asset.runs()), (vec![asset.root.join("asset/src")], 2));
        asset.build("node", line, None).await.unwrap();
        assert_eq!(asset.runs(), 2);
        asset.write("asset/src/index.js", "2;\n");
        asset.build("node", line, None).await.unwrap();
        assert_eq!(asset.runs(), 3);

        let fails = format!("{line}; exit 1");
        asset.build("node", &fails, None).await.unwrap_err();
        let error = asset.build("node", &fails, None).await.unwrap_err();
        assert_eq!(error.inputs, [asset.root.join("asset/src")]);
    }

    #[tokio::test]
    async fn the_apps_own_function_comes_first_and_may_decline() {
        let asset = Asset::new(&[("asset/index.mjs", "")]);
        let answer = |text: &str| format!("printf %s '{text}' > $SST_SOURCES.made.json; echo said; exit 1");
        let makes = format!("echo 'made by app' > $SST_MAKE_OUTPUT/index.mjs; {}", answer("\"made\""));
        let made = asset.build("node", "exit 9", Some(&makes)).await.unwrap();
        let code = fs_err::read_to_string(made.task_root.join("index.mjs")).unwrap();
        assert_eq!(code, "made by app\n");

        let declines = answer("\"declined\"");
        asset.build("node", COPY, Some(&declines)).await.unwrap();
        assert_eq!(asset.runs(), 1);
        let error = asset.build("node", "", Some(&declines)).await.unwrap_err();
        assert_eq!(error.summary, "the app's `tryBundle` has bundled nothing, and there is no `command`");
        let error = asset.build("node", COPY, Some(&answer(r#"{ "failed": "Error: no\n at x" }"#))).await;
        let error = error.unwrap_err();
        assert_eq!(error.summary, "`tryBundle`: Error: no");
        assert_eq!(error.detail, "Error: no\n at x\nsaid");
        let error = asset.build("node", COPY, Some("echo broken >&2")).await.unwrap_err();
        assert_eq!(error.summary, "the app has not come to the bundling of it");
        assert!(error.detail.ends_with("\nbroken"), "{}", error.detail);
    }

    #[tokio::test]
    async fn commands_that_fail_are_errors_with_what_they_said_and_keep_the_former_code() {
        let asset = Asset::new(&[("asset/index.js", "1;\n")]);
        let first = asset.build("node", COPY, None).await.unwrap();
        asset.write("asset/index.js", "2;\n");
        let error = asset.build("node", "echo out; echo err >&2; exit 3", None).await.unwrap_err();
        assert_eq!(error.error_type, "Sst.BuildFailed");
        assert_eq!(error.summary, "`sh -c echo out; echo err >&2; exit 3` ended with exit status: 3");
        assert!(error.detail.ends_with("\nout\nerr"), "{}", error.detail);
        assert_eq!(error.inputs, [asset.root.join("asset")]);
        assert!(first.task_root.join("index.js").is_file());
        let error = asset.build("node", "true", None).await.unwrap_err();
        assert!(error.summary.ends_with("has put nothing into its output directory"), "{}", error.summary);
        let error = asset.build("node", "touch /asset-output/a.zip", None).await.unwrap_err();
        assert!(error.summary.contains("the archive `a.zip`"), "{}", error.summary);
    }

    #[tokio::test]
    async fn a_program_that_is_made_is_run() {
        let asset = Asset::new(&[("asset/main.c", "")]);
        let line = "printf '#!/bin/sh\\n' > /asset-output/bootstrap; chmod +x /asset-output/bootstrap";
        let made = asset.build(COMMAND, line, None).await.unwrap();
        assert_eq!(made.program.executable, Some(made.task_root.join("./bootstrap")));
    }

    #[tokio::test]
    async fn a_layer_is_made_once_for_all_functions_and_elsewhere_after_a_save() {
        let asset = Asset::new(&[("asset/a", "1")]);
        let (name, path) = (FunctionId::from("stack/Layer"), asset.root.join("asset"));
        let make = async |line: &str| {
            let making = Making {
                command: ["sh", "-c", line].map(str::to_owned).into(),
                directory: path.clone(),
                environment: [("RUNS".to_owned(), asset.root.join("runs").into_string())].into(),
                try_bundle: None,
                by_app: None,
            };
            layer(&name, &path, &making, &asset.tools, &mut |_| {}).await
        };
        let read = |place: &Utf8Path| fs_err::read_to_string(place.join("a")).unwrap();
        let (one, other) = tokio::join!(make(COPY), make(COPY));
        let first = one.unwrap();
        assert_eq!((&first, asset.runs()), (&other.unwrap(), 1));
        assert_eq!((read(&first.0).as_str(), &first.1), ("1", &vec![path.clone()]));

        asset.write("asset/a", "second");
        let second = make(COPY).await.unwrap().0;
        assert_eq!(
            (read(&second).as_str(), read(&first.0).as_str()),
            ("second", "1"),
            "whoever runs with it goes on"
        );
        let error = make("exit 3").await.unwrap_err();
        assert_eq!((error.inputs, error.error_type.as_str()), (vec![path.clone()], "Sst.BuildFailed"));
        asset.write("asset/a", "the third");
        let third = make(COPY).await.unwrap().0;
        assert_eq!((read(&third).as_str(), first.0.exists(), second.exists()), ("the third", false, true));
        let archive = make("touch /asset-output/a.zip").await.unwrap().0;
        assert_eq!(archive.file_name(), Some("a.zip"));
    }
}
