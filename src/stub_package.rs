//! The zip files that are deployed as the code of stubbed functions, one for each architecture of Lambda.

use std::io::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use crate::error::{Error, Kind, Result};

/// What is deployed as the code of stubs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stubs {
    usual: Package,
    others: Vec<Package>,
}

impl Stubs {
    /// `usual` is for functions of all architectures that have no package of their own among `others`.
    #[must_use]
    pub fn new(usual: Package, others: Vec<Package>) -> Self {
        Self { usual, others }
    }

    /// The package for a function of an architecture.
    #[must_use]
    pub fn of(&self, architecture: Architecture) -> &Package {
        self.all().find(|package| package.architecture == architecture).unwrap_or(&self.usual)
    }

    /// The package for functions that have none of their own.
    #[must_use]
    pub fn usual(&self) -> &Package {
        &self.usual
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Package> {
        std::iter::once(&self.usual).chain(&self.others)
    }
}

/// An instruction set that Lambda has machines for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// What a function has that declares none.
    X86_64,
    /// AWS Graviton.
    Arm64,
}

impl Architecture {
    /// The one of this machine.
    pub const HERE: Self = if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::X86_64 };

    /// As the `Architectures` of `AWS::Lambda::Function` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// The one of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::X86_64, Self::Arm64].into_iter().find(|architecture| architecture.name() == name)
    }
}

/// A zip file that is ready for upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// What its executable runs on.
    pub architecture: Architecture,
    /// `<directory>/<sha256>.zip`.
    pub path: Utf8PathBuf,
    /// SHA-256 of the zip file, lowercase hexadecimal.
    pub sha256: String,
}

impl Package {
    /// What it is called in the bucket of a bootstrap.
    #[must_use]
    pub fn object_key(&self) -> String {
        format!("{}.zip", self.sha256)
    }
}

/// Packs all that there are, as [`package`] does. The first is the usual one.
///
/// # Errors
/// As [`package`]; when there is none.
pub fn package_all(stubs: &[(Architecture, Utf8PathBuf)], directory: &Utf8Path) -> Result<Stubs> {
    let mut packages = (stubs.iter())
        .map(|(architecture, stub)| package(*architecture, stub, directory))
        .collect::<Result<Vec<_>>>()?
        .into_iter();
    let usual = packages.next().ok_or_else(|| Error::new(Kind::Environment, "there is no stub to deploy"))?;
    Ok(Stubs::new(usual, packages.collect()))
}

/// Packs `stub`, an executable for `architecture`, as a Lambda `bootstrap` into `directory`, which is created when it is missing. The
/// same executable gives the same bytes, so that the name changes only when the stub does.
///
/// # Errors
/// When the executable cannot be read, or the directory cannot be written.
pub fn package(architecture: Architecture, stub: &Utf8Path, directory: &Utf8Path) -> Result<Package> {
    let executable = fs_err::read(stub).map_err(|error| {
        Error::new(Kind::Environment, format!("the stub `{stub}` cannot be read"))
            .detail(error)
            .hint("install `sst` again; it brings the stub along")
    })?;
    // Other versions may pack the same in another way.
    let memory = format!("{}-{}", sst_wire::sha256_hex(&executable), env!("CARGO_PKG_VERSION"));
    let memory = directory.join(memory);
    if let Some(package) = packed_before(architecture, &memory, directory) {
        return Ok(package);
    }
    let bytes = zipped(&executable)
        .map_err(|error| Error::new(Kind::Other, "the stub cannot be packed").detail(error))?;
    let sha256 = sst_wire::sha256_hex(&bytes);
    let path = directory.join(format!("{sha256}.zip"));
    let written = write_whole(&path, directory, &bytes)
        .and_then(|()| write_whole(&memory, directory, sha256.as_bytes()));
    written.map_err(|error| {
        Error::new(Kind::Environment, format!("the packed stub cannot be written to `{directory}`"))
            .detail(error)
            .hint("make the directory writable, and see that the disk is not full")
    })?;
    Ok(Package { architecture, path, sha256 })
}

