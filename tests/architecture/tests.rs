//! The rules, each against small programs that break it, in many ways of writing. They were seen to fail on the real one as well.

use crate::{circles, names::Tree, rules};

/// A program of a few tasks, in which files are as given. What a file of the root is called is declared there.
fn program(files: &[(&str, &str)]) -> Tree {
    let mut all = vec![
        ("relay/mod.rs", ""),
        ("runtime_api/mod.rs", ""),
        ("worker/mod.rs", "pub mod process; pub use process::Workers;"),
        (
            "worker/process.rs",
            "pub struct Workers; pub fn start() {} pub const MOST: u8 = 1; #[macro_export] macro_rules! m { () => {} }",
        ),
        ("watch.rs", ""),
        ("builder/mod.rs", ""),
        ("bridge/mod.rs", ""),
        ("core/mod.rs", ""),
        ("ids.rs", "pub struct RequestId;"),
        ("cli.rs", "pub struct Cli;"),
        ("ui/mod.rs", "fn writes() { println!(); std::io::stdout(); }"),
        (
            "process/mod.rs",
            "pub mod guard; pub struct Spawner; fn begin() { tokio::process::Command::new(\"\"); }",
        ),
        ("process/guard.rs", "pub fn guard() { start() } fn start() { std::process::Command::new(\"\"); }"),
        (
            "commands/mod.rs",
            "async fn run() { let s = crate::process::Spawner::of_this_program(); s.end().await; }",
        ),
        ("aws.rs", "fn client() { aws_sdk_s3::Client::from_conf(x) }"),
        ("main.rs", "fn main() { sst::process::guard::guard(); }"),
        (
            "lib.rs",
            "pub mod relay; pub mod runtime_api; pub mod worker; pub mod watch; pub mod builder; pub mod bridge; \
             pub mod core; pub mod ids; pub mod cli; pub mod ui; pub mod process; pub mod commands; pub mod aws;",
        ),
    ];
    for (file, text) in files {
        match all.iter_mut().find(|(known, _)| known == file) {
            Some(known) => known.1 = text,
            None => all.push((file, text)),
        }
    }
    Tree::small(&all)
}

/// Whether a rule finds something when a file is as given, and not where the same is written in tests.
fn finds(rule: impl Fn(&Tree) -> Vec<String>, file: &str, texts: &[&str]) {
    let before = rule(&program(&[]));
    assert_eq!(before, [""; 0], "the program is right before");
    for text in texts {
        assert!(!rule(&program(&[(file, text)])).is_empty(), "{text}");
        if !text.starts_with("use") || text.contains("fn ") {
            continue;
        }
        let in_tests = format!("#[cfg(test)] mod tests {{ {text} }} #[cfg(all(test, unix))] {text}");
        assert_eq!(rule(&program(&[(file, &in_tests)])), [""; 0], "{text}");
    }
}

fn allows(rule: impl Fn(&Tree) -> Vec<String>, file: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(rule(&program(&[(file, text)])), [""; 0], "{text}");
    }
}

