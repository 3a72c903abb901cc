//! Tells the program which commit it is built of, for what, and what its npm package is called.

use std::process::Command;

fn main() {
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=SST_TARGET={target}");
    println!("cargo::rustc-env=SST_NPM_PACKAGE={}", npm_package());
    println!("cargo::rerun-if-changed=npm/package.json");
    // While one works on it, each commit would have it built anew for nothing else.
    let is_released = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = is_released.then(commit).flatten().unwrap_or_else(|| "in development".to_owned());
    println!("cargo::rustc-env=SST_COMMIT={commit}");
    println!("cargo::rerun-if-changed=build.rs");
    if is_released {
        for file in
            [".git/HEAD", ".git/logs/HEAD"].into_iter().filter(|file| std::path::Path::new(file).exists())
        {
            println!("cargo::rerun-if-changed={file}");
        }
    }
}

/// The name is in `npm/package.json` and nowhere else.
fn npm_package() -> String {
    let manifest = std::fs::read_to_string("npm/package.json").unwrap_or_default();
    let name = manifest.split_once("\"name\": \"").and_then(|(_, rest)| rest.split_once('"'));
    name.map(|(name, _)| name.to_owned()).expect("`npm/package.json` has a name")
}

/// None where there is no repository, as in a package of the sources.
fn commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=9", "HEAD"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned()).filter(|text| !text.is_empty())
}
