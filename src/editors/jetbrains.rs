//! `.run/*.run.xml`: run configurations that JetBrains IDEs read when a project is opened, one per file.

use camino::{Utf8Path, Utf8PathBuf};

use super::{Written, update};
use crate::error::Result;

/// Names and contents of an editor's files.
pub(super) type Files = [(&'static str, &'static str); 3];

macro_rules! files {
    ($directory:literal) => {
        [
            (
                "Debug SST Start.run.xml",
                include_str!(concat!("../../launch-configs/", $directory, "/Debug SST Start.run.xml")),
            ),
            (
                "Debug SST Tests.run.xml",
                include_str!(concat!("../../launch-configs/", $directory, "/Debug SST Tests.run.xml")),
            ),
            (
                "Attach to SST.run.xml",
                include_str!(concat!("../../launch-configs/", $directory, "/Attach to SST.run.xml")),
            ),
        ]
    };
}

pub(super) const WEBSTORM: Files = files!("webstorm");
pub(super) const INTELLIJ: Files = files!("intellij");

/// The attribute with the port, of which each file has one at most.
const PORT: &str = " port=\"";

pub(super) fn write(root: &Utf8Path, files: Files, port: u16) -> Result<Vec<Written>> {
    let one = |(name, content): (&str, &'static str)| {
        // A file that is there may have been changed in the IDE; only its port has to be true.
        update(root, Utf8PathBuf::from(".run").join(name), |present| {
            Ok(with_port(present.unwrap_or(content), PORT, port))
        })
    };
    files.into_iter().map(one).collect()
}

/// The text of a file with another port, which stands behind `before` there.
pub(super) fn with_port(text: &str, before: &str, port: u16) -> String {
    let split = || {
        let (head, rest) = text.split_once(before)?;
        let (present, tail) = rest.split_once('"')?;
        present.parse::<u16>().ok()?;
        Some(format!("{head}{before}{port}\"{tail}"))
    };
    split().unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_written_once_and_only_the_port_is_changed_later() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let written = write(root, WEBSTORM, 9230).unwrap();
        assert!(written.iter().all(|file| file.changed));
        assert!(write(root, WEBSTORM, 9230).unwrap().iter().all(|file| !file.changed));
        let attach = root.join(".run/Attach to SST.run.xml");
        let mine = fs_err::read_to_string(&attach).unwrap().replace("127.0.0.1", "localhost");
        fs_err::write(&attach, &mine).unwrap();
        let changed: Vec<bool> =
            write(root, WEBSTORM, 9240).unwrap().iter().map(|file| file.changed).collect();
        assert_eq!(changed, [false, false, true]);
        assert_eq!(fs_err::read_to_string(&attach).unwrap(), mine.replace("9230", "9240"));
    }

    #[test]
    fn a_configuration_is_named_as_its_file() {
        for (name, content) in [WEBSTORM, INTELLIJ].into_iter().flatten() {
            let stem = name.strip_suffix(".run.xml").unwrap();
            assert!(content.contains(&format!("name=\"{stem}\"")), "{name}");
        }
    }
}
