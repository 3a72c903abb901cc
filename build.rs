//! Tells the program which commit it is built of, and for what.

use std::process::Command;

fn main() {
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=SST_TARGET={target}");
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

/// None where there is no repository, as in a package of the sources.
fn commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "--short=9", "HEAD"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned()).filter(|text| !text.is_empty())
}
