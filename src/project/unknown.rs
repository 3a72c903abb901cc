//! What is said in `sst.json` that nobody reads, most often because it is misspelt.

use camino::Utf8Path;
use serde_json::{Map, Value};

/// The fields that `docs/getting-started.md` lists.
const FIELDS: [&str; 6] = ["name", "main", "region", "functions", "history", "stage"];

/// Those that apps of `@serverless-stack/resources` may have, and that of editors.
const OF_OTHERS: [&str; 6] = ["$schema", "esbuildConfig", "lint", "ssmPrefix", "type", "typeCheck"];

/// The fields of a function's mapping.
const OF_FUNCTIONS: [&str; 5] = ["entry", "directory", "command", "handler", "policyAttached"];

/// The fields of `history`.
const OF_HISTORY: [&str; 1] = ["mask"];

/// How much a word has to be like another one to be meant by it, from 0 to 1.
const ALIKE: f64 = 0.75;

/// The fields that nobody reads, one sentence each.
pub(super) fn fields(path: &Utf8Path, file: &Map<String, Value>) -> Vec<String> {
    let is_unknown = |name: &&String| !FIELDS.contains(&name.as_str()) && !OF_OTHERS.contains(&name.as_str());
    let mut found: Vec<String> =
        file.keys().filter(is_unknown).map(|name| sentence(path, name, name, &FIELDS)).collect();
    let mappings = file.get("functions").and_then(Value::as_object).into_iter().flatten();
    for (function, fields) in mappings {
        let names = fields.as_object().into_iter().flat_map(Map::keys);
        for name in names.filter(|name| !OF_FUNCTIONS.contains(&name.as_str())) {
            let whole = format!("functions.\"{function}\".{name}");
            found.push(sentence(path, &whole, name, &OF_FUNCTIONS));
        }
    }
    let history = file.get("history").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    for name in history.filter(|name| !OF_HISTORY.contains(&name.as_str())) {
        found.push(sentence(path, &format!("history.{name}"), name, &OF_HISTORY));
    }
    found
}

fn sentence(path: &Utf8Path, whole: &str, name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|known| {
            (strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase()), known)
        })
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .filter(|(alike, _)| *alike >= ALIKE);
    let hint = match nearest {
        Some((_, known)) => format!("did you mean `{known}`?"),
        None => {
            let names: Vec<String> = known.iter().map(|known| format!("`{known}`")).collect();
            format!("there are {}", names.join(", "))
        }
    };
    format!("`{whole}` in `{path}` is not known, and has no effect: {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reads_is_named_with_the_nearest_that_is_read() {
        let file = serde_json::json!({
            "name": "a", "mian": "x", "regoin": "y", "lint": true, "colour": 1,
            "functions": { "A/F": { "entry": "a.ts", "handlr": "b" } },
            "history": { "mask": [], "masks": [] },
        });
        let said = fields("/p/sst.json".into(), file.as_object().unwrap());
        assert_eq!(
            said,
            [
                "`mian` in `/p/sst.json` is not known, and has no effect: did you mean `main`?",
                "`regoin` in `/p/sst.json` is not known, and has no effect: did you mean `region`?",
                "`colour` in `/p/sst.json` is not known, and has no effect: there are `name`, `main`, `region`, `functions`, `history`, `stage`",
                "`functions.\"A/F\".handlr` in `/p/sst.json` is not known, and has no effect: did you mean `handler`?",
                "`history.masks` in `/p/sst.json` is not known, and has no effect: did you mean `mask`?",
            ]
        );
    }
}
