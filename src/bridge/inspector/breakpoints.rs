//! Whether a debugger has set the breakpoints that it is about to set in a worker.
//!
//! vscode-js-debug says that a process may run on before it has read the source maps of its scripts. Until then it has asked for its
//! breakpoints by patterns of the files that the developer sees, which are no scripts, so that the worker found no place for them. When it
//! has read a map, it sets them anew in the script that was made of the file. That is the sign that is waited for here.

use std::collections::{HashMap, HashSet};

use regex_lite::Regex;
use serde_json::Value;

use super::place::Scripts;
use crate::bridge::registry::Missing;

/// What a debugger has asked one worker for.
#[derive(Debug, Default)]
pub(super) struct Breakpoints {
    /// Requests for breakpoints by patterns of files that have not been answered, by their numbers.
    asked: HashMap<u64, Wanted>,
    /// Requests for breakpoints in scripts that have not been answered.
    placed: HashMap<u64, (String, u32, u32)>,
    /// Those by a pattern for which the worker found no place.
    homeless: Vec<Wanted>,
    /// Places in scripts where breakpoints were set: URL, line, and column, counted from zero.
    set: HashSet<(String, u32, u32)>,
}

/// Files, and a line in them counted from zero.
#[derive(Debug)]
struct Wanted {
    files: Regex,
    line: u32,
}

impl Breakpoints {
    /// Takes note of a request.
    pub(super) fn request(&mut self, message: &str) {
        if !message.contains("\"Debugger.setBreakpointByUrl\"") {
            return;
        }
        let Ok(message) = serde_json::from_str::<Value>(message) else { return };
        let (Some(id), params) = (message["id"].as_u64(), &message["params"]) else { return };
        let number = |name: &str| params[name].as_u64().and_then(|number| u32::try_from(number).ok());
        let line = number("lineNumber").unwrap_or_default();
        if let Some(url) = params["url"].as_str() {
            self.placed.insert(id, (url.to_owned(), line, number("columnNumber").unwrap_or_default()));
        } else if let Some(files) = params["urlRegex"].as_str().and_then(|pattern| Regex::new(pattern).ok()) {
            self.asked.insert(id, Wanted { files, line });
        }
    }

    /// Takes note of an answer of the worker. Whether it is one to a request for a breakpoint.
    pub(super) fn answer(&mut self, text: &str) -> bool {
        // Answers begin with their number.
        let digits = text.strip_prefix(r#"{"id":"#).unwrap_or_default();
        let end = digits.find(|character: char| !character.is_ascii_digit()).unwrap_or(digits.len());
        let Ok(id) = digits[..end].parse::<u64>() else { return false };
        // Only what the worker has answered is in force: calls take another way to it.
        if let Some(place) = self.placed.remove(&id) {
            return self.set.insert(place);
        }
        let Some(wanted) = self.asked.remove(&id) else { return false };
        let answer: Value = serde_json::from_str(text).unwrap_or_default();
        if answer["result"]["locations"].as_array().is_some_and(Vec::is_empty) {
            self.homeless.push(wanted);
        }
        true
    }

    /// What has still to be set before the worker may run on.
    pub(super) fn missing(&self, scripts: &mut Scripts) -> Missing {
        if self.homeless.is_empty() {
            return Missing::Nothing;
        }
        let mut missing = Missing::Nothing;
        for (url, map) in scripts.maps() {
            for (index, source) in map.sources().enumerate() {
                let path = map.path_of(source);
                let wanted: Vec<u32> = self
                    .homeless
                    .iter()
                    // js-debug asks for the first line of each file as well, for reasons of its own.
                    .filter(|wanted| wanted.line > 0 && wanted.files.is_match(path.as_str()))
                    .map(|wanted| wanted.line)
                    .collect();
                if wanted.is_empty() {
                    continue;
                }
                let set: Vec<u32> = self
                    .set
                    .iter()
                    .filter(|(script, ..)| script == url)
                    .filter_map(|(_, line, column)| map.line_of(index, *line, *column))
                    .collect();
                let has_code = |line: &u32| map.has_code(index, *line);
                let (sure, unsure): (Vec<u32>, Vec<u32>) = wanted.into_iter().partition(has_code);
                let unset = |lines: &[u32]| lines.iter().any(|line| !set.contains(line));
                if unset(&sure) {
                    return Missing::Surely;
                }
                if unset(&unsure) {
                    missing = Missing::Perhaps;
                }
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;

    fn request(id: u64, place: &str, line: u32) -> String {
        format!(
            r#"{{"id":{id},"method":"Debugger.setBreakpointByUrl","params":{{{place},"lineNumber":{line},"columnNumber":0}}}}"#
        )
    }

    fn answer(id: u64, locations: &str) -> String {
        format!(r#"{{"id":{id},"result":{{"breakpointId":"x","locations":[{locations}]}}}}"#)
    }

    #[test]
    fn breakpoints_of_a_source_are_missing_until_they_are_set_in_its_script() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        // The third line of the script is the seventh of the source, the fourth the eighth.
        let map = r#"{"version":3,"sources":["src/x.ts"],"names":[],"mappings":";;AAMA;AACA"}"#;
        fs_err::write(root.join("index.js.map"), map).unwrap();
        let url = format!("file://{root}/index.js");
        let mut scripts = Scripts::default();
        scripts.note(&format!(
            r#"{{"method":"Debugger.scriptParsed","params":{{"scriptId":"1","url":"{url}","sourceMapURL":"index.js.map"}}}}"#
        ));
        let source = r#""urlRegex":"file:\\/\\/\\/[^$]*x\\.ts($|\\?)|.*\\/src\\/x\\.ts($|\\?)""#;
        let script = format!(r#""url":"{url}""#);

        let mut breakpoints = Breakpoints::default();
        assert_eq!(breakpoints.missing(&mut scripts), Missing::Nothing);
        // In a file that this worker has nothing of.
        breakpoints.request(&request(1, r#""urlRegex":"\\/src\\/other\\.ts""#, 6));
        assert!(breakpoints.answer(&answer(1, "")));
        assert_eq!(breakpoints.missing(&mut scripts), Missing::Nothing);
        // In a script as it is on disk.
        breakpoints.request(&request(2, r#""urlRegex":"\\/index\\.js""#, 6));
        assert!(breakpoints.answer(&answer(2, r#"{"scriptId":"1","lineNumber":6}"#)));
        assert_eq!(breakpoints.missing(&mut scripts), Missing::Nothing);
        // In two lines of the source, and its first.
        for (id, line) in [(3, 0), (4, 6), (5, 7)] {
            breakpoints.request(&request(id, source, line));
            assert!(breakpoints.answer(&answer(id, "")));
        }
        assert_eq!(breakpoints.missing(&mut scripts), Missing::Surely);
        breakpoints.request(&request(6, &script, 2));
        breakpoints.request(&request(7, &script, 3));
        assert!(breakpoints.answer(&answer(6, "")));
        assert_eq!(breakpoints.missing(&mut scripts), Missing::Surely, "one of two");
        assert!(breakpoints.answer(&answer(7, "")));
        assert_eq!(breakpoints.missing(&mut scripts), Missing::Nothing);
        // In a line without code.
        breakpoints.request(&request(8, source, 30));
        assert!(breakpoints.answer(&answer(8, "")));
        assert_eq!(breakpoints.missing(&mut scripts), Missing::Perhaps);
        assert!(!breakpoints.answer(r#"{"method":"Debugger.paused"}"#));
        assert!(!breakpoints.answer(r#"{"id":99999999999999999999,"result":{}}"#));
    }
}