#[test]
fn a_task_that_knows_another_is_found() {
    finds(
        rules::tasks_that_know_others,
        "relay/mod.rs",
        &[
            "use crate::worker::Workers;",
            "use crate::{ids::RequestId, worker::Workers};",
            "use crate::{\n    ids::RequestId,\n    worker::{self, Workers as W},\n};",
            "use crate::{ids, worker as w};",
            "use crate as c; fn f() { c::worker::start() }",
            "use crate::*;",
            "use crate::worker::*;",
            "use super::worker;",
            "use self::super::worker;",
            "use super::*; fn f() { worker::start() }",
            "use {crate::ids::RequestId, super::{worker::Workers}};",
            "pub(crate) use crate::worker::Workers;",
            "fn f(_: crate::worker::Workers) {}",
            "fn f() -> Vec<Option<crate::worker::Workers>> { x }",
            "fn f() { crate::worker::start() }",
            "fn f() { use crate::worker::start; start() }",
            "fn f() { let x = super::worker::process::MOST; }",
            "impl From<crate::worker::Workers> for X {}",
            "fn f<T: Into<crate::worker::Workers>>() {}",
            "fn f(x: X) { match x { crate::worker::MOST => {} _ => {} } }",
            "fn f() { tracing::debug!(most = crate::worker::MOST, \"text\") }",
            "fn f() { tokio::select! { x = crate::worker::start() => {} } }",
            "fn f() { vec![crate::worker::MOST; 3] }",
            "fn f() { format!(\"{}\", vec![Some(crate::worker::MOST)]) }",
            "macro_rules! m { () => { $crate::worker::start() } }",
            "m! { use crate::{ids, worker::Workers}; }",
            "fn f() { Vec::<crate::worker::Workers>::new() }",
            "fn f() { m!(Vec::<crate::worker::Workers>::new()) }",
            "fn f() { <crate::worker::Workers as Default>::default() }",
            "#[serde(with = \"crate::worker::process\")] struct S;",
            "mod inner { use super::super::worker::Workers; }",
            "mod inner { pub fn f() { crate::r#worker::start() } }",
            "type W = crate::worker::Workers;",
        ],
    );
    // By way of others, who may know it.
    let through = |ids: &str, relay: &str| {
        let found = rules::tasks_that_know_others(&program(&[("ids.rs", ids), ("relay/mod.rs", relay)]));
        assert!(!found.is_empty(), "{ids} {relay}");
    };
    through("pub use crate::worker::Workers as W;", "use crate::ids::W;");
    through("pub use crate::worker::*;", "fn f(_: crate::ids::Workers) {}");
    through("pub use crate::worker;", "use crate::ids; fn f() { ids::worker::start() }");
    through("pub type W = crate::worker::Workers;", "fn f(_: crate::ids::W) {}");
    through("pub use crate::worker::process;", "use crate::ids::*; fn f() { process::start() }");
    allows(
        rules::tasks_that_know_others,
        "relay/mod.rs",
        &[
            "use crate::ids::RequestId; fn f(worker: u8) { worker; x.worker; y.worker::<u8>() }",
            "fn f(worker: u8) { debug!(%worker, worker = 1, \"{worker}\"); 'worker: loop { break 'worker } }",
            "/// [`crate::worker::Workers`]\nfn f() {} // crate::worker\nfn g() { \"crate::worker\" }",
            "mod worker { pub fn start() {} } fn f() { worker::start(); self::worker::start() }",
            "#[cfg(test)] fn f() { crate::worker::start() } struct S; impl S { #[cfg(test)] fn f() { crate::worker::start() } }",
        ],
    );
}

#[test]
fn an_impure_core_is_found() {
    finds(
        rules::impure_core,
        "core/mod.rs",
        &[
            "use tokio::sync::mpsc;",
            "use {std::sync::Arc, tokio as t};",
            "use std::{sync::Arc, fs};",
            "use std::{collections::HashMap, io::{self, Read}};",
            "use std::*;",
            "use std as s; fn f() { s::fs::read(x) }",
            "fn f() { ::std::env::var(x) }",
            "fn f() { std::thread::spawn(x) }",
            "use std::time::Instant; fn f() { Instant::now() }",
            "use std::time; fn f() { x.map_or_else(time::Instant::now, y) }",
            "use std::time::Instant as I; fn f() { debug_assert!(I::now() > x) }",
            "fn f(begun: Instant) { begun.elapsed() }",
            "fn f(path: &Utf8Path) { path.exists() }",
            "fn f() { matches!(path.metadata(), Ok(_)) }",
            "fn f() { fs_err::read(x) }",
            "fn f() { println!(\"{:?}\", std::time::SystemTime::now()) }",
            "use crate::process::Spawner;",
            "fn f() { super::process::guard::guard() }",
        ],
    );
    allows(
        rules::impure_core,
        "core/mod.rs",
        &[
            "use std::{collections::HashMap, sync::Arc, time::{Duration, Instant}}; use crate::ids::RequestId;",
            "fn f(now: Instant, tokio: u8) { now; Some(tokio); x.now; state.handle(now) }",
        ],
    );
}

