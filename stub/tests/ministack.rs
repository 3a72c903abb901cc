//! The stub in a local cloud that checks signatures and permissions: `ministack.py` plays the developer's machine.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

const PACKAGES: [&str; 3] = ["ministack==1.5.33", "botocore", "wsproto"];

#[test]
fn every_outcome_reaches_the_caller() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ministack.py");
    run(Command::new(python()).arg(script).arg(support::build_stub()));
}

/// A Python with the local cloud and what the script needs; installed once and kept.
fn python() -> PathBuf {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ministack");
    let python = environment.join("bin/python");
    let complete = environment.join(PACKAGES.join("+").replace("==", "-"));
    if !complete.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        run(Command::new(&python).args(pip).args(PACKAGES));
        std::fs::write(complete, "").unwrap();
    }
    python
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
