//! Builds the binary that is deployed.

use std::{path::PathBuf, process::Command};

const TARGET: &str = "x86_64-unknown-linux-musl";

/// The path of the stub, built as it is for a release: by `make`, or here.
pub(crate) fn build_stub() -> PathBuf {
    if let Some(built) = std::env::var_os("SST_STUB_BINARY") {
        return PathBuf::from(built);
    }
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--package", "sst-stub", "--profile", "stub", "--target", TARGET])
        .args(["--manifest-path", manifest, "--message-format", "json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).unwrap();
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
        .unwrap()
}