#[test]
fn runtimes_that_are_known_elsewhere_are_found() {
    let rule = |tree: &Tree| rules::runtimes_elsewhere(tree, "languages");
    finds(
        rule,
        "builder/mod.rs",
        &[
            "fn f() { runtime == \"nodejs22.x\" }",
            "const OLD: [&str; 1] = [\"python3.8\"];",
            "fn f() { matches!(runtime, \"java21\" | \"go1.x\") }",
        ],
    );
    allows(
        rule,
        "builder/mod.rs",
        &["fn f() { runtime.starts_with(\"provided\"); say(\"python is missing\"); which(\"python3\") }"],
    );
}

#[test]
fn children_that_are_started_elsewhere_are_found() {
    let rule = |tree: &Tree| rules::children_elsewhere(tree, "process");
    finds(
        rule,
        "relay/mod.rs",
        &[
            "use std::process::Command;",
            "use std::{io, process::{ExitCode, Command as C}};",
            "use std::process; fn f() { process::Command::new(x) }",
            "use std::process::*;",
            "use std::process::Stdio;",
            "use tokio::process;",
            "use {tokio::{sync, process::Command}};",
            "use std::os::unix::process::CommandExt;",
            "fn f() { ::std::process::Command::new(x) }",
            "fn f() { tokio::select! { x = tokio::process::Command::new(y).status() => {} } }",
            "use nix::unistd; fn f() { unsafe { unistd::fork() } }",
            "fn f() { unsafe { nix::libc::execv(x, y) } }",
            "use nix::libc::*;",
            "fn f() { nix::spawn::posix_spawn(x) }",
            "use nix::unistd::{ForkResult, execvp as become_it};",
        ],
    );
    allows(
        rule,
        "relay/mod.rs",
        &[
            "use std::{process::{ExitCode, Output}, os::unix::process::ExitStatusExt}; fn f() { std::process::id() }",
            "use nix::unistd::{getpid, Pid}; use crate::process::Spawner; enum Command { A } fn f() { Command::A }",
        ],
    );
    // In the room itself only where it is meant to be.
    finds(
        rule,
        "process/mod.rs",
        &[
            "use std::process::Command; fn other() { Command::new(x) }",
            "fn begin() { std::process::Stdio::inherit() }",
            "fn begin() { nix::unistd::fork() }",
        ],
    );
}

#[test]
fn children_without_a_guard_that_lives_are_found() {
    finds(
        rules::unguarded_children,
        "relay/mod.rs",
        &[
            "use crate::process::Spawner; fn f() { Spawner::of_this_program() }",
            "fn f() { x.unwrap_or_else(crate::process::Spawner::of_this_program) }",
            "use crate::process::guard::guard as g; fn f() { g() }",
            "fn f(command: Command) { command.exec() }",
        ],
    );
    finds(
        rules::unguarded_children,
        "process/guard.rs",
        &[
            "pub fn guard() { std::thread::spawn(|| start()); } fn start() {}",
            "pub fn guard() { std::thread::spawn(start); other() } fn start() {} fn other() { start() }",
            "pub fn guard() { start(); start() } fn start() {}",
            "pub fn guard() {} fn start() {}",
        ],
    );
    finds(
        rules::unguarded_children,
        "commands/mod.rs",
        &[
            "async fn run() { let s = crate::process::Spawner::of_this_program(); }",
            "async fn run() { s.end().await }",
            "async fn run() { let s = || crate::process::Spawner::of_this_program(); s.end().await; }",
        ],
    );
    finds(
        rules::unguarded_children,
        "main.rs",
        &[
            "fn main() {}",
            "fn main() { std::thread::spawn(|| sst::process::guard::guard()); }",
            "use sst::process::guard; fn main() { other() } fn other() { guard::guard() }",
        ],
    );
}

