//! Where the handler of a function is in the project.

use camino::{Utf8Path, Utf8PathBuf};

use crate::project::manifest::{FunctionSpec, Source};

/// What a handler's module may be called.
const MODULES: [&str; 8] = [".js", ".mjs", ".cjs", ".ts", ".mts", "/index.js", "/index.mjs", ".py"];

/// A handler.
pub(super) struct Code {
    /// The file that it is in.
    pub file: Utf8PathBuf,
    /// The directory from which the function's own modules are named.
    pub root: Utf8PathBuf,
    /// The module's name from there, with slashes.
    pub module: String,
    /// What it exports: `handler`, or `a.b` for something in it.
    pub export: String,
    /// Whether the function is bundled, and its file need not run as it is.
    pub is_bundled: bool,
    /// The project's own directory.
    pub project: Utf8PathBuf,
    /// Whether the project has esbuild.
    pub has_esbuild: bool,
    /// Whether the file is an ES module by its name or its package.
    pub is_module: bool,
}

impl Code {
    /// That of a function of a project.
    ///
    /// # Errors
    /// Why it is not there, as a fragment that fits after a colon.
    pub(super) fn of(function: &FunctionSpec, project: &Utf8Path) -> Result<Self, String> {
        let (file, root, module, export, is_bundled) = match &function.source {
            Source::Entry { path, export, root, .. } => {
                (path.clone(), root.clone(), String::new(), export.clone(), true)
            }
            Source::Directory { path } | Source::Made { path, .. } => {
                let (module, export) = split(&function.handler);
                let file = MODULES.iter().map(|end| Utf8PathBuf::from(format!("{path}/{module}{end}")));
                let file = file.into_iter().find(|file| file.is_file()).ok_or_else(|| {
                    format!("its handler is made when it is built, and there is no `{module}` in `{path}`")
                })?;
                (file, path.clone(), module, export, false)
            }
            Source::Inline { .. } => return Err("its code is in the template".to_owned()),
            Source::Program { .. } | Source::Command { .. } => return Err("it is a program".to_owned()),
        };
        let has_esbuild = project.ancestors().any(|place| place.join("node_modules/esbuild").is_dir());
        let is_module = is_module(&file);
        Ok(Self {
            project: project.to_owned(),
            file,
            root,
            module,
            export,
            is_bundled,
            has_esbuild,
            is_module,
        })
    }
}

/// The module and what it exports, of a handler such as `directory/module.export`. The modules of Python may have dots as well.
fn split(handler: &str) -> (String, String) {
    let (directory, name) = handler.rsplit_once('/').map_or(("", handler), |(before, name)| (before, name));
    let (module, export) = name.split_once('.').unwrap_or((name, "handler"));
    let module = if directory.is_empty() { module.to_owned() } else { format!("{directory}/{module}") };
    (module, export.to_owned())
}

fn is_module(file: &Utf8Path) -> bool {
    match file.extension() {
        Some("mjs" | "mts") => return true,
        Some("cjs") => return false,
        _ => {}
    }
    let package = file.ancestors().skip(1).map(|directory| directory.join("package.json"));
    let nearest = package.into_iter().find_map(|package| fs_err::read(package).ok());
    let manifest: serde_json::Value =
        serde_json::from_slice(&nearest.unwrap_or_default()).unwrap_or_default();
    manifest["type"] == "module"
}
