//! `.run/*.run.xml`: run configurations that JetBrains IDEs read when a project is opened, one per file.

use camino::{Utf8Path, Utf8PathBuf};

use super::{
    Usage, Written,
    launcher::{self, Launcher},
    update,
};
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

/// The attribute with what Node runs.
const SCRIPT: &str = " path-to-js-file=\"$PROJECT_DIR$/";

/// What stood in that attribute before: pnpm writes a shell script there.
const COMMAND: &str = "node_modules/.bin/sst\"";

/// The attribute with what `sst` is started with, as long as nobody has changed it.
const ARGUMENTS: &str = " application-parameters=\"start --increase-timeout\"";
const LOCAL_ARGUMENTS: &str = " application-parameters=\"start --local --increase-timeout\"";

pub(super) fn write(
    root: &Utf8Path,
    files: Files,
    usage: Usage,
    launcher: &Launcher,
) -> Result<Vec<Written>> {
    let script = format!("{SCRIPT}{}\"", launcher.script);
    let one = |(name, content): (&str, &'static str)| {
        update(root, Utf8PathBuf::from(".run").join(name), |present| {
            // A file that is there may have been changed in the IDE. Its port has to be true, and what nobody has changed.
            let text = present.map_or_else(
                || content.replace(&format!("{SCRIPT}{}\"", launcher::SCRIPT), &script),
                |present| present.replace(&format!("{SCRIPT}{COMMAND}"), &script),
            );
            let text = if usage.local { text.replace(ARGUMENTS, LOCAL_ARGUMENTS) } else { text };
            Ok(with_port(&text, PORT, usage.ports.flat))
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::editors::Ports;

    fn usage(flat: u16) -> Usage {
        Usage { ports: Ports { inspector: 9229, flat, adapter: 9231 }, local: false }
    }

    /// The attributes of a file's configuration.
    fn attributes(root: &Utf8Path, name: &str) -> BTreeMap<String, String> {
        let text = fs_err::read_to_string(root.join(".run").join(name)).unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        let configuration = document.descendants().find(|node| node.has_tag_name("configuration")).unwrap();
        let pair = |one: roxmltree::Attribute<'_, '_>| (one.name().to_owned(), one.value().to_owned());
        configuration.attributes().map(pair).collect()
    }

    #[test]
    fn node_runs_the_launcher_itself_with_the_arguments_that_are_used() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let (start, tests) = ("Debug SST Start.run.xml", "Debug SST Tests.run.xml");
        for (usage, launcher, arguments) in [
            (usage(9230), Launcher::find(root), "start --increase-timeout"),
            (Usage { local: true, ..usage(9230) }, Launcher::find(root), "start --local --increase-timeout"),
            // What was chosen once may be wanted.
            (usage(9230), Launcher::find(root), "start --local --increase-timeout"),
        ] {
            write(root, WEBSTORM, usage, &launcher).unwrap();
            let script = format!("$PROJECT_DIR$/{}", launcher::SCRIPT);
            assert_eq!(attributes(root, start)["path-to-js-file"], script);
            assert_eq!(attributes(root, tests)["path-to-js-file"], script);
            assert_eq!(attributes(root, start)["application-parameters"], arguments);
        }
        // One that an earlier release has written, and one that the developer has changed.
        let at = |name: &str| root.join(".run").join(name);
        let text = fs_err::read_to_string(at(start)).unwrap();
        fs_err::write(at(start), text.replace(launcher::SCRIPT, "node_modules/.bin/sst")).unwrap();
        let mine = fs_err::read_to_string(at(tests)).unwrap().replace(launcher::SCRIPT, "mine/sst.mjs");
        fs_err::write(at(tests), &mine).unwrap();
        let above = format!("../../{}", launcher::SCRIPT);
        let launcher = Launcher { script: above.clone(), ..Launcher::find(root) };
        write(root, WEBSTORM, usage(9230), &launcher).unwrap();
        assert_eq!(attributes(root, start)["path-to-js-file"], format!("$PROJECT_DIR$/{above}"));
        assert_eq!(fs_err::read_to_string(at(tests)).unwrap(), mine);
    }

    #[test]
    fn files_are_written_once_and_only_the_port_is_changed_later() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let written = write(root, WEBSTORM, usage(9230), &Launcher::find(root)).unwrap();
        assert!(written.iter().all(|file| file.changed));
        assert!(
            write(root, WEBSTORM, usage(9230), &Launcher::find(root))
                .unwrap()
                .iter()
                .all(|file| !file.changed)
        );
        let attach = root.join(".run/Attach to SST.run.xml");
        let mine = fs_err::read_to_string(&attach).unwrap().replace("127.0.0.1", "localhost");
        fs_err::write(&attach, &mine).unwrap();
        let changed: Vec<bool> = write(root, WEBSTORM, usage(9240), &Launcher::find(root))
            .unwrap()
            .iter()
            .map(|file| file.changed)
            .collect();
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
