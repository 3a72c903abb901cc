//! Functions that are attached and given back, by the strict counterpart for AWS: field by field, after an end at each moment, and whatever is
//! refused.
#![allow(clippy::unwrap_used, reason = "a test may fail that way")]

#[path = "attach/account.rs"]
mod account;
#[path = "counterpart/client.rs"]
mod counterpart;
#[path = "attach/crashes.rs"]
mod crashes;
#[path = "attach/faults.rs"]
mod faults;
#[path = "attach/give_back.rs"]
mod give_back;
#[path = "attach/janitor.rs"]
mod janitor;
#[path = "attach/permissions.rs"]
mod permissions;
#[path = "attach/refused.rs"]
mod refused;

/// Credentials are found by variables, which belong to a process. So the tests are in another one.
#[test]
fn what_is_attached_is_given_back() {
    let files = [
        include_str!("attach/crashes.rs"),
        include_str!("attach/faults.rs"),
        include_str!("attach/give_back.rs"),
        include_str!("attach/janitor.rs"),
        include_str!("attach/permissions.rs"),
        include_str!("attach/refused.rs"),
    ];
    counterpart::run_ignored(files.iter().map(|file| file.matches("\n#[ignore = ").count()).sum());
}
