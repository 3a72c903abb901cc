//! Functions that keep their own code, on a runtime that AWS creates and updates no more. Libraries of old apps bring such functions along,
//! and one of them keeps the whole app from being deployed.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Place, Rewriting};
use crate::{
    app::assembly::edge_functions,
    languages::{Fate, directory_loads_old_sdk, fate, text_loads_old_sdk},
};

impl Rewriting<'_> {
    /// Gives functions that are not live a runtime that AWS creates, and says so.
    pub(super) fn refused_runtimes(&mut self) {
        let edge = edge_functions(self.assembly);
        let mut replaced: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
        for place in self.resources_of_type("AWS::Lambda::Function") {
            // CloudFront has rules of its own, and only takes published versions.
            if self.live.contains_key(&place) || edge.contains(&place) {
                continue;
            }
            let Some(Value::String(runtime)) = self.original(&place, "Runtime") else { continue };
            let id = self.assembly.function_id(place.0, &place.1);
            match fate(runtime, self.options.today) {
                Fate::Created => {}
                Fate::Replaced(_) if self.loads_old_sdk(&place) => self.notices.push(format!(
                    "`{id}` keeps the runtime `{runtime}`, which AWS may refuse to deploy: its code loads `aws-sdk`, which newer ones \
                     have not; update the library that it is from"
                )),
                Fate::Replaced(newer) => {
                    replaced.entry((runtime.clone(), newer)).or_default().push(format!("`{id}`"));
                    if let Some(properties) = self.properties_mut(&place) {
                        properties.insert("Runtime".into(), Value::from(newer));
                    }
                }
                Fate::Refused => self.notices.push(format!(
                    "`{id}` keeps the runtime `{runtime}`, which AWS may refuse to deploy; update the library that it is from"
                )),
            }
        }
        for ((runtime, newer), functions) in replaced {
            self.notices.push(format!(
                "AWS creates no functions on `{runtime}` any more; deployed on `{newer}` with their own code: {}",
                functions.join(", ")
            ));
        }
    }

    /// Whether the code of a function in Node loads version 2 of the SDK without bringing it along.
    fn loads_old_sdk(&self, place: &Place) -> bool {
        let code = self.original(place, "Code");
        if let Some(text) = code.and_then(|code| code.get("ZipFile")?.as_str()) {
            return text_loads_old_sdk(text);
        }
        let metadata = self.assembly.at(place).and_then(|function| function.get("Metadata"));
        let path = metadata.and_then(|metadata| metadata.get("aws:asset:path")?.as_str());
        let stack = &self.assembly.stacks[self.assembly.templates[place.0].stack];
        let directory = self.assembly.directory.join(&stack.directory);
        path.is_some_and(|path| directory_loads_old_sdk(&directory.join(path)))
    }
}
