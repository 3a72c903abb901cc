//! The files of the rewritten assembly. Only templates and manifests are copied; assets stay where the app wrote them, and are named
//! by absolute paths.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value, json};
use sst_wire::sha256_hex;

use super::Rewriting;
use crate::{
    app::assembly::{Assembly, Stack},
    error::{Error, Kind, Result},
    paths::normalized,
    project::read_json,
};

/// Writes the whole assembly to `directory`, which must be empty. Returns [`super::Rewritten::asset_buckets`].
pub(super) fn write(
    rewriting: &Rewriting<'_>,
    directory: &Utf8Path,
) -> Result<BTreeSet<(String, String, String)>> {
    let assembly = rewriting.assembly;
    let mut levels: BTreeSet<Utf8PathBuf> =
        assembly.stacks.iter().map(|stack| stack.directory.clone()).collect();
    levels.insert(Utf8PathBuf::new());
    for level in &levels {
        copy_level(&assembly.directory.join(level), &directory.join(level))?;
    }
    let mut bodies = rewriting.bodies.clone();
    let mut buckets = BTreeSet::new();
    for (index, stack) in assembly.stacks.iter().enumerate() {
        let Some(file) = &stack.assets else { continue };
        let from = assembly.directory.join(&stack.directory);
        let path = from.join(file);
        let mut manifest = read_json(&path)?;
        if !manifest.is_object() {
            let message = format!("the app's cloud assembly is damaged: `{path}` does not hold an object");
            return Err(Error::new(Kind::Synthesis, message));
        }
        let renamed =
            write_templates(rewriting, index, &mut bodies, &mut manifest, &directory.join(&stack.directory))?;
        update_assets(rewriting, index, &bodies, &mut manifest, &from);
        collect_buckets(assembly, index, &manifest, &mut buckets);
        let text = pretty(&manifest);
        write_file(&directory.join(&stack.directory).join(file), &text)?;
        if let Some((old, new)) = renamed {
            update_manifest(&directory.join(&stack.directory).join("manifest.json"), stack, &old, &new)?;
        }
    }
    // Templates without an asset manifest (the legacy synthesizer) are copied as they are.
    Ok(buckets)
}

/// The destination of a stack's assets: that of its own template, which every manifest has.
pub(super) fn stub_destination(assembly: &Assembly, stack: usize) -> Option<(String, Value)> {
    let stack = &assembly.stacks[stack];
    let manifest = read_json(&assembly.directory.join(&stack.directory).join(stack.assets.as_ref()?)).ok()?;
    let files = manifest.get("files")?.as_object()?;
    let main = assembly.templates.iter().find(|template| {
        template.parent.is_none() && std::ptr::eq(&assembly.stacks[template.stack], stack)
    })?;
    let entry = files.values().find(|entry| entry["source"]["path"].as_str() == Some(&main.file))?;
    let (name, destination) =
        entry.get("destinations")?.as_object()?.iter().find(|(_, destination)| destination.is_object())?;
    Some((name.clone(), destination.clone()))
}

/// Writes the templates of a stack, the deepest first, because each is named in its parent by a hash of its content. Returns the old
/// and the new name of the stack's own.
fn write_templates(
    rewriting: &Rewriting<'_>,
    stack: usize,
    bodies: &mut [Value],
    manifest: &mut Value,
    directory: &Utf8Path,
) -> Result<Option<(String, String)>> {
    let templates = &rewriting.assembly.templates;
    let mut own = None;
    for index in (0..templates.len()).rev().filter(|index| templates[*index].stack == stack) {
        let template = &templates[index];
        let text = compact(&bodies[index]);
        let key = format!("{}.json", sha256_hex(text.as_bytes()));
        write_file(&directory.join(&template.file), &text)?;
        let Some(old) = rename_entry(manifest, &template.file, &key) else { continue };
        match &template.parent {
            Some((parent, _)) => replace_text(&mut bodies[*parent], &old, &key),
            None => own = Some((old, key)),
        }
    }
    Ok(own)
}

/// Gives the entry of a template another object key. Returns the former one.
fn rename_entry(manifest: &mut Value, file: &str, key: &str) -> Option<String> {
    let files = manifest.get_mut("files")?.as_object_mut()?;
    let id = files.iter().find(|(_, entry)| entry["source"]["path"].as_str() == Some(file))?.0.clone();
    let mut entry = files.shift_remove(&id)?;
    let mut old = None;
    for destination in entry.get_mut("destinations")?.as_object_mut()?.values_mut() {
        let former = destination.get("objectKey")?.as_str()?.to_owned();
        // A bootstrap qualifier or a stack may put a prefix before the hash.
        let prefix = former.rsplit_once('/').map(|(prefix, _)| format!("{prefix}/")).unwrap_or_default();
        destination["objectKey"] = Value::from(format!("{prefix}{key}"));
        old = Some(former.rsplit('/').next().unwrap_or_default().to_owned());
    }
    files.insert(key.trim_end_matches(".json").to_owned(), entry);
    old
}

