//! The stub in a local cloud that checks signatures and permissions: `ministack.py` plays the developer's machine.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::process::Command;

#[test]
#[ignore = "needs `ministack` 1.5.33: set `SST_TEST_PYTHON` to the Python that it is installed for"]
fn every_outcome_reaches_the_caller() {
    let python =
        std::env::var("SST_TEST_PYTHON").expect("set `SST_TEST_PYTHON` to a Python with `ministack`");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ministack.py");
    let output = Command::new(python).arg(script).arg(support::build_stub()).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