#[test]
fn listeners_that_may_end_are_found() {
    let rule = |tree: &Tree| rules::own_accepting(tree, &["descriptors.rs"]);
    finds(
        rule,
        "relay/mod.rs",
        &[
            "async fn f() { listener.accept().await }",
            "async fn f() { self.anything.accept().await }",
            "fn f() { let _ = std::net::TcpListener::accept(&x); }",
            "use tokio::net::TcpListener as L; async fn f() { L::accept(&x).await }",
            "async fn f() { tokio::select! { x = any.accept() => {} } }",
            "fn f() { for x in listener.incoming() {} }",
            "fn f() { listener.poll_accept(context) }",
            "async fn f() { axum::serve(listener, router).await }",
            "use axum::serve as s; async fn f() { join!(s(listener, router)) }",
        ],
    );
    allows(
        rule,
        "relay/mod.rs",
        &[
            "async fn f() { crate::descriptors::accept(&x).await; axum::serve(Patient(listener), router).await }",
        ],
    );
}

#[test]
fn sockets_that_are_open_to_others_are_found() {
    finds(
        rules::open_sockets,
        "relay/mod.rs",
        &[
            "fn f() { std::net::TcpListener::bind(\"0.0.0.0:0\") }",
            "fn f() { std::net::TcpListener::bind((\"0.0.0.0\", 0)) }",
            "use tokio::net::TcpListener; fn f() { TcpListener::bind(address) }",
            "use tokio::net::TcpListener as L; fn f() { L::bind(\"[::]:0\") }",
            "use std::net::{Ipv4Addr, TcpListener}; fn f() {\n TcpListener::bind(\n (Ipv4Addr::UNSPECIFIED, 0)) }",
            "fn f() { std::net::UdpSocket::bind((address, 0)) }",
            "fn f() { tokio::select! { x = tokio::net::TcpListener::bind(address) => {} } }",
            "fn f() { addresses.map(std::net::TcpListener::bind) }",
            "fn f() { let s = tokio::net::TcpSocket::new_v4(); s.bind(address) }",
            "const ANY: &str = \"0.0.0.0\";",
            "use std::net::Ipv6Addr as A; fn f() { A::UNSPECIFIED }",
            "fn f() { portpicker::pick_unused_port() }",
            "fn f() { std::net::TcpListener::bind((address, Ipv4Addr::LOCALHOST)) }",
        ],
    );
    allows(
        rules::open_sockets,
        "relay/mod.rs",
        &[
            "use std::net::{Ipv4Addr, TcpListener}; fn f() { TcpListener::bind((Ipv4Addr::LOCALHOST, 0)) }",
            "fn f() { tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)) }",
            "fn f() { tokio::net::UnixListener::bind(path) }",
        ],
    );
}

#[test]
fn other_writers_are_found() {
    let rule = |tree: &Tree| {
        let found = rules::other_writers(tree, "ui");
        found.into_iter().filter(|found| !found.contains("diagnostics are begun")).collect()
    };
    finds(
        rule,
        "relay/mod.rs",
        &[
            "fn f() { println!(\"x\") }",
            "fn f() { std::eprintln!(\"x\") }",
            "fn f() { tokio::select! { x = y => print!(\"x\") } }",
            "use std::println as say; fn f() { say!(\"x\") }",
            "fn f() { dbg!(x) }",
            "use std::io::{self, Write}; fn f() { write!(io::stdout(), \"x\") }",
            "use std::io::stderr as e; fn f() { e() }",
            "use std::{io::{Stdout}};",
            "use std::io::*;",
            "fn f() { tokio::io::stdout() }",
            "use tokio::io as i; fn f() { i::stderr() }",
            "fn f() { command.stdout(std::process::Stdio::inherit()) }",
            "fn f() { nix::unistd::write(x, b\"x\") }",
            "use nix::libc; fn f() { unsafe { libc::write(1, x, 1) } }",
            "use std::os::fd::FromRawFd;",
            "use std::os::fd::BorrowedFd; fn f() { BorrowedFd::borrow_raw(1) }",
            "fn f() { File::open(\"/dev/tty\") }",
            "fn f() { format!(\"{}\", fs_err::write(\"/proc/self/fd/1\", x)) }",
            "use indicatif::ProgressBar;",
            "fn f() { crate::cli::Cli::parse() }",
            "use clap::Parser; fn f() { <crate::cli::Cli as Parser>::parse() }",
            "use crate::cli::Cli as C; fn f() { C::parse() }",
            "fn f(error: clap::Error) { error.exit() }",
            "fn f(error: clap::Error) { error.print() }",
            "use std::panic; fn f() { panic::set_hook(x) }",
            "fn f() { tracing_subscriber::fmt::init() }",
        ],
    );
    allows(
        rule,
        "relay/mod.rs",
        &[
            "use std::io::{self, Read, Write}; use tokio::io::AsyncWriteExt; fn f() { io::stdin(); file.write_all(b\"x\") }",
            "fn f(child: Child) { child.stdout.take(); command.stdout(Stdio::piped()); format!(\"/dev/null\") }",
        ],
    );
    let begun = |text: &str| rules::other_writers(&program(&[("main.rs", text)]), "ui");
    assert_eq!(
        begun("fn main() { tracing_subscriber::fmt().with_writer(move || d.diagnostics()).init() }"),
        [""; 0]
    );
    for text in [
        "fn main() { tracing_subscriber::fmt().init() }",
        "fn main() { tracing_subscriber::fmt().with_writer(std::fs::File::open).init() }",
        "fn main() { tracing_subscriber::fmt().with_writer(|| d.diagnostics()).init(); tracing_subscriber::fmt().init() }",
        "use tracing_subscriber::fmt as f; fn main() { f::init() }",
    ] {
        assert!(!begun(text).is_empty(), "{text}");
    }
}

