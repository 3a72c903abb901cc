//! What settings of Cargo would make breakpoints miss: a program without debug information, or one that is stripped of it. They are
//! overridden, so that everything else is compiled as the developer compiles it.
//!
//! Settings come from the manifest of the workspace, files of configuration, variables and arguments, and the later ones win
//! (<https://doc.rust-lang.org/cargo/reference/config.html>).

use std::collections::BTreeMap;

use camino::Utf8Path;
use toml_edit::{DocumentMut, Item, Value};

use crate::project::manifest::{BuildOptions, UnheededOption};

/// Why such a setting has no effect.
const NO_SYMBOLS: &str = "debuggers would find no lines in the program";

/// The variable with options for the compiler itself.
const RUSTFLAGS: &str = "RUSTFLAGS";

/// What is done about a project's settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Overridden {
    /// Arguments for Cargo.
    pub arguments: Vec<String>,
    /// Variables for Cargo.
    pub environment: BTreeMap<&'static str, String>,
    /// What has no effect because of them.
    pub undone: Vec<UnheededOption>,
}

/// What has to be overridden in the settings for a package.
pub(super) fn overridden(manifest: &Utf8Path, options: &BuildOptions) -> Overridden {
    let variable = |name: &str| {
        let declared = options.environment.get(name).cloned();
        declared.or_else(|| std::env::var(name).ok()).filter(|value| !value.is_empty())
    };
    let mut done = Overridden::default();
    for (key, instead) in [("debug", "2"), ("strip", "\"none\"")] {
        let Some(value) = setting(key, manifest, options, &variable) else { continue };
        if undoes(key, &value) {
            done.arguments.extend(["--config".to_owned(), format!("profile.dev.{key}={instead}")]);
            let option = format!("profile.dev.{key} = {}", value.to_string().trim());
            done.undone.push(UnheededOption { option, reason: NO_SYMBOLS.to_owned() });
        }
    }
    if let Some((kept, undone)) = variable(RUSTFLAGS).and_then(|flags| without_stripping(&flags)) {
        done.environment.insert(RUSTFLAGS, kept);
        let named = undone.into_iter().map(|flag| UnheededOption {
            option: format!("{RUSTFLAGS}={flag}"),
            reason: NO_SYMBOLS.to_owned(),
        });
        done.undone.extend(named);
    }
    done
}

