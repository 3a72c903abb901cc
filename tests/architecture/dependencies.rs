//! What the program is made of besides its own source: where that comes from, under which licences, and that all of it is used.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use serde_json::Value;

use crate::{
    names::{Tree, paths},
    source::{self, What},
};

/// There is one of each: two would be two HTTP stacks, or two kinds of certificates to trust.
const ONCE: [&str; 9] = [
    "h2",
    "hyper",
    "hyper-rustls",
    "hyper-util",
    "ring",
    "rustls",
    "tokio",
    "tokio-rustls",
    "tokio-tungstenite",
];

/// What would bring another TLS.
const NEVER: [&str; 6] = ["aws-lc-rs", "native-tls", "openssl", "openssl-sys", "reqwest", "curl"];

fn metadata() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).other_options(["--locked".to_owned()]).exec().unwrap()
}

/// The list of `deny.toml`, which `cargo deny` uses as well.
fn allowed_licences() -> Vec<&'static str> {
    let list = include_str!("../../deny.toml").split("\nallow = [").nth(1).unwrap();
    list.split(']').next().unwrap().split('"').skip(1).step_by(2).collect()
}

fn refused_licences(metadata: &Metadata, allowed: &[&str]) -> Vec<String> {
    let allows = |package: &Package| {
        let licence = package.license.as_deref()?;
        let expression = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX).ok()?;
        Some(expression.evaluate(|required| allowed.contains(&required.to_string().as_str())))
    };
    let refused = metadata.packages.iter().filter(|package| allows(package) != Some(true));
    refused.map(|package| format!("{}: {:?}", package.name, package.license)).collect()
}

/// Everything is ours or from Cargo's own registry.
fn unknown_sources(metadata: &Metadata) -> Vec<String> {
    let own =
        |package: &Package| package.source.is_none() && metadata.workspace_members.contains(&package.id);
    let known = |package: &Package| package.source.as_ref().is_some_and(cargo_metadata::Source::is_crates_io);
    let unknown = metadata.packages.iter().filter(|package| !own(package) && !known(package));
    unknown.map(|package| format!("{}: {:?}", package.name, package.source)).collect()
}

fn banned_packages(metadata: &Metadata) -> Vec<String> {
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in &metadata.packages {
        versions.entry(&package.name).or_default().insert(package.version.to_string());
    }
    let banned = |name: &str, count: usize| NEVER.contains(&name) || (ONCE.contains(&name) && count != 1);
    let found = versions.iter().filter(|(name, versions)| banned(name, versions.len()));
    found.map(|(name, versions)| format!("{name} {versions:?}")).collect()
}

/// What the members of the workspace name in `Cargo.toml` and not in their source, or only where they do not have it for.
fn unused_dependencies(metadata: &Metadata, used: &Used) -> Vec<String> {
    let mut found = Vec::new();
    for package in metadata.workspace_packages() {
        let (program, all) = &used[package.name.as_str()];
        let names = |kind: DependencyKind| {
            let dependencies = package.dependencies.iter().filter(move |dependency| dependency.kind == kind);
            dependencies.map(|dependency| dependency.rename.as_deref().unwrap_or(&dependency.name))
        };
        let normal: BTreeSet<&str> = names(DependencyKind::Normal).collect();
        for name in &normal {
            if !program.contains(&name.replace('-', "_")) {
                found.push(format!("{}: `{name}` is not used", package.name));
            }
        }
        for name in names(DependencyKind::Development) {
            if normal.contains(name) {
                found.push(format!("{}: `{name}` is a dependency of its tests as well", package.name));
            } else if !all.contains(&name.replace('-', "_")) {
                found.push(format!("{}: `{name}` is not used in tests", package.name));
            }
        }
    }
    found
}

/// The crates that each package uses: in its program, and anywhere.
type Used = BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>;

fn used(metadata: &Metadata) -> Used {
    metadata.workspace_packages().iter().map(|package| (package.name.to_string(), used_by(package))).collect()
}