#[test]
fn clients_without_limits_are_found() {
    let rule = |tree: &Tree| rules::clients_without_limits(tree, "aws");
    finds(
        rule,
        "relay/mod.rs",
        &[
            "fn f() { aws_sdk_s3::Client::new(&x) }",
            "use aws_sdk_s3::{Client, primitives::ByteStream}; fn f() { Client::from_conf(x) }",
            "use aws_sdk_s3::Client as S3; fn f() { S3::new(x) }",
            "use aws_sdk_s3 as s3; fn f() { tokio::join!(s3::Client::new(x)) }",
            "fn f() { configs.map(aws_sdk_sts::Client::new) }",
            "use aws_sdk_s3::*;",
            "use aws_sdk_s3::config::Builder;",
            "use aws_sdk_s3::config; fn f() { config::Builder::new() }",
            "use aws_sdk_s3::Config; fn f() { Config::builder() }",
            "use aws_config::SdkConfig;",
            "use aws_smithy_http_client as h;",
        ],
    );
    allows(
        rule,
        "relay/mod.rs",
        &[
            "use aws_sdk_s3::{Client, primitives::ByteStream, config::Region}; fn f(client: &Client) { client.get_object() }",
        ],
    );
}

#[test]
fn circles_are_found() {
    let circle = |one: &str, two: &str, three: &str| {
        circles::circles(&program(&[
            ("bridge/mod.rs", "mod one; mod two; mod three; pub use two::Two;"),
            ("bridge/one.rs", one),
            ("bridge/two.rs", two),
            ("bridge/three.rs", three),
        ]))
    };
    let two = "pub struct Two;";
    assert_eq!(circle("use super::two::Two; pub struct One;", two, "use super::{one, two};"), [""; 0]);
    assert_eq!(circle("", "pub struct Two; use super::Two as Own; use crate::bridge;", ""), [""; 0]);
    for (one, other, three) in [
        ("use super::two::Two; pub struct One;", "pub struct Two; use super::one::One;", ""),
        // What the room hands on is its module's.
        ("use super::Two; pub struct One;", "pub struct Two; fn f() { crate::bridge::one::One }", ""),
        ("use super::two;", "pub struct Two; use super::three;", "fn f() { vec![super::one::One] }"),
    ] {
        assert_eq!(circle(one, other, three).len(), 1, "{one} {other} {three}");
    }
}

#[test]
fn included_source_is_found() {
    finds(
        rules::hidden_source,
        "relay/mod.rs",
        &["include!(\"x.rs\");", "fn f() { std::include!(\"x.rs\") }"],
    );
}
