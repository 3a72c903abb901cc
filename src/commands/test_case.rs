//! `sst test-case`: a test of a handler, made of a call.

use camino::Utf8Path;

use super::history::{self, values_masked};
use crate::{
    cli,
    error::{Error, Kind, Result},
    project::{Project, manifest::Manifest},
    test_case::{Framework, TestCase, test_case},
    ui::Ui,
};

/// Writes the test, and says how it is run.
///
/// # Errors
/// [`Kind::Usage`] when there is no such call, none can be made of it, or the file is there already.
pub(super) async fn run(arguments: &cli::TestCase, project: &Project, ui: &Ui) -> Result<()> {
    let record = history::find(&project.state_dir()?, &arguments.id).await?;
    let text = project.state_dir()?.read("functions.json")?.unwrap_or_default();
    let Manifest { functions, .. } = serde_json::from_str(&text).unwrap_or_default();
    let id = &record.summary.function;
    let function = functions.iter().find(|function| function.id.as_str() == id).ok_or_else(|| {
        Error::new(Kind::Usage, format!("the app has no function `{id}` any more"))
            .hint("the call is of an earlier version of it")
    })?;
    let unnamed = |error: std::io::Error| Error::new(Kind::Environment, "no file can be named").detail(error);
    let out = arguments.out.as_deref().map(camino::absolute_utf8).transpose().map_err(unnamed)?;
    let test = test_case(&record, function, &project.root, arguments.framework, out.as_deref())?;
    let TestCase { file, text, masked, framework } = test;
    if file.exists() {
        return Err(Error::new(Kind::Usage, format!("`{file}` is there already"))
            .hint("take another name with `--out`, or remove it"));
    }
    let parent = file.parent().unwrap_or(Utf8Path::new("."));
    let written = fs_err::create_dir_all(parent).and_then(|()| fs_err::write(&file, text));
    written.map_err(|error| Error::new(Kind::Environment, format!("cannot write `{file}`")).detail(error))?;
    let shown = file.strip_prefix(&project.root).unwrap_or(&file);
    let command = match framework {
        Framework::Pytest => format!("pytest {shown}"),
        _ => format!("sst test --as {id} {shown}"),
    };
    ui.info(format!("Wrote {shown}: {command}"));
    if masked > 0 {
        let values = values_masked(masked);
        ui.warning(format!("{values} masked in it: put others in their place that the test can do with"));
    }
    Ok(())
}