/// Adds the stub, drops what nothing uses any more, and names the rest by absolute paths.
fn update_assets(
    rewriting: &Rewriting<'_>,
    stack: usize,
    bodies: &[Value],
    manifest: &mut Value,
    from: &Utf8Path,
) {
    let assembly = rewriting.assembly;
    let of_stack = |index: usize| assembly.templates[index].stack == stack;
    let is_template = |path: &str| {
        assembly.templates.iter().any(|template| template.stack == stack && template.file == path)
    };
    let texts: String =
        (0..bodies.len()).filter(|index| of_stack(*index)).map(|index| bodies[index].to_string()).collect();
    let has_stubs = rewriting.live.keys().any(|place| of_stack(place.0));
    if !manifest["files"].is_object() {
        manifest["files"] = Value::Object(Map::new());
    }
    let Some(files) = manifest["files"].as_object_mut() else { return };
    files.retain(|_, entry| {
        let path = entry["source"]["path"].as_str().unwrap_or_default();
        let key = |destination: &Value| destination["objectKey"].as_str().unwrap_or_default().to_owned();
        let keys: Vec<String> = entry["destinations"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(_, destination)| key(destination))
            .collect();
        is_template(path) || keys.iter().any(|key| texts.contains(key.as_str()))
    });
    for entry in files.values_mut() {
        if let Some(path) = entry["source"]["path"].as_str()
            && !is_template(path)
        {
            entry["source"]["path"] = Value::from(normalized(&from.join(path)).into_string());
        }
    }
    if has_stubs && let Some((name, destination)) = stub_destination(assembly, stack) {
        for package in rewriting.options.stubs.all().filter(|package| texts.contains(&package.sha256)) {
            let mut destination = destination.clone();
            destination["objectKey"] = Value::from(package.object_key());
            let mut destinations = Map::new();
            destinations.insert(name.clone(), destination);
            let source = json!({ "path": package.path, "packaging": "file" });
            files.insert(package.sha256.clone(), json!({ "source": source, "destinations": destinations }));
        }
    }
}

/// The manifest names the stack's template by the URL of its asset.
fn update_manifest(path: &Utf8Path, stack: &Stack, old: &str, new: &str) -> Result<()> {
    let mut manifest = read_json(path)?;
    if let Some(properties) =
        manifest.get_mut("artifacts").and_then(|artifacts| artifacts.get_mut(&stack.artifact))
    {
        replace_text(properties, old, new);
    }
    write_file(path, &pretty(&manifest))
}

fn collect_buckets(
    assembly: &Assembly,
    stack: usize,
    manifest: &Value,
    buckets: &mut BTreeSet<(String, String, String)>,
) {
    let (account, region) = (assembly.account_of(stack), assembly.region_of(stack));
    let entries = manifest["files"].as_object().into_iter().flatten();
    for destination in entries.flat_map(|(_, entry)| entry["destinations"].as_object().into_iter().flatten())
    {
        if let Some(bucket) = destination.1["bucketName"].as_str() {
            let bucket = bucket.replace("${AWS::AccountId}", account).replace("${AWS::Region}", region);
            buckets.insert((account.to_owned(), region.to_owned(), bucket));
        }
    }
}

/// Copies the files of one level; those that are rewritten are written over afterwards.
fn copy_level(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::new(Kind::Environment, format!("cannot copy `{from}` to `{to}`")).detail(error)
    };
    fs_err::create_dir_all(to).map_err(failed)?;
    for entry in fs_err::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type().map_err(failed)?.is_file() && !name.starts_with("asset.") {
            fs_err::copy(entry.path(), to.join(name.as_ref())).map_err(failed)?;
        }
    }
    Ok(())
}

fn write_file(path: &Utf8Path, text: &str) -> Result<()> {
    fs_err::write(path, text)
        .map_err(|error| Error::new(Kind::Environment, format!("cannot write `{path}`")).detail(error))
}

/// As a template is deployed: CloudFormation counts its bytes, and indentation may be half of them.
pub(super) fn compact(template: &Value) -> String {
    template.to_string()
}

fn pretty(value: &Value) -> String {
    // A value that was parsed can be written.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn replace_text(value: &mut Value, old: &str, new: &str) {
    match value {
        Value::String(text) if text.contains(old) => *text = text.replace(old, new),
        Value::Array(items) => items.iter_mut().for_each(|item| replace_text(item, old, new)),
        Value::Object(fields) => fields.values_mut().for_each(|field| replace_text(field, old, new)),
        _ => {}
    }
}