/// What the same executable was packed into by an earlier start, if that is still there as it was. Compressing it takes far longer than
/// looking.
fn packed_before(architecture: Architecture, memory: &Utf8Path, directory: &Utf8Path) -> Option<Package> {
    let sha256 = fs_err::read_to_string(memory).ok()?;
    let path = directory.join(format!("{sha256}.zip"));
    let bytes = fs_err::read(&path).ok()?;
    (sst_wire::sha256_hex(&bytes) == sha256).then_some(Package { architecture, path, sha256 })
}

fn zipped(executable: &[u8]) -> zip::result::ZipResult<Vec<u8>> {
    // A fixed time, because the file's own would make every build of the same stub a new asset.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("bootstrap", options)?;
    writer.write_all(executable)?;
    Ok(writer.finish()?.into_inner())
}

/// Writes the file under a temporary name first, so that a reader never finds half of it.
fn write_whole(path: &Utf8Path, directory: &Utf8Path, bytes: &[u8]) -> std::io::Result<()> {
    fs_err::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_same_stub_gives_the_same_package() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let stub = root.join("sst-stub");
        fs_err::write(&stub, b"\x7fELF executable").unwrap();
        let first = package(Architecture::X86_64, &stub, &root.join("a")).unwrap();
        // Another modification time must not show.
        let file = fs_err::OpenOptions::new().write(true).open(&stub).unwrap();
        file.file().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let second = package(Architecture::X86_64, &stub, &root.join("b")).unwrap();
        assert_eq!(first.sha256, second.sha256);
        assert_eq!(first.path, root.join("a").join(format!("{}.zip", first.sha256)));
        assert_eq!(fs_err::read(&first.path).unwrap(), fs_err::read(&second.path).unwrap());

        fs_err::write(&stub, b"\x7fELF another").unwrap();
        assert_ne!(package(Architecture::X86_64, &stub, &root.join("a")).unwrap().sha256, first.sha256);
    }

    #[test]
    fn what_was_packed_before_is_used_only_while_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let stub = root.join("sst-stub");
        fs_err::write(&stub, b"\x7fELF executable").unwrap();
        let first = package(Architecture::X86_64, &stub, root).unwrap();
        let whole = fs_err::read(&first.path).unwrap();
        let written = fs_err::metadata(&first.path).unwrap().modified().unwrap();
        assert_eq!(package(Architecture::X86_64, &stub, root).unwrap(), first);
        assert_eq!(fs_err::metadata(&first.path).unwrap().modified().unwrap(), written);
        fs_err::write(&first.path, b"half of it").unwrap();
        assert_eq!(package(Architecture::X86_64, &stub, root).unwrap(), first);
        assert_eq!(fs_err::read(&first.path).unwrap(), whole);
        fs_err::remove_file(&first.path).unwrap();
        assert_eq!(package(Architecture::X86_64, &stub, root).unwrap(), first);
        assert!(first.path.is_file());
    }

    #[test]
    fn the_package_holds_an_executable_bootstrap() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        fs_err::write(root.join("sst-stub"), b"content").unwrap();
        let packed = package(Architecture::X86_64, &root.join("sst-stub"), root).unwrap();
        let bytes = fs_err::read(&packed.path).unwrap();
        assert_eq!(sst_wire::sha256_hex(&bytes), packed.sha256);
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
        assert_eq!(archive.len(), 1);
        let mut entry = archive.by_name("bootstrap").unwrap();
        assert_eq!(entry.unix_mode().unwrap() & 0o7777, 0o755);
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert_eq!(content, b"content");
    }

    #[test]
    fn a_missing_stub_says_what_to_do() {
        let error =
            package(Architecture::X86_64, Utf8Path::new("/nonexistent/sst-stub"), Utf8Path::new("/tmp"))
                .unwrap_err();
        assert!(error.message.contains("/nonexistent/sst-stub") && error.hint.is_some());
    }
}
