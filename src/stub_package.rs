//! The zip file that is deployed as the code of every stubbed function.

use std::io::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use crate::error::{Error, Kind, Result};

/// A zip file that is ready for upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// `<directory>/<sha256>.zip`.
    pub path: Utf8PathBuf,
    /// SHA-256 of the zip file, lowercase hexadecimal.
    pub sha256: String,
}

/// Packs the executable `stub` as a Lambda `bootstrap` into `directory`, which is created when it is missing. The
/// same executable gives the same bytes, so that the name changes only when the stub does.
///
/// # Errors
/// When the executable cannot be read, or the directory cannot be written.
pub fn package(stub: &Utf8Path, directory: &Utf8Path) -> Result<Package> {
    let executable = fs_err::read(stub).map_err(|error| {
        Error::new(Kind::Environment, format!("the stub `{stub}` cannot be read"))
            .detail(error)
            .hint("install `sst` again; it brings the stub along")
    })?;
    // Other versions may pack the same in another way.
    let memory = format!("{}-{}", sst_wire::sha256_hex(&executable), env!("CARGO_PKG_VERSION"));
    let memory = directory.join(memory);
    if let Some(package) = packed_before(&memory, directory) {
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
    Ok(Package { path, sha256 })
}

/// What the same executable was packed into by an earlier start, if that is still there as it was. Compressing it takes far longer than
/// looking.
fn packed_before(memory: &Utf8Path, directory: &Utf8Path) -> Option<Package> {
    let sha256 = fs_err::read_to_string(memory).ok()?;
    let path = directory.join(format!("{sha256}.zip"));
    let bytes = fs_err::read(&path).ok()?;
    (sst_wire::sha256_hex(&bytes) == sha256).then_some(Package { path, sha256 })
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
        let first = package(&stub, &root.join("a")).unwrap();
        // Another modification time must not show.
        let file = fs_err::OpenOptions::new().write(true).open(&stub).unwrap();
        file.file().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let second = package(&stub, &root.join("b")).unwrap();
        assert_eq!(first.sha256, second.sha256);
        assert_eq!(first.path, root.join("a").join(format!("{}.zip", first.sha256)));
        assert_eq!(fs_err::read(&first.path).unwrap(), fs_err::read(&second.path).unwrap());

        fs_err::write(&stub, b"\x7fELF another").unwrap();
        assert_ne!(package(&stub, &root.join("a")).unwrap().sha256, first.sha256);
    }

    #[test]
    fn what_was_packed_before_is_used_only_while_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let stub = root.join("sst-stub");
        fs_err::write(&stub, b"\x7fELF executable").unwrap();
        let first = package(&stub, root).unwrap();
        let whole = fs_err::read(&first.path).unwrap();
        let written = fs_err::metadata(&first.path).unwrap().modified().unwrap();
        assert_eq!(package(&stub, root).unwrap(), first);
        assert_eq!(fs_err::metadata(&first.path).unwrap().modified().unwrap(), written);
        fs_err::write(&first.path, b"half of it").unwrap();
        assert_eq!(package(&stub, root).unwrap(), first);
        assert_eq!(fs_err::read(&first.path).unwrap(), whole);
        fs_err::remove_file(&first.path).unwrap();
        assert_eq!(package(&stub, root).unwrap(), first);
        assert!(first.path.is_file());
    }

    #[test]
    fn the_package_holds_an_executable_bootstrap() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        fs_err::write(root.join("sst-stub"), b"content").unwrap();
        let packed = package(&root.join("sst-stub"), root).unwrap();
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
        let error = package(Utf8Path::new("/nonexistent/sst-stub"), Utf8Path::new("/tmp")).unwrap_err();
        assert!(error.message.contains("/nonexistent/sst-stub") && error.hint.is_some());
    }
}
