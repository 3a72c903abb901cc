//! What a package was made of: the archives of a state, the uploads to S3, and the plans of the public module `terraform-aws-modules/lambda`.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use super::state::{Resource, State};
use crate::paths::normalized;

/// The resource in which the public module keeps how a package is made.
const PLAN: &str = ".local_file.archive_plan";

/// Where packages come from.
pub(super) struct Sources<'a> {
    /// The root module's directory, to which paths are relative.
    pub(super) root: &'a Utf8Path,
    state: &'a State,
}

impl<'a> Sources<'a> {
    /// Those of a state.
    pub(super) fn of(root: &'a Utf8Path, state: &'a State) -> Self {
        Self { root, state }
    }

    /// The directory or file that a function's package was made of, as far as the state says. What is not heeded is told in `notices`.
    pub(super) fn find(
        &self,
        function: &Resource,
        handler: Option<&str>,
        notices: &mut Vec<String>,
    ) -> Option<Utf8PathBuf> {
        self.packed(function).or_else(|| self.planned(function, handler, notices))
    }

    /// The package itself, on this disk.
    pub(super) fn archive(&self, function: &Resource) -> Option<Utf8PathBuf> {
        if let Some(file) = function.text("filename") {
            return Some(self.whole(file));
        }
        let (bucket, key) = (function.text("s3_bucket")?, function.text("s3_key")?);
        let mut objects =
            ["aws_s3_object", "aws_s3_bucket_object"].into_iter().flat_map(|kind| self.state.managed(kind));
        let object =
            objects.find(|one| one.text("bucket") == Some(bucket) && one.text("key") == Some(key))?;
        object.text("source").map(|file| self.whole(file))
    }

    /// What `archive_file` has packed: into the function's file, or else into one of the same content.
    fn packed(&self, function: &Resource) -> Option<Utf8PathBuf> {
        let archives = || self.state.all("archive_file");
        let file = self.archive(function);
        let is_output =
            |archive: &&Resource| archive.text("output_path").map(|path| self.whole(path)) == file;
        let hash = function.text("source_code_hash");
        let is_same = |archive: &&Resource| archive.text("output_base64sha256") == hash;
        let by_file = file.as_ref().and_then(|_| archives().find(is_output));
        let archive = by_file.or_else(|| hash.and_then(|_| archives().find(is_same)))?;
        let path = archive.text("source_dir").or_else(|| archive.text("source_file"))?;
        Some(self.whole(path))
    }

    /// What the public module has packed: the first of its paths, or the one that has the handler's file.
    fn planned(
        &self,
        function: &Resource,
        handler: Option<&str>,
        notices: &mut Vec<String>,
    ) -> Option<Utf8PathBuf> {
        let plan = self
            .state
            .managed("local_file")
            .find(|file| file.module == function.module && file.address.contains(PLAN))?;
        let plan: Value = serde_json::from_str(plan.text("content")?).ok()?;
        let claims = plan["build_plan"].as_array()?;
        let paths: Vec<Utf8PathBuf> =
            claims.iter().filter_map(claimed).map(|path| self.whole(&path)).collect();
        let stem = handler.and_then(|handler| handler.rsplit_once('.')).map(|(stem, _)| stem.to_owned());
        let has_handler = |path: &&Utf8PathBuf| stem.as_ref().is_some_and(|stem| has_file(path, stem));
        let chosen = paths.iter().find(has_handler).or_else(|| paths.first())?;
        if paths.len() > 1 {
            let others: Vec<String> = paths
                .iter()
                .filter(|path| *path != chosen)
                .map(|path| format!("`{}`", self.shown(path)))
                .collect();
            notices.push(format!(
                "`{}` is packed of several paths; it runs from `{}`, without {}",
                function.address,
                self.shown(chosen),
                others.join(", ")
            ));
        }
        Some(chosen.clone())
    }

    fn whole(&self, path: &str) -> Utf8PathBuf {
        normalized(&self.root.join(path))
    }

    fn shown<'b>(&self, path: &'b Utf8Path) -> &'b Utf8Path {
        path.strip_prefix(self.root).unwrap_or(path)
    }
}

/// What one claim of a build plan packs: the path of its `zip`, or where its commands run.
fn claimed(steps: &Value) -> Option<String> {
    let steps: Vec<&Value> = steps.as_array()?.iter().collect();
    let of = |kind: &str| steps.iter().find(|step| step[0] == kind).and_then(|step| step[1].as_str());
    if let Some(path) = of("zip") {
        return Some(path.to_owned());
    }
    let directory = of("set:workdir")?;
    let within = of("zip:embedded").unwrap_or(".");
    Some(Utf8Path::new(directory).join(within).into_string())
}

/// Whether a handler's file is in a directory, whatever it is written in; or is that file.
fn has_file(path: &Utf8Path, stem: &str) -> bool {
    let is_it = |file: &Utf8Path| file.file_stem() == Utf8Path::new(stem).file_name();
    if path.is_file() {
        return is_it(path);
    }
    let directory = path.join(stem);
    let entries = directory.parent().map(Utf8Path::read_dir_utf8).into_iter().flatten().flatten().flatten();
    entries.into_iter().any(|entry| is_it(entry.path()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_what_it_packs() {
        // As `package.py` of terraform-aws-modules/lambda 8 writes them.
        for (steps, path) in [
            (json!([["zip", "src", null]]), Some("src")),
            (
                json!([["pip", "python3.12", "src/requirements.txt", null, null], ["zip", "src", null]]),
                Some("src"),
            ),
            (
                json!([["set:workdir", "other"], ["sh", "npm ci\nnpx tsc"], ["zip:embedded", "dist"]]),
                Some("other/dist"),
            ),
            (json!([["set:workdir", "other"], ["sh", "make"]]), Some("other/.")),
            (json!([["sh", "make"]]), None),
        ] {
            assert_eq!(claimed(&steps).as_deref(), path, "{steps}");
        }
    }
}
