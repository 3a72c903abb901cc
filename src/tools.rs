//! The programs and files that come with `sst` or must be on the machine: Node, the npm package's own dependencies, the
//! embedded scripts, the stub.

use camino::{Utf8Path, Utf8PathBuf};
use include_dir::{Dir, include_dir};

use crate::{
    error::{Error, Kind, Result},
    languages,
    process::{Command, Spawner, Stdio},
    stub_package::Architecture,
};

/// The oldest major version of Node that the scripts run on.
const OLDEST_NODE: u32 = 20;

/// The scripts that run in Node, by the name of the directory that they are written to. The runners of languages come beside them.
static SCRIPTS: [(&str, Dir<'static>); 2] = [
    ("synth", include_dir!("$CARGO_MANIFEST_DIR/infra/synth")),
    ("builder", include_dir!("$CARGO_MANIFEST_DIR/src/builder/sidecar")),
];

/// Where the tools are.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The `node` executable (version 20 or newer).
    pub node: Utf8PathBuf,
    /// What it says of its version, e.g. `v22.4.1`.
    pub node_version: String,
    /// The directory of the npm package: `esbuild` and `aws-cdk` are resolved from here when the project has none.
    pub npm_root: Utf8PathBuf,
    /// The directory into which the embedded scripts were written: `synth/` (all of `infra/synth`), `builder/` (the esbuild sidecar),
    /// and the runner of each language in a directory that is called as it is, e.g. `node/`.
    pub scripts: Utf8PathBuf,
    /// The stub's executables, for Linux; that for x86_64 first, if it is there. There is one at least.
    pub stubs: Vec<(Architecture, Utf8PathBuf)>,
}

impl Tools {
    /// Finds the programs and writes the scripts into `scripts`.
    ///
    /// # Errors
    /// [`Kind::Environment`] with what to install, when something is missing or too old.
    pub async fn find(scripts: Utf8PathBuf, spawner: &Spawner) -> Result<Self> {
        let (node, node_version) = find_node(spawner).await?;
        let program = std::env::current_exe().ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
        let directory = program.as_deref().and_then(Utf8Path::parent);
        let npm_root = find_npm_root(directory)?;
        let stubs = find_stubs(directory)?;
        write_scripts(&scripts)?;
        Ok(Self { node, node_version, npm_root, scripts, stubs })
    }
}

/// Whether this program runs from an npm package that a package manager has installed, rather than from a checkout.
#[must_use]
pub fn is_installed_package() -> bool {
    let program = std::env::current_exe().ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
    let root = find_npm_root(program.as_deref().and_then(Utf8Path::parent));
    root.is_ok_and(|root| root.components().any(|part| part.as_str() == "node_modules"))
}

async fn find_node(spawner: &Spawner) -> Result<(Utf8PathBuf, String)> {
    let install = format!("install Node.js {OLDEST_NODE} or newer, see https://nodejs.org");
    let missing = |message: String| Error::new(Kind::Environment, message).hint(&install);
    let path = which::which("node").map_err(|_| missing("`node` is not in the PATH".to_owned()))?;
    let path = Utf8PathBuf::from_path_buf(path)
        .map_err(|path| missing(format!("the path `{}` is not UTF-8", path.display())))?;
    let mut command = Command::new(&path);
    command.arg("--version").stdout(Stdio::piped());
    let failed = |error| missing(format!("`{path} --version` fails: {error}"));
    let child = spawner.spawn(command).await.map_err(failed)?;
    let output = child.wait_with_output().await.map_err(failed)?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major >= OLDEST_NODE => Ok((path, version)),
        Some(_) => Err(missing(format!("`{path}` is Node.js {version}, which is too old"))),
        None => {
            let message =
                format!("`{path} --version` answers `{version}`, which is not a version of Node.js");
            // A version manager's shim says there what it lacks.
            let said = String::from_utf8_lossy(&output.stderr);
            Err(if said.trim().is_empty() { missing(message) } else { missing(message).detail(said.trim()) })
        }
    }
}