/// A key of the profile `dev` as it is after all places that set it.
fn setting(
    key: &str,
    manifest: &Utf8Path,
    options: &BuildOptions,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Option<Value> {
    let of_text = |text: &str| value_in(text, key);
    let of_file = |file: &Utf8Path| fs_err::read_to_string(file).ok().and_then(|text| of_text(&text));
    let of_argument = options.flags.windows(2).rev().find_map(|two| match two {
        [option, value] if option == "--config" => of_text(value),
        _ => None,
    });
    let of_inline = || options.flags.iter().rev().find_map(|flag| of_text(flag.strip_prefix("--config=")?));
    let of_variable = || {
        let text = variable(&format!("CARGO_PROFILE_DEV_{}", key.to_uppercase()))?;
        text.parse().ok().or_else(|| Some(Value::from(text)))
    };
    let of_configuration = || {
        let names = ["config.toml", "config"].map(|name| format!(".cargo/{name}"));
        let mut files =
            manifest.ancestors().skip(1).flat_map(|above| names.clone().map(|name| above.join(name)));
        files.find_map(|file| of_file(&file))
    };
    let of_manifest = || {
        let is_root = |file: &Utf8Path| {
            fs_err::read_to_string(file).is_ok_and(|text| {
                text.parse::<DocumentMut>().is_ok_and(|document| document.contains_key("workspace"))
            })
        };
        let above = manifest.ancestors().skip(1).map(|directory| directory.join("Cargo.toml"));
        let root = above.into_iter().find(|file| is_root(file));
        of_file(root.as_deref().unwrap_or(manifest))
    };
    of_argument.or_else(of_inline).or_else(of_variable).or_else(of_configuration).or_else(of_manifest)
}

/// `profile.dev.<key>` of a TOML document.
fn value_in(text: &str, key: &str) -> Option<Value> {
    let document: DocumentMut = text.parse().ok()?;
    let value = document.get("profile")?.get("dev")?.get(key).and_then(Item::as_value)?;
    Some(value.clone().decorated("", ""))
}

/// Whether a value of a key of a profile makes breakpoints miss.
fn undoes(key: &str, value: &Value) -> bool {
    match (key, value) {
        ("debug", Value::Integer(level)) => *level.value() == 0,
        ("debug", Value::Boolean(any)) => !any.value(),
        ("debug", Value::String(level)) => matches!(level.value().as_str(), "none" | "0" | "false"),
        ("strip", Value::Boolean(all)) => *all.value(),
        ("strip", Value::String(what)) => matches!(what.value().as_str(), "symbols" | "debuginfo" | "true"),
        _ => false,
    }
}

/// Options of the compiler without those that take out what debuggers read, and those; none if there are none of them.
fn without_stripping(flags: &str) -> Option<(String, Vec<String>)> {
    let (mut kept, mut undone) = (Vec::new(), Vec::new());
    let mut words = flags.split_whitespace();
    while let Some(word) = words.next() {
        let (option, setting) = match word {
            "-C" | "--codegen" => (format!("{word} "), words.next().unwrap_or_default()),
            _ => match word.strip_prefix("-C").or_else(|| word.strip_prefix("--codegen=")) {
                Some(setting) => (word.strip_suffix(setting).unwrap_or_default().to_owned(), setting),
                None => (word.to_owned(), ""),
            },
        };
        let of_linker = |text: &str| matches!(text, "-s" | "-Wl,-s") || text.starts_with("-Wl,--strip-");
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let strips = match name {
            "strip" => value != "none",
            "debuginfo" => matches!(value, "0" | "none"),
            "link-arg" | "link-args" => of_linker(value),
            _ => false,
        };
        if strips { &mut undone } else { &mut kept }.push(format!("{option}{setting}"));
    }
    (!undone.is_empty()).then(|| (kept.join(" "), undone))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)], options: &BuildOptions) -> Overridden {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        for (path, text) in files {
            let file = root.join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, text).unwrap();
        }
        let own = ["RUSTFLAGS", "CARGO_PROFILE_DEV_DEBUG", "CARGO_PROFILE_DEV_STRIP"];
        let options = BuildOptions {
            // Whatever this test was started with.
            environment: own
                .map(|name| (name.to_owned(), String::new()))
                .into_iter()
                .chain(options.environment.clone())
                .collect(),
            ..options.clone()
        };
        overridden(&root.join("member/Cargo.toml"), &options)
    }

    fn options(flags: &[&str], environment: &[(&str, &str)]) -> BuildOptions {
        BuildOptions {
            flags: flags.iter().map(ToString::to_string).collect(),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..BuildOptions::default()
        }
    }

    #[test]
    fn settings_that_undo_debugging_are_overridden_wherever_they_are() {
        let member = ("member/Cargo.toml", "[package]\nname = 'a'\n[profile.dev]\nstrip = true\n");
        let workspace =
            ("Cargo.toml", "[workspace]\nmembers = ['member']\n[profile.dev]\ndebug = 0\nopt-level = 1\n");
        let configuration = (".cargo/config.toml", "[profile.dev]\nstrip = \"symbols\"\n");
        let both = ("member/Cargo.toml", "[profile.dev]\ndebug = false\nstrip = 'debuginfo'\n");
        let harmless = (
            "member/Cargo.toml",
            "[profile.dev]\ndebug = 'line-tables-only'\nstrip = 'none'\n[profile.release]\nstrip = true\n",
        );
        type Case<'a> = (&'a [(&'a str, &'a str)], BuildOptions, &'a [&'a str]);
        let table: [Case<'_>; 9] = [
            (&[member], BuildOptions::default(), &["profile.dev.strip = true"]),
            // The manifest of a member has no say.
            (&[member, workspace], BuildOptions::default(), &["profile.dev.debug = 0"]),
            (&[harmless, configuration], BuildOptions::default(), &["profile.dev.strip = \"symbols\""]),
            (
                &[both],
                BuildOptions::default(),
                &["profile.dev.debug = false", "profile.dev.strip = 'debuginfo'"],
            ),
            (&[harmless], BuildOptions::default(), &[]),
            (&[member], options(&[], &[("CARGO_PROFILE_DEV_STRIP", "none")]), &[]),
            (&[harmless], options(&[], &[("CARGO_PROFILE_DEV_DEBUG", "0")]), &["profile.dev.debug = 0"]),
            (
                &[harmless],
                options(&["--config", "profile.dev.strip=true"], &[]),
                &["profile.dev.strip = true"],
            ),
            (&[], options(&["--config=profile.dev.debug='none'"], &[]), &["profile.dev.debug = 'none'"]),
        ];
        for (files, options, undone) in table {
            let done = project(files, &options);
            let named: Vec<_> = done.undone.iter().map(|one| one.option.as_str()).collect();
            assert_eq!(named, undone, "{files:?} {options:?}");
            assert_eq!(done.arguments.len(), 2 * undone.len());
        }
    }

    #[test]
    fn options_of_the_compiler_are_left_out_that_strip() {
        let kept = |flags: &str| without_stripping(flags);
        let some = |kept: &str, undone: &[&str]| {
            Some((kept.to_owned(), undone.iter().map(ToString::to_string).collect()))
        };
        assert_eq!(kept("-C debuginfo=1 -Ctarget-cpu=native --cfg x"), None);
        assert_eq!(kept("-C strip=symbols --cfg x"), some("--cfg x", &["-C strip=symbols"]));
        assert_eq!(kept("-Cdebuginfo=0 -C opt-level=1"), some("-C opt-level=1", &["-Cdebuginfo=0"]));
        assert_eq!(kept("-C link-arg=-s -Clink-args=-lfoo"), some("-Clink-args=-lfoo", &["-C link-arg=-s"]));
        let done = project(&[], &options(&[], &[("RUSTFLAGS", "-Cstrip=debuginfo -Cpanic=abort")]));
        assert_eq!(done.environment, BTreeMap::from([("RUSTFLAGS", "-Cpanic=abort".to_owned())]));
        assert_eq!(done.undone[0].option, "RUSTFLAGS=-Cstrip=debuginfo");
    }
}
