//! Several debug adapters in one session: the numbers that each gives to threads, frames, and variables, made distinct.

use std::collections::HashMap;

use serde_json::Value;

/// Which adapter.
pub(super) type Link = u64;

/// What a number stands for; the same number may stand for one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Thread,
    Frame,
    Variables,
}

/// Fields that hold such numbers, in whatever message.
const FIELDS: [(&str, Kind); 3] =
    [("threadId", Kind::Thread), ("frameId", Kind::Frame), ("variablesReference", Kind::Variables)];

/// Lists whose entries have such numbers as their `id`.
const LISTS: [(&str, Kind); 2] = [("threads", Kind::Thread), ("stackFrames", Kind::Frame)];

/// Knows which number stands for what.
#[derive(Debug, Default)]
pub(super) struct Handles {
    all: Vec<(Link, i64)>,
    known: HashMap<(Link, Kind, i64), usize>,
}

impl Handles {
    /// Replaces an adapter's numbers by the client's, in a whole message body.
    pub(super) fn ours(&mut self, link: Link, value: &mut Value) {
        match value {
            Value::Array(values) => values.iter_mut().for_each(|value| self.ours(link, value)),
            Value::Object(fields) => {
                for (name, value) in fields.iter_mut() {
                    if let Some((_, kind)) = FIELDS.iter().find(|(field, _)| field == name) {
                        self.replace(link, *kind, value);
                        continue;
                    }
                    if let Some((_, kind)) = LISTS.iter().find(|(list, _)| list == name) {
                        for entry in value.as_array_mut().into_iter().flatten() {
                            if let Some(id) = entry.get_mut("id") {
                                self.replace(link, *kind, id);
                            }
                        }
                    }
                    self.ours(link, value);
                }
            }
            _ => {}
        }
    }

    /// Replaces the client's numbers by the adapter's in the arguments of a request, and says which adapter that is.
    ///
    /// # Errors
    /// When a number was never given to the client.
    pub(super) fn theirs(&self, arguments: &mut Value) -> Result<Option<Link>, &'static str> {
        let mut link = None;
        for (field, _) in FIELDS {
            let Some(number) = arguments.get(field).and_then(Value::as_i64).filter(|number| *number > 0)
            else {
                continue;
            };
            let found = usize::try_from(number - 1).ok().and_then(|index| self.all.get(index));
            let (of, theirs) = found.ok_or("it is not known any more")?;
            arguments[field] = (*theirs).into();
            link = Some(*of);
        }
        Ok(link)
    }

    fn replace(&mut self, link: Link, kind: Kind, value: &mut Value) {
        // A reference of 0 means that there are no variables below; threads of that number are not known.
        let Some(theirs) = value.as_i64().filter(|number| kind != Kind::Variables || *number > 0) else {
            return;
        };
        let Self { all, known } = self;
        let index = *known.entry((link, kind, theirs)).or_insert_with(|| {
            all.push((link, theirs));
            all.len()
        });
        *value = index.into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_of_two_adapters_are_told_apart_and_found_again() {
        let mut handles = Handles::default();
        let body = || {
            json!({
                "threadId": 1,
                "threads": [{ "id": 1, "name": "main" }],
                "stackFrames": [{ "id": 1, "line": 3 }],
                "scopes": [{ "variablesReference": 1 }, { "variablesReference": 0 }],
            })
        };
        let (mut first, mut second) = (body(), body());
        handles.ours(7, &mut first);
        handles.ours(8, &mut second);
        assert_eq!(first["threadId"], first["threads"][0]["id"]);
        assert_eq!(first["scopes"][1]["variablesReference"], 0);
        let numbers = |body: &Value| {
            [&body["threadId"], &body["stackFrames"][0]["id"], &body["scopes"][0]["variablesReference"]]
                .map(Value::as_i64)
        };
        let all: std::collections::BTreeSet<_> =
            numbers(&first).into_iter().chain(numbers(&second)).collect();
        assert_eq!(all.len(), 6);

        let mut arguments = json!({ "threadId": second["threadId"], "levels": 1 });
        assert_eq!(handles.theirs(&mut arguments), Ok(Some(8)));
        assert_eq!(arguments, json!({ "threadId": 1, "levels": 1 }));
        let mut arguments = json!({ "expression": "a" });
        assert_eq!(handles.theirs(&mut arguments), Ok(None));
        assert!(handles.theirs(&mut json!({ "frameId": 100 })).is_err());
    }
}
