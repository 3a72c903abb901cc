//! What a script was made of, as its source map says (<https://tc39.es/ecma426/>).

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use crate::paths::normalized;

/// What is read of a source map.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Map {
    #[serde(default)]
    source_root: Option<String>,
    #[serde(default)]
    sources: Vec<Option<String>>,
}

/// The file of the project that a script begins with, by the map beside it: the only one that is here, or the only one with the name of the
/// script, or of its directory. In which order a bundle has its files says nothing. None without a map, and where it is not known.
pub(super) fn original(script: &Utf8Path) -> Option<Utf8PathBuf> {
    let text = fs_err::read(format!("{script}.map")).ok()?;
    let map: Map = serde_json::from_slice(&text).ok()?;
    let directory = script.parent()?.join(map.source_root.unwrap_or_default());
    let files = map.sources.into_iter().flatten().map(|source| normalized(&directory.join(source)));
    let is_of_project = |file: &Utf8PathBuf| {
        !file.iter().any(|part| part == "node_modules") && file != script && file.is_file()
    };
    let mut files: Vec<_> = files.filter(is_of_project).collect();
    if files.len() > 1 {
        let names = [script.file_stem(), script.parent().and_then(Utf8Path::file_name)];
        files.retain(|file| names.contains(&file.file_stem()));
    }
    files.pop().filter(|_| files.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `tsc` 5 and esbuild 0.28 write them, the latter for CommonJS, and for modules.
    #[test]
    fn a_map_leads_to_the_file_that_a_script_begins_with() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        for file in ["src/create.ts", "src/table.ts", "src/index.ts", "node_modules/a/index.js"] {
            fs_err::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs_err::write(root.join(file), "").unwrap();
        }
        fs_err::create_dir_all(root.join("dist/create")).unwrap();
        let map =
            |sources: &str| format!(r#"{{"version":3,"sources":[{sources}],"names":[],"mappings":""}}"#);
        let tsc = r#"{"version":3,"file":"create.js","sourceRoot":"../src/","sources":["create.ts"],"mappings":""}"#;
        let common = map(r#""../src/create.ts","../src/table.ts""#);
        let modules = map(r#""../node_modules/a/index.js","../src/table.ts","../src/create.ts""#);
        let in_directory = map(r#""../../src/table.ts","../../src/create.ts""#);
        let two = map(r#""../../src/index.ts","../../src/create.ts""#);
        let webpack = map(r#""webpack://a/./src/create.ts",null"#);
        let found = Some(root.join("src/create.ts"));
        for (script, map, expected) in [
            ("dist/create.js", tsc, found.clone()),
            ("dist/create.js", &common, found.clone()),
            ("dist/create.js", &modules, found.clone()),
            ("dist/create/index.js", &in_directory, found),
            ("dist/create/index.js", &two, None),
            ("dist/create.js", &webpack, None),
            ("dist/create.js", "no map", None),
        ] {
            let script = root.join(script);
            fs_err::write(format!("{script}.map"), map).unwrap();
            assert_eq!(original(&script), expected, "{script} {map}");
        }
        assert_eq!(original(&root.join("dist/other.js")), None);
    }
}
