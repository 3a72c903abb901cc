//! The counterpart for Rust's tests: `mod counterpart` with `#[path = "counterpart/client.rs"]`.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

/// Where the counterpart is controlled, for the process that has its credentials.
const CONTROL: &str = "SST_TEST_CONTROL";

/// Where it is, for the same process.
const ENDPOINT: &str = "SST_TEST_ENDPOINT";

/// Runs the tests that are ignored otherwise, of which there are `all`, in a process that has the credentials of a counterpart: they are found by
/// variables, which belong to a process. With `SST_TEST_ONLY` those whose names have that in them.
pub(crate) fn run_ignored(all: usize) {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let python = std::env::var("SST_COUNTERPART_PYTHON").unwrap_or(format!("{target}/python/bin/python"));
    let directory = tempfile::tempdir().unwrap();
    let options =
        json!({ "directory": directory.path(), "rie": format!("{target}/counterpart/bin/aws-lambda-rie") });
    let mut counterpart = Command::new(python)
        .args(["tests/counterpart/server.py", &options.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(counterpart.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let key = |name: &str| ready["credentials"]["developer"][name].as_str().unwrap();
    let only = std::env::var("SST_TEST_ONLY").ok();
    let mut arguments = vec!["--ignored".to_owned(), "--test-threads=1".to_owned()];
    arguments.extend(only.clone());
    let tests = Command::new(std::env::current_exe().unwrap())
        .args(&arguments)
        .env("AWS_ACCESS_KEY_ID", key("accessKeyId"))
        .env("AWS_SECRET_ACCESS_KEY", key("secretAccessKey"))
        .env("AWS_SESSION_TOKEN", key("sessionToken"))
        .env("AWS_REGION", ready["region"].as_str().unwrap())
        .env_remove("AWS_PROFILE")
        .env(CONTROL, ready["control"].as_str().unwrap())
        .env(ENDPOINT, ready["endpoint"].as_str().unwrap())
        .output();
    // It ends with its standard input.
    drop(counterpart.stdin.take());
    counterpart.wait().unwrap();
    let tests = tests.unwrap();
    let said = String::from_utf8_lossy(&tests.stdout).into_owned() + &String::from_utf8_lossy(&tests.stderr);
    // All of them have run.
    let have_run = match only {
        None => said.contains(&format!(" {all} passed")),
        Some(_) => !said.contains(" 0 passed"),
    };
    assert!(tests.status.success() && have_run, "of {all}: {said}");
}

/// Where the counterpart is.
pub(crate) fn endpoint() -> String {
    std::env::var(ENDPOINT).unwrap()
}

/// Has the counterpart do something, and waits until it has.
pub(crate) fn ask(command: &str, mut asked: Value) -> Value {
    asked["command"] = command.into();
    let control = std::env::var(CONTROL).unwrap();
    let (host, path) = control.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let body = asked.to_string();
    write!(stream, "POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}
