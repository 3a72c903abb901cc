//! The deployed binary must not depend on anything of the machine that it lands on: no loader, no shared library,
//! and so no version of glibc.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::process::Command;

use object::{
    Endianness, Object,
    elf::{DT_NEEDED, FileHeader64, PT_INTERP},
    read::elf::{Dyn, FileHeader, ProgramHeader},
};

#[test]
fn the_stub_needs_nothing_of_the_machine_it_runs_on() {
    let path = support::build_stub();
    let data = std::fs::read(&path).unwrap();
    let file = object::File::parse(&*data).unwrap();
    assert_eq!(file.architecture(), object::Architecture::X86_64);

    let header = FileHeader64::<Endianness>::parse(&*data).unwrap();
    let endian = header.endian().unwrap();
    let segments = header.program_headers(endian, &*data).unwrap();
    assert!(segments.iter().all(|segment| segment.p_type(endian) != PT_INTERP), "it asks for a loader");
    let needed = segments
        .iter()
        .filter_map(|segment| segment.dynamic(endian, &*data).unwrap())
        .flatten()
        .filter(|entry| entry.tag(endian) == DT_NEEDED)
        .count();
    assert_eq!(needed, 0, "it asks for shared libraries");
    assert_eq!(file.imports().unwrap().count(), 0, "it imports symbols of shared libraries");
    assert!(data.len() < 4 * 1024 * 1024, "{} bytes are downloaded at every cold start", data.len());

    // Without the Runtime API it has to end with a message, which also proves that it runs at all.
    let output = Command::new(path).env_clear().output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("AWS_LAMBDA_RUNTIME_API"));
}