fn find_npm_root(program: Option<&Utf8Path>) -> Result<Utf8PathBuf> {
    if let Ok(root) = std::env::var("SST_NPM_ROOT") {
        return Ok(Utf8PathBuf::from(root));
    }
    // The launcher of the package says where that is. In a checkout the program is below the directory that holds `npm/`.
    let candidates = program.into_iter().flat_map(Utf8Path::ancestors);
    let found =
        candidates.flat_map(|directory| [directory.to_owned(), directory.join("npm")]).find(|directory| {
            directory.join("node_modules/esbuild").is_dir() && directory.join("bin/sst.mjs").is_file()
        });
    found.ok_or_else(|| {
        Error::new(Kind::Environment, "the npm package of `sst`, with esbuild and the CDK, was not found")
            .hint("start `node_modules/.bin/sst` of the npm package, or set `SST_NPM_ROOT` to its directory")
    })
}

/// In a checkout there need not be one for arm64: functions get the one that there is.
fn find_stubs(program: Option<&Utf8Path>) -> Result<Vec<(Architecture, Utf8PathBuf)>> {
    let of = |architecture| Some((architecture, find_stub(program, architecture)?));
    let found: Vec<_> = [Architecture::X86_64, Architecture::Arm64].into_iter().filter_map(of).collect();
    if found.is_empty() {
        return Err(Error::new(Kind::Environment, "the stub `sst-stub` was not found next to this program")
            .hint("install `sst` again, or run `make build` in its repository"));
    }
    Ok(found)
}

/// What a variable names is taken unseen, so that whoever reads it says what is wrong with it.
fn find_stub(program: Option<&Utf8Path>, architecture: Architecture) -> Option<Utf8PathBuf> {
    let (variable, name, target) = match architecture {
        Architecture::X86_64 => ("SST_STUB_BINARY", "sst-stub", "x86_64-unknown-linux-musl"),
        Architecture::Arm64 => ("SST_STUB_BINARY_ARM64", "sst-stub-arm64", "aarch64-unknown-linux-musl"),
    };
    if let Ok(stub) = std::env::var(variable) {
        return Some(Utf8PathBuf::from(stub));
    }
    let beside = program.map(|directory| directory.join(name));
    // Cargo puts binaries for other targets next to the profile's directory.
    let built = program.and_then(Utf8Path::parent).map(|all| all.join(target).join("stub/sst-stub"));
    [built, beside].into_iter().flatten().find(|path| path.is_file())
}

/// Writes what is new or different, so that paths and times of unchanged scripts stay what they were.
fn write_scripts(target: &Utf8Path) -> Result<()> {
    let failed = |error: std::io::Error| {
        let full = error.kind() == std::io::ErrorKind::StorageFull;
        let message = if full { "the disk is full: cannot write" } else { "cannot write" };
        Error::new(Kind::Environment, format!("{message} to `{target}`")).detail(error)
    };
    let scripts = SCRIPTS.iter().map(|(name, directory)| (*name, directory));
    let runners =
        languages::all().filter_map(|language| language.runner().map(|runner| (language.id(), runner.files)));
    for (name, directory) in scripts.chain(runners) {
        write_directory(directory, &target.join(name)).map_err(failed)?;
    }
    Ok(())
}

fn write_directory(source: &Dir<'_>, target: &Utf8Path) -> std::io::Result<()> {
    if target.is_symlink() {
        // Nothing of ours, and it may lead anywhere.
        fs_err::remove_file(target)?;
    }
    fs_err::create_dir_all(target)?;
    for file in source.files() {
        let Some(name) = file.path().file_name().and_then(|name| name.to_str()) else { continue };
        let path = target.join(name);
        if fs_err::read(&path).is_ok_and(|content| content == file.contents()) {
            continue;
        }
        // By renaming, because another `sst` of the same project may be reading the old one.
        let mut file_beside = tempfile::NamedTempFile::new_in(target)?;
        std::io::Write::write_all(&mut file_beside, file.contents())?;
        file_beside.persist(&path).map_err(|error| error.error)?;
    }
    for directory in source.dirs() {
        let Some(name) = directory.path().file_name().and_then(|name| name.to_str()) else { continue };
        write_directory(directory, &target.join(name))?;
    }
    Ok(())
}
