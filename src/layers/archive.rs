//! Archives of layers, unpacked so that nothing of them is written anywhere else.

use std::{
    fs::Permissions,
    io::{self, Read as _},
    os::unix::{ffi::OsStringExt as _, fs::PermissionsExt as _},
    path::PathBuf,
};

use camino::Utf8Path;

/// Lambda takes 250 MB, unzipped, of a function with all of its layers. This bounds what an archive can do to a disk.
const MOST_BYTES: u64 = 512 * 1024 * 1024;

/// The bits of a Unix mode that say what kind of file it is, and those of a symbolic link.
const KIND: u32 = 0o170_000;
const LINK: u32 = 0o120_000;

/// A target of a link is not longer.
const LONGEST_TARGET: u64 = 4096;

/// Unpacks `archive` to `directory`, which is there afterwards as a whole or not at all.
///
/// # Errors
/// When it is no archive, is too large, or names a file outside of itself.
pub(crate) fn unpack(archive: &Utf8Path, directory: &Utf8Path) -> io::Result<()> {
    let parent = directory.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs_err::create_dir_all(parent)?;
    let unfinished = tempfile::tempdir_in(parent)?;
    let root = unfinished.path();
    let mut archive = zip::ZipArchive::new(fs_err::File::open(archive)?)?;
    let mut links: Vec<(PathBuf, PathBuf)> = Vec::new();
    let mut left = MOST_BYTES;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let outside = || io::Error::other(format!("its entry {index} names a file outside of itself"));
        let name = entry.enclosed_name().ok_or_else(outside)?;
        let path = root.join(name);
        if entry.is_dir() {
            fs_err::create_dir_all(&path)?;
            continue;
        }
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent)?;
        }
        let mode = entry.unix_mode();
        if mode.is_some_and(|mode| mode & KIND == LINK) {
            let mut target = Vec::new();
            entry.by_ref().take(LONGEST_TARGET).read_to_end(&mut target)?;
            links.push((path, std::ffi::OsString::from_vec(target).into()));
            continue;
        }
        let mut file = fs_err::File::create(&path)?;
        // What an archive says of its sizes need not be true.
        let written = io::copy(&mut entry.by_ref().take(left + 1), &mut file)?;
        left = left.checked_sub(written).ok_or_else(|| {
            io::Error::other(format!("it is larger than {} MB when unpacked", MOST_BYTES / 1024 / 1024))
        })?;
        // Its owner has to be able to remove it, whatever the archive says.
        let mode = mode.map_or(0o755, |mode| mode & 0o777 | 0o600);
        fs_err::set_permissions(&path, Permissions::from_mode(mode))?;
    }
    // Links come last, so that nothing is written through one.
    for (path, target) in links {
        fs_err::os::unix::fs::symlink(target, path)?;
    }
    fs_err::rename(unfinished.keep(), directory)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn archive(path: &Utf8Path, entries: &[(&str, u32, &str)], links: &[(&str, &str)]) {
        let mut writer = ZipWriter::new(fs_err::File::create(path).unwrap());
        for (name, target) in links {
            writer.add_symlink(*name, *target, SimpleFileOptions::default()).unwrap();
        }
        for (name, mode, text) in entries {
            writer.start_file(*name, SimpleFileOptions::default().unix_permissions(*mode)).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
    }

    #[test]
    fn an_archive_is_unpacked_with_its_modes_and_links() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        let zip = root.join("layer.zip");
        archive(&zip, &[("bin/tool", 0o755, "#!"), ("data", 0o644, "text")], &[("bin/also", "tool")]);
        unpack(&zip, &root.join("opt")).unwrap();
        let mode = |path: &str| fs_err::metadata(root.join("opt").join(path)).unwrap().permissions().mode();
        assert_eq!((mode("bin/tool") & 0o777, mode("data") & 0o777), (0o755, 0o644));
        assert_eq!(fs_err::read_to_string(root.join("opt/bin/also")).unwrap(), "#!");
    }

    #[test]
    fn nothing_is_written_outside_of_the_directory() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        let (zip, opt, elsewhere) = (root.join("layer.zip"), root.join("below/opt"), root.join("elsewhere"));
        fs_err::create_dir_all(&elsewhere).unwrap();
        let through = [("out", elsewhere.as_str()), ("up", "../../elsewhere")];
        for entry in ["../evil", "a/../../../evil", "/evil", "out/evil", "up/evil"] {
            archive(&zip, &[(entry, 0o644, "evil")], &through);
            let unpacked = unpack(&zip, &opt);
            let left: Vec<_> = elsewhere.read_dir_utf8().unwrap().collect();
            assert!(
                left.is_empty() && !root.join("evil").exists() && !root.join("below/evil").exists(),
                "{entry}"
            );
            // An absolute name is taken as one in the directory; a link is never gone through.
            assert_eq!(unpacked.is_ok(), entry == "/evil", "{entry}: {unpacked:?}");
            if unpacked.is_err() {
                let rest = root.join("below").read_dir_utf8().map_or(0, Iterator::count);
                assert_eq!(rest, 0, "{entry}: nothing half is left");
            }
            let _ = fs_err::remove_dir_all(root.join("below"));
        }
    }
}
