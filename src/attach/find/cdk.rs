//! A CDK app: what is in its assembly. Its files say nothing before they are run, for which an account has to be known: so that is done by
//! whoever declares one of these, and [`from_manifest`] takes what it has found out.

use std::collections::BTreeSet;

use camino::Utf8Path;

use super::{Code, Declaration, Declared, Which};
use crate::project::{Kind, NOT_CHOSEN, Project, manifest::Manifest};

/// The files that are tried where `sst.json` does not say which one makes the app.
const MAINS: [&str; 2] = ["stacks/index", "lib/index"];
const ENDINGS: [&str; 6] = ["ts", "tsx", "mts", "js", "mjs", "cjs"];

/// Whether a directory is the root of a CDK app. An `sst.json` may also be there only for what it says of functions.
#[must_use]
pub fn is_app(root: &Utf8Path) -> bool {
    let Ok(project) = Project::find(root).map(|project| (project.root == root, project.kind)) else {
        return false;
    };
    let has = |stem: &str| ENDINGS.iter().any(|ending| root.join(format!("{stem}.{ending}")).is_file());
    match project {
        (false, _) | (true, Kind::Deployed) => false,
        (true, Kind::Cdk { .. }) => true,
        (true, Kind::Sst { main: Some(main), .. }) => main.exists(),
        (true, Kind::Sst { main: None, .. }) => MAINS.iter().any(|main| has(main)),
    }
}

/// What synthesis has found out of an app's functions, as a declaration. Those that it leaves alone are told of.
#[must_use]
pub fn from_manifest(manifest: &Manifest) -> Declaration {
    let stacks: BTreeSet<&str> = manifest.functions.iter().map(|function| function.stack.as_str()).collect();
    let stacks: Vec<&str> = stacks.into_iter().collect();
    let functions = manifest.functions.iter().map(|function| Declared {
        label: function.id.to_string(),
        which: Which::Resource { stack: function.stack.clone(), logical_id: function.logical_id.clone() },
        code: Code { known: Some(Box::new(function.clone())), ..Code::default() },
    });
    let left_alone = manifest.left_alone.iter().filter(|one| one.reason != NOT_CHOSEN);
    Declaration {
        tool: "CDK",
        shown: match stacks.as_slice() {
            [one] => format!("the CDK app (stack {one})"),
            several => format!("the CDK app (stacks {})", several.join(", ")),
        },
        functions: functions.collect(),
        region: None,
        profile: None,
        stage: None,
        notices: left_alone.map(|one| format!("`{}` is left alone: {}", one.id, one.reason)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn functions_are_those_of_the_manifest_and_the_others_are_told_of() {
        let manifest: Manifest = serde_json::from_value(json!({
            "functions": [{
                "id": "Orders/Create", "stack": "dev-orders", "logicalId": "CreateB9C2", "language": "node", "runtime": "nodejs22.x",
                "handler": "index.handler", "source": { "kind": "directory", "path": "/x" }, "environment": []
            }],
            "leftAlone": [{ "id": "Orders/Image", "reason": "it is a container image" }, { "id": "Orders/List", "reason": NOT_CHOSEN }],
        }))
        .unwrap();
        let declaration = from_manifest(&manifest);
        assert_eq!(declaration.shown, "the CDK app (stack dev-orders)");
        assert_eq!(declaration.notices, ["`Orders/Image` is left alone: it is a container image"]);
        let [create] = declaration.functions.as_slice() else { panic!("{declaration:?}") };
        let logical_id = "CreateB9C2".to_owned();
        assert_eq!(create.which, Which::Resource { stack: "dev-orders".to_owned(), logical_id });
        assert_eq!(create.code.known.as_deref(), Some(&manifest.functions[0]));
    }

    #[test]
    fn an_sst_json_beside_another_tool_is_no_app() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let root = Utf8Path::from_path(&root).unwrap();
        assert!(!is_app(root));
        fs_err::write(root.join("sst.json"), r#"{ "name": "orders" }"#).unwrap();
        assert!(!is_app(root));
        fs_err::create_dir(root.join("stacks")).unwrap();
        fs_err::write(root.join("stacks/index.ts"), "").unwrap();
        assert!(is_app(root) && !is_app(&root.join("stacks")));
        fs_err::remove_file(root.join("sst.json")).unwrap();
        fs_err::write(root.join("cdk.json"), r#"{ "app": "node app.js" }"#).unwrap();
        fs_err::write(root.join("package.json"), r#"{ "name": "orders" }"#).unwrap();
        assert!(is_app(root));
    }
}
