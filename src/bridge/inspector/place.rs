//! Where a worker is paused, in the words of the developer: a file of the project and a line of it.

use std::collections::HashMap;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use sourcemap::SourceMap;

use super::line_map::LineMap;
use crate::{bridge::registry::Registry, ids::WorkerId, paths::normalized};

/// The scripts that one connection has been told of.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    /// By V8's id: the file, and its source map if it has one.
    files: HashMap<String, (Utf8PathBuf, Option<Utf8PathBuf>)>,
    /// The source maps of files by their URLs, as far as they were asked for. None where one cannot be read.
    maps: HashMap<String, Option<LineMap>>,
    /// The URLs of the scripts that have source maps, and where these are.
    mapped: HashMap<String, Utf8PathBuf>,
}

impl Scripts {
    /// Hears what a worker tells a client: notes scripts, and has the registry know of pauses, for the sake of the clock.
    pub(super) fn hear(&mut self, registry: &Registry, client: u64, worker: WorkerId, text: &str) {
        if text.starts_with(r#"{"method":"Debugger.paused""#) {
            registry.paused(client, worker, self.place(text, registry.root()));
        } else if text.starts_with(r#"{"method":"Debugger.resumed""#) {
            registry.resumed(worker);
        } else {
            self.note(text);
        }
    }

    /// Takes note of a message that announces a script. Others are left alone.
    pub(super) fn note(&mut self, text: &str) {
        // Most scripts are Node's own; only the rest are worth parsing.
        if !(text.starts_with(r#"{"method":"Debugger.scriptParsed""#) && text.contains(r#""url":"file://"#)) {
            return;
        }
        let Ok(message) = serde_json::from_str::<Value>(text) else { return };
        let params = &message["params"];
        let (Some(id), Some(file)) = (params["scriptId"].as_str(), params["url"].as_str().and_then(file_of))
        else {
            return;
        };
        let reference = params["sourceMapURL"].as_str().filter(|reference| !reference.is_empty());
        let map = reference
            .filter(|reference| !reference.contains(':'))
            .and_then(|reference| Some(file.parent()?.join(reference)));
        if let (Some(map), Some(url)) = (&map, params["url"].as_str()) {
            self.mapped.insert(url.to_owned(), map.clone());
        }
        self.files.insert(id.to_owned(), (file, map));
    }

    /// Whether there is a script with a source map.
    pub(super) fn have_maps(&self) -> bool {
        !self.mapped.is_empty()
    }

    /// The source maps that can be read, with the URLs of their scripts.
    pub(super) fn maps(&mut self) -> impl Iterator<Item = (&String, &LineMap)> {
        for (url, file) in &self.mapped {
            if !self.maps.contains_key(url) {
                self.maps.insert(url.clone(), LineMap::read(file));
            }
        }
        self.maps.iter().filter_map(|(url, map)| Some((url, map.as_ref()?)))
    }

    /// `file:line` of the innermost frame of a `Debugger.paused` message, the file relative to `root` if it is in there.
    pub(super) fn place(&self, paused: &str, root: &Utf8Path) -> Option<String> {
        let message: Value = serde_json::from_str(paused).ok()?;
        let location = &message["params"]["callFrames"][0]["location"];
        let line = u32::try_from(location["lineNumber"].as_u64()?).ok()?;
        let column = u32::try_from(location["columnNumber"].as_u64().unwrap_or(0)).ok()?;
        let (file, map) = self.files.get(location["scriptId"].as_str()?)?;
        let original = map.as_ref().and_then(|map| original(map, line, column));
        let (file, line) = original.unwrap_or_else(|| (file.clone(), line));
        Some(format!("{}:{}", file.strip_prefix(root).unwrap_or(&file), u64::from(line) + 1))
    }
}

fn original(map: &Utf8Path, line: u32, column: u32) -> Option<(Utf8PathBuf, u32)> {
    let text = fs_err::read(map).ok()?;
    let parsed = SourceMap::from_slice(&text).ok()?;
    let token = parsed.lookup_token(line, column)?;
    Some((normalized(&map.parent()?.join(token.get_source()?)), token.get_src_line()))
}

fn file_of(url: &str) -> Option<Utf8PathBuf> {
    let path = url.strip_prefix("file://")?;
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
    Some(Utf8PathBuf::from(decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_source() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        fs_err::create_dir_all(root.join(".sst/a b")).unwrap();
        // The third line of the bundle is the seventh of the source.
        let map = r#"{"version":3,"sources":["../../src/x.ts"],"names":[],"mappings":";;AAMA"}"#;
        fs_err::write(root.join(".sst/a b/index.cjs.map"), map).unwrap();
        let mut scripts = Scripts::default();
        let script = |id: &str, file: &str, map: &str| {
            format!(
                r#"{{"method":"Debugger.scriptParsed","params":{{"scriptId":"{id}","url":"file://{root}/{file}","sourceMapURL":"{map}"}}}}"#
            )
        };
        scripts.note(&script("1", ".sst/a%20b/index.cjs", "index.cjs.map"));
        scripts.note(&script("2", "plain.js", ""));
        scripts.note(&script("3", "lost.js", "lost.js.map"));
        let paused = |id: &str, line: u32| {
            let location = format!(r#"{{"scriptId":"{id}","lineNumber":{line},"columnNumber":0}}"#);
            let text = format!(
                r#"{{"method":"Debugger.paused","params":{{"callFrames":[{{"location":{location}}}]}}}}"#
            );
            scripts.place(&text, root)
        };
        assert_eq!(paused("1", 2).as_deref(), Some("src/x.ts:7"));
        assert_eq!(paused("2", 4).as_deref(), Some("plain.js:5"));
        assert_eq!(paused("3", 4).as_deref(), Some("lost.js:5"));
        assert_eq!(paused("9", 4), None);
    }
}