fn used_by(package: &Package) -> (BTreeSet<String>, BTreeSet<String>) {
    let directory = package.manifest_path.parent().unwrap();
    let crates: Vec<String> = package
        .dependencies
        .iter()
        .map(|dependency| dependency.rename.as_deref().unwrap_or(&dependency.name).replace('-', "_"))
        .collect();
    let crates: Vec<&str> = crates.iter().map(String::as_str).collect();
    let read = |file: &str| std::fs::read_to_string(directory.join("src").join(file)).ok();
    let roots: Vec<&str> = ["lib.rs", "main.rs"].into_iter().filter(|root| read(root).is_some()).collect();
    let tree = Tree::read(&roots, &package.name.replace('-', "_"), &crates, &read);
    let program = paths(&tree).map(|(_, path)| path[0].clone()).collect();
    let mut all = BTreeSet::new();
    let mut open = vec![directory.join("src"), directory.join("tests")];
    while let Some(place) = open.pop() {
        for entry in place.read_dir_utf8().into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !["node_modules", "fixtures"].contains(&entry.file_name()) {
                open.push(path.to_owned());
            } else if path.extension() == Some("rs") {
                let text = std::fs::read_to_string(path).unwrap();
                let (modules, _) = source::read(&[], path.as_str(), &text, true);
                let said = modules.into_iter().flat_map(|module| module.sayings);
                all.extend(said.filter_map(|saying| match saying.what {
                    What::Path(path) | What::Import(path) | What::Macro(path) => {
                        path.into_iter().find(|first| !first.is_empty())
                    }
                    _ => None,
                }));
            }
        }
    }
    (program, all)
}

/// Fails with everything that a rule finds.
fn holds(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn dependencies_are_what_they_should_be() {
    let metadata = metadata();
    assert!(metadata.packages.len() > 100);
    holds(&refused_licences(&metadata, &allowed_licences()));
    holds(&unknown_sources(&metadata));
    holds(&banned_packages(&metadata));
    holds(&unused_dependencies(&metadata, &used(&metadata)));
}

#[test]
fn dependencies_that_should_not_be_are_found() {
    let whole = metadata();
    let used = used(&whole);
    // The description of all packages, in which something is otherwise.
    let changed = |change: &dyn Fn(&mut Value)| -> Metadata {
        let mut value = serde_json::to_value(&whole).unwrap();
        change(&mut value);
        serde_json::from_value(value).unwrap()
    };
    let package = |name: &str, change: &dyn Fn(&mut Value)| {
        changed(&|value| {
            let packages = value["packages"].as_array_mut().unwrap();
            change(packages.iter_mut().find(|package| package["name"] == name).unwrap());
        })
    };
    for licence in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT OR Apache-2.0) AND LGPL-2.1", "nonsense"] {
        let metadata = package("tokio", &|tokio| tokio["license"] = licence.into());
        assert_eq!(refused_licences(&metadata, &allowed_licences()).len(), 1, "{licence}");
    }
    let metadata = package("tokio", &|tokio| tokio["license"] = Value::Null);
    assert_eq!(refused_licences(&metadata, &allowed_licences()).len(), 1);
    for licence in ["MIT/Apache-2.0", "GPL-3.0-only OR MIT"] {
        let metadata = package("tokio", &|tokio| tokio["license"] = licence.into());
        assert_eq!(refused_licences(&metadata, &allowed_licences()), [""; 0], "{licence}");
    }
    for source in
        [Value::Null, "git+https://example.com/tokio#0".into(), "registry+https://example.com/i".into()]
    {
        let metadata = package("tokio", &|tokio| tokio["source"] = source.clone());
        assert_eq!(unknown_sources(&metadata).len(), 1, "{source}");
    }
    let another = |name: &'static str, version: &'static str| {
        changed(&|value| {
            let packages = value["packages"].as_array_mut().unwrap();
            let mut package = packages.iter().find(|package| package["name"] == "tokio").unwrap().clone();
            (package["name"], package["version"]) = (name.into(), version.into());
            packages.push(package);
        })
    };
    for metadata in [another("hyper", "0.14.0"), another("rustls", "0.21.0"), another("openssl", "0.10.0")] {
        assert_eq!(banned_packages(&metadata).len(), 1);
    }
    let depends = |on: &'static str, kind: Value| {
        package("sst", &|sst| {
            let dependencies = sst["dependencies"].as_array_mut().unwrap();
            let mut dependency = dependencies[0].clone();
            (dependency["name"], dependency["kind"]) = (on.into(), kind.clone());
            dependencies.push(dependency);
        })
    };
    // The second is used in tests alone.
    for (name, kind) in [
        ("left-pad", Value::Null),
        ("insta", Value::Null),
        ("left-pad", "dev".into()),
        ("tokio", "dev".into()),
    ] {
        let found = unused_dependencies(&depends(name, kind.clone()), &used);
        assert!(!found.is_empty(), "{name} {kind}");
    }
}
