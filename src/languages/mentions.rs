//! Which packages that its runtime would provide a function loads, as far as its files say so. Nothing is run for that: a name between
//! quotes, behind `import`, `from` or `require` or not, is a mention.

use std::{collections::BTreeSet, io};

use camino::Utf8Path;

use super::provided::Sdk;
use crate::ignored::is_ignored;

/// The extensions of files in JavaScript and TypeScript.
const SCRIPTS: [&str; 8] = ["js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx"];

/// Bigger files are bundles of everything, which load nothing.
const LARGEST: u64 = 8 << 20;

/// The packages of Node that are mentioned below a directory, and are not installed where they would be looked for.
pub(super) fn node(directory: &Utf8Path, sdk: Sdk) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let _ = visit(directory, &SCRIPTS, &mut |file, text| {
        for name in quoted(text).filter_map(package) {
            if sdk.has(&name) && !found.contains(&name) && !is_installed(file, &name) {
                found.insert(name);
            }
        }
    });
    found
}

/// Whether code in a directory loads version 2 of the SDK for JavaScript without having it.
#[must_use]
pub(crate) fn directory_loads_old_sdk(directory: &Utf8Path) -> bool {
    let mut loads = false;
    let own = directory.join("node_modules/aws-sdk").exists();
    let _ = visit(directory, &SCRIPTS, &mut |_, text| loads |= text_loads_old_sdk(text));
    loads && !own
}

/// Whether a piece of code loads version 2 of the SDK for JavaScript.
#[must_use]
pub(crate) fn text_loads_old_sdk(text: &str) -> bool {
    quoted(text).filter_map(package).any(|name| Sdk::V2.has(&name))
}

/// Whether `boto3`, or what comes with it, is mentioned below a directory, and is not in the directory itself.
pub(super) fn boto3(directory: &Utf8Path) -> bool {
    let mut mentioned = false;
    let _ = visit(directory, &["py"], &mut |_, text| {
        mentioned |= text.contains("boto3") || text.contains("botocore");
    });
    mentioned && !directory.join("boto3").exists()
}

/// What is between quotes of any kind and could be the name of a package.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let could_be = |part: &&str| part.contains("aws-sdk") || part.starts_with("@smithy/");
    text.split(['"', '\'', '`']).filter(could_be)
}

/// The package of a name that is imported, which may go on to a file in it.
fn package(imported: &str) -> Option<String> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || "-_.@/".contains(c);
    if !imported.chars().all(of_name) {
        return None;
    }
    let parts = if imported.starts_with('@') { 2 } else { 1 };
    let name: Vec<&str> = imported.split('/').take(parts).collect();
    // What ends in a hyphen is only the beginning of one.
    let is_whole = |part: &&str| part.ends_with(|last: char| last.is_ascii_alphanumeric());
    (name.len() == parts && name.iter().all(is_whole)).then(|| name.join("/"))
}

fn is_installed(file: &Utf8Path, name: &str) -> bool {
    file.ancestors().skip(1).any(|above| above.join("node_modules").join(name).exists())
}

fn visit(
    directory: &Utf8Path,
    extensions: &[&str],
    look: &mut impl FnMut(&Utf8Path, &str),
) -> io::Result<()> {
    for entry in directory.read_dir_utf8()? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() && !is_ignored(path) {
            visit(path, extensions, look)?;
        }
        let is_code = path.extension().is_some_and(|extension| extensions.contains(&extension));
        if is_code
            && fs_err::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LARGEST)
            && let Ok(text) = fs_err::read(path)
        {
            look(path, &String::from_utf8_lossy(&text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mentioned_and_not_installed_is_found() {
        let place = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(place.path()).unwrap();
        for (file, text) in [
            ("code/a.js", "const { S3 } = require('@aws-sdk/client-s3'); // @aws-sdk/client-none"),
            ("code/lib/b.mjs", "import x from \"@aws-sdk/client-sns/dist\"; await import(`@smithy/core`)"),
            (
                "code/old.cjs",
                "require('aws-sdk/clients/s3'); require('@aws-sdk/'); say('see the aws-sdk !', '@aws-sdk/client-' + x)",
            ),
            ("code/own.js", "require('@aws-sdk/client-sqs')"),
            ("code/text.txt", "'@aws-sdk/client-ssm'"),
            ("code/node_modules/p/index.js", "require('@aws-sdk/client-sts')"),
            ("node_modules/@aws-sdk/client-sqs/package.json", "{}"),
            ("py/f.py", "import boto3\n"),
            ("other/f.py", "import json\n"),
            ("has/f.py", "import boto3\n"),
            ("has/boto3/__init__.py", ""),
        ] {
            let path = root.join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let found = |sdk| node(&root.join("code"), sdk).into_iter().collect::<Vec<_>>();
        assert_eq!(found(Sdk::V3), ["@aws-sdk/client-s3", "@aws-sdk/client-sns", "@smithy/core"]);
        assert_eq!(found(Sdk::V2), ["aws-sdk"]);
        let old = ["code", "code/lib", "py"].map(|name| directory_loads_old_sdk(&root.join(name)));
        assert_eq!(old, [true, false, false]);
        let mentions = ["py", "other", "has", "nothing"].map(|name| boto3(&root.join(name)));
        assert_eq!(mentions, [true, false, false, false]);
    }
}
