//! What a language says of where functions are in a project whose tool does not say where their code is.

use camino::{Utf8Path, Utf8PathBuf};
use toml_edit::{DocumentMut, Item};

/// A file in which a handler may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HandlerFile {
    /// Its path, relative to a function's directory.
    pub path: Utf8PathBuf,
    /// Whether a function begins with it that has to be bundled or compiled first.
    pub is_entry: bool,
}

/// A program that a project has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedProgram {
    /// What it is called.
    pub name: String,
    /// What its language takes as its source.
    pub path: Utf8PathBuf,
    /// The name again, where the source may have several programs.
    pub binary: Option<String>,
}

/// The binaries of a package, by the rules of Cargo (<https://doc.rust-lang.org/cargo/reference/cargo-targets.html>); none for a workspace
/// that is no package.
pub(super) fn cargo_binaries(manifest: &Utf8Path) -> Vec<String> {
    let document = fs_err::read_to_string(manifest).ok().and_then(|text| text.parse::<DocumentMut>().ok());
    let Some(document) = document else { return Vec::new() };
    let Some(package) = document.get("package").and_then(|package| package.get("name")?.as_str()) else {
        return Vec::new();
    };
    let declared = || document.get("bin").and_then(Item::as_array_of_tables).into_iter().flatten();
    let text = |table: &toml_edit::Table, key: &str| table.get(key)?.as_str().map(str::to_owned);
    let mut names: Vec<String> = declared().filter_map(|one| text(one, "name")).collect();
    let source = manifest.with_file_name("src");
    let is_renamed = || declared().any(|one| text(one, "path").as_deref() == Some("src/main.rs"));
    if source.join("main.rs").is_file() && !is_renamed() && !names.iter().any(|name| name == package) {
        names.push(package.to_owned());
    }
    for entry in source.join("bin").read_dir_utf8().into_iter().flatten().flatten() {
        let path = entry.path();
        let is_binary = path.extension() == Some("rs") || path.join("main.rs").is_file();
        if let Some(name) = path.file_stem().filter(|_| is_binary)
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::languages;

    fn written(files: &[(&str, &str)]) -> (tempfile::TempDir, Utf8PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        for (file, text) in files {
            fs_err::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs_err::write(root.join(file), text).unwrap();
        }
        (directory, root)
    }

    #[test]
    fn the_binaries_of_a_package_are_those_that_cargo_builds() {
        let text = "[package]\nname = \"orders\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
        let main = "fn main() {}\n";
        let files = [
            ("Cargo.toml", text),
            ("src/main.rs", main),
            ("src/bin/create.rs", main),
            ("src/bin/list/main.rs", main),
            ("src/bin/notes.txt", ""),
        ];
        let (_directory, root) = written(&files);
        let manifest = root.join("Cargo.toml");
        // What `cargo metadata` of Cargo 1.95 says of the same files.
        assert_eq!(cargo_binaries(&manifest), ["create", "list", "orders"]);
        let renamed = format!("{text}\n[[bin]]\nname = \"api\"\npath = \"src/main.rs\"\n");
        fs_err::write(&manifest, renamed).unwrap();
        assert_eq!(cargo_binaries(&manifest), ["api", "create", "list"]);
        fs_err::write(&manifest, "[workspace]\nmembers = []\n").unwrap();
        assert_eq!(cargo_binaries(&manifest), [""; 0]);
    }

    #[test]
    fn programs_in_go_are_called_as_their_directories() {
        let files = [
            ("go.mod", "module a\n"),
            ("cmd/create/main.go", "// Creates.\npackage main\n"),
            ("orders/orders.go", "package orders\n"),
            ("tests/a_test.go", "package main\n"),
        ];
        let (_directory, root) = written(&files);
        let go = languages::get(&"go".into());
        let names =
            |at: &str| go.programs(&root.join(at)).into_iter().map(|one| one.name).collect::<Vec<_>>();
        assert_eq!(names("cmd/create"), ["create"]);
        assert_eq!(names("orders"), [""; 0]);
        assert_eq!(names("tests"), [""; 0]);
    }

    #[test]
    fn the_files_of_a_handler_come_with_what_was_written_first() {
        let files = |language: &str, handler: &str| {
            let files = languages::get(&language.into()).handler_files(handler);
            files.into_iter().map(|one| (one.path.into_string(), one.is_entry)).collect::<Vec<_>>()
        };
        let node = files("node", "src/orders/create.api.handler");
        assert_eq!(node[0], ("src/orders/create.ts".to_owned(), true));
        assert_eq!(node[1], ("src/orders/create/index.ts".to_owned(), true));
        assert_eq!(node.last().unwrap(), &("src/orders/create/index.cjs".to_owned(), false));
        let expected = [("app/report.py", false), ("app/report/__init__.py", false)];
        for handler in ["app.report.handler", "app/report.handler"] {
            assert_eq!(
                files("python", handler),
                expected.map(|(path, is_entry)| (path.to_owned(), is_entry))
            );
        }
        let java = [("src/main/java/com/acme/Create.java".to_owned(), true)];
        assert_eq!(files("java", "com.acme.Create$Inner::handleRequest"), java);
    }
}
