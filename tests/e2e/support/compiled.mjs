// A program that a machine has compiled, as those in layers are.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

/** Says its arguments, and what is in a file of a layer. */
const SOURCE = `
fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let data = std::fs::read_to_string("/opt/data.txt").unwrap_or_else(|error| format!("{:?}", error.kind()));
    println!("compiled: {}, {}", words.join(" "), data.trim());
}
`;

/** Compiles it to `file`. */
export function compile(file) {
  const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "sst-compiled-"));
  const source = path.join(scratch, "main.rs");
  fs.writeFileSync(source, SOURCE);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  execFileSync("rustc", ["-C", "strip=symbols", "-o", file, source], { stdio: ["ignore", "inherit", "inherit"] });
  fs.rmSync(scratch, { recursive: true, force: true });
}
