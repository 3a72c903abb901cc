//! macOS has a program that lists all connections. Never run, only type-checked.

use std::process::Command;

/// How many connections a server at a port of 127.0.0.1 has. None when that cannot be found out.
#[must_use]
pub fn connections(port: u16) -> Option<usize> {
    let output = Command::new("netstat").args(["-an", "-p", "tcp"]).output().ok()?;
    let local = format!("127.0.0.1.{port}");
    let table = String::from_utf8_lossy(&output.stdout);
    let is_one = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(3) == Some(&local.as_str()) && fields.get(5) == Some(&"ESTABLISHED")
    };
    Some(table.lines().filter(is_one).count())
}
