//! From a function that is deployed to its code in the project. The first of these that finds anything decides:
//!
//! | | what is looked at |
//! |---|---|
//! | 1 | what `sst.json` says of the function (`functions`) |
//! | 2 | what the files of the project's tool say ([`Code`]) |
//! | 3 | what the deployed template says of it (`aws:asset:path`, SAM's entry points) |
//! | 4 | the file that its handler names, in the project, then in the packages of its workspace, then in any directory of it |
//! | 5 | for programs, which have no such file, the one that is called as the function is |
//!
//! Where that finds several, those are left whose file has the handler's name in it, and then those that are called as the function is. What
//! a bundler or compiler made is left out where what it was made of is there. If there still are several, the user is asked.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use sst_wire::CONFIG_VARIABLE;

use super::{
    Code, Sourced, Unsourced, maps, names,
    places::{Places, Program},
    stack::Hints,
    wrappers,
};
use crate::{
    attach::Deployed,
    ids::{FunctionId, LanguageId},
    languages::{self, Construct, HandlerFile, Language, Named, Place},
    paths::normalized,
    project::{
        HandMapping, HandSource,
        manifest::{FunctionSpec, Layer, Source},
    },
};

/// Directories into which bundlers and compilers write. What they write was made of files in `src`, or beside such a directory.
const MADE: [&str; 7] = ["dist", "build", "lib", "out", ".build", "bin", "target"];

/// Where the file system of a function begins that is its own.
const TASK_ROOT: &str = "/var/task/";

/// More than these are not offered to anybody.
const MOST_OFFERED: usize = 20;

/// A function whose code is sought.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sought<'a> {
    pub label: &'a str,
    pub deployed: &'a Deployed,
    pub stack: Option<&'a str>,
    pub logical_id: Option<&'a str>,
    pub code: &'a Code,
    pub hints: &'a Hints,
    pub mapping: Option<&'a HandMapping>,
    pub places: &'a Places,
}

/// Finds it.
///
/// # Errors
/// Why it is not known, or that there are several.
pub(super) fn find(sought: &Sought<'_>) -> Result<Sourced, Unsourced> {
    if let Some(known) = &sought.code.known {
        return Ok(synthesised(sought, known));
    }
    let is_stub = sought.deployed.environment.contains_key(CONFIG_VARIABLE);
    if is_stub && (sought.code.handler.is_none() || sought.code.runtime.is_none()) {
        return Err(Unsourced::NotFound(
            "it is a stub already, which says nothing of what it stands for".to_owned(),
        ));
    }
    let finder = Finder::new(sought).map_err(Unsourced::Unable)?;
    if let Some(mapping) = sought.mapping.filter(|mapping| mapping.source != HandSource::Found) {
        return finder.by_hand(mapping).map(|found| finder.sourced(found)).map_err(Unsourced::Unable);
    }
    let steps: [fn(&Finder<'_>) -> Vec<Possible>; 6] = [
        |finder| finder.declared(),
        |finder| finder.of_template(),
        |finder| finder.of_handler(std::slice::from_ref(&finder.sought.places.root), &Utf8Path::is_file),
        |finder| finder.of_handler(finder.sought.places.packages(), &Utf8Path::is_file),
        |finder| {
            // What the search has seen is not looked at once more for each function.
            finder.of_handler(finder.sought.places.all(), &|file| finder.sought.places.has(file))
        },
        |finder| finder.programs(),
    ];
    for step in steps {
        let found = finder.narrowed(step(&finder));
        let mut found: Vec<_> = found.into_iter().map(|one| finder.sourced(one)).collect();
        match found.len() {
            0 => {}
            1 => return Ok(found.remove(0)),
            _ => return Err(Unsourced::Ambiguous(found)),
        }
    }
    Err(Unsourced::NotFound(finder.where_was_looked()))
}

/// What synthesis has found out, with what is deployed.
fn synthesised(sought: &Sought<'_>, known: &FunctionSpec) -> Sourced {
    let language = languages::get(&known.language).name();
    let shown = shown(sought.places, &known.source, language);
    let deployed = of_deployed(sought, known.source.clone(), known.language.clone(), &known.handler);
    // Layers of the app itself are on this disk.
    let layers = if known.layers.is_empty() { deployed.layers } else { known.layers.clone() };
    Sourced { spec: FunctionSpec { layers, runtime: known.runtime.clone(), ..deployed }, shown }
}

fn of_deployed(sought: &Sought<'_>, source: Source, language: LanguageId, handler: &str) -> FunctionSpec {
    let deployed = sought.deployed;
    FunctionSpec {
        id: FunctionId::from(&deployed.name),
        stack: sought.stack.unwrap_or_default().to_owned(),
        logical_id: sought.logical_id.unwrap_or_default().to_owned(),
        language,
        runtime: sought.code.runtime.as_ref().unwrap_or(&deployed.runtime).clone(),
        handler: handler.to_owned(),
        source,
        timeout_s: Some(deployed.timeout_s),
        memory_mb: Some(deployed.memory_mb),
        environment: deployed.environment.keys().filter(|name| *name != CONFIG_VARIABLE).cloned().collect(),
        json_log: deployed.json_log.clone(),
        layers: deployed.layers.iter().map(|arn| Layer::Published { arn: arn.clone() }).collect(),
    }
}

/// A source as it is shown.
fn shown(places: &Places, source: &Source, language: &str) -> String {
    let directory = |path: &Utf8Path| match places.shown(path) {
        "" => format!("./, {language}"),
        path => format!("{path}/, {language}"),
    };
    match source {
        Source::Entry { path, .. } => places.shown(path).to_owned(),
        Source::Command { command, .. } => format!("`{}`", command.join(" ")),
        Source::Program { path, .. } if path.extension().is_some_and(|end| end == "jar" || end == "zip") => {
            places.shown(path).to_owned()
        }
        Source::Program { directory: path, build, .. } => match &build.binary {
            Some(binary) => format!("{binary} in {}", directory(path)),
            None => directory(path),
        },
        other => directory(other.directory()),
    }
}

/// What may be a function's code.
#[derive(Debug, Clone)]
struct Possible {
    /// By what it is known: the handler's file, or the program's directory.
    path: Utf8PathBuf,
    /// Whether it is what was written, rather than what may have been made of that.
    is_written: bool,
    language: &'static dyn Language,
    source: Source,
    handler: String,
}

struct Finder<'a> {
    sought: &'a Sought<'a>,
    languages: Vec<&'static dyn Language>,
    /// The handler behind all wrappers, relative to where the function's files are.
    handler: String,
}

impl<'a> Finder<'a> {
    /// Fails with why the function cannot run here, wherever its code is.
    fn new(sought: &'a Sought<'a>) -> Result<Self, String> {
        let &Sought { deployed, code, hints, .. } = sought;
        if let Some(reason) = &code.unable {
            return Err(reason.clone());
        }
        if hints.is_inline {
            return Err("its code is in the template, and in no file that could run here".to_owned());
        }
        if deployed.is_image {
            return Err("it is a container image, which cannot become a stub in place".to_owned());
        }
        let languages = languages::of_runtime(code.runtime.as_ref().unwrap_or(&deployed.runtime))?;
        let handler = code.handler.as_ref().unwrap_or(&deployed.handler);
        let handler = wrappers::unwrapped(handler, &deployed.environment)?;
        let relative = handler.strip_prefix(TASK_ROOT).unwrap_or(&handler);
        let handler = relative.trim_start_matches("./").to_owned();
        Ok(Self { sought, languages, handler })
    }

    fn sourced(&self, found: Possible) -> Sourced {
        let shown = shown(self.sought.places, &found.source, found.language.name());
        let language = LanguageId::from(found.language.id());
        Sourced { spec: of_deployed(self.sought, found.source, language, &found.handler), shown }
    }

    /// What a path means in one of the languages.
    fn means(&self, path: &Utf8Path, named: Named, by_hand: Option<&str>) -> Option<Possible> {
        let code = self.sought.code;
        let construct = Construct {
            export: None,
            root: code.root.as_deref(),
            bundling: code.bundling.as_ref(),
            build: code.build.as_ref(),
            is_made: false,
            can_be_made: false,
        };
        let place = Place { path, named, declared: &self.handler, by_hand, construct: Some(construct) };
        self.languages.iter().find_map(|language| {
            let (source, handler) = language.source(&place)?;
            let path = path.to_owned();
            Some(Possible { path, is_written: true, language: *language, source, handler })
        })
    }

    /// Step 1.
    fn by_hand(&self, mapping: &HandMapping) -> Result<Possible, String> {
        let given = mapping.handler.as_deref();
        let (path, named) = match &mapping.source {
            HandSource::Entry(path) => (path, Named::Entry),
            HandSource::Directory(path) => (path, Named::Directory),
            HandSource::Command(command, directory) => {
                let source = Source::Command { command: command.clone(), directory: directory.clone() };
                let language = languages::get(&languages::COMMAND.into());
                let handler = given.unwrap_or(&self.handler).to_owned();
                let path = directory.clone();
                return Ok(Possible { path, is_written: true, language, source, handler });
            }
            HandSource::Found => return Err("`sst.json` names no source of it".to_owned()),
        };
        if !path.exists() {
            return Err(format!("`sst.json` says that its code is `{path}`, which is not there"));
        }
        self.means(path, named, given).ok_or_else(|| {
            let names: Vec<_> = self.languages.iter().map(|language| language.name()).collect();
            format!(
                "`{path}`, which `sst.json` names, is not a source in {}; name a `command` that serves it",
                names.join(" or ")
            )
        })
    }

    /// Step 2.
    fn declared(&self) -> Vec<Possible> {
        let code = self.sought.code;
        match &code.path {
            Some(path) if code.is_entry => self.means(path, Named::Entry, None).into_iter().collect(),
            Some(path) => self.packed(path),
            None => Vec::new(),
        }
    }

    /// Step 3.
    fn of_template(&self) -> Vec<Possible> {
        let Hints { asset, entry_points, .. } = self.sought.hints;
        if let Some(asset) = asset {
            return self.packed(asset);
        }
        let is_of_handler = |entry: &&String| {
            let stem = Utf8Path::new(entry).with_extension("");
            let files = self.languages.iter().flat_map(|language| language.handler_files(&self.handler));
            let mut stems = files.map(|file| file.path.with_extension(""));
            stems.any(|file| stem.ends_with(&file) || file.ends_with(&stem))
        };
        let entries: Vec<_> = entry_points.iter().filter(is_of_handler).collect();
        let all = self.sought.places.all().iter();
        let files = all.flat_map(|directory| entries.iter().map(|entry| normalized(&directory.join(entry))));
        files
            .filter(|file| self.sought.places.has(file))
            .filter_map(|file| self.means(&file, Named::Entry, None))
            .collect()
    }

    /// What a tool packs: the handler's file in it, or the file that this one was made of; else the program that it is.
    fn packed(&self, path: &Utf8Path) -> Vec<Possible> {
        let root = &self.sought.places.root;
        let mut found = self.of_handler(&[path.to_owned()], &Utf8Path::is_file);
        if let Ok(inside) = path.strip_prefix(root)
            && found.iter().all(|one| !one.is_written)
        {
            let instead: Vec<_> =
                written_instead(inside).iter().map(|inside| normalized(&root.join(inside))).collect();
            let written = self.of_handler(&instead, &Utf8Path::is_file).into_iter();
            found.extend(written.filter(|one| one.is_written));
        }
        let names_no_file =
            |language: &&dyn Language| language.handler_files("").is_empty() || language.takes_archives();
        if found.is_empty() && self.languages.iter().any(names_no_file) {
            found.extend(self.means(path, Named::Asset, None));
        }
        found
    }

    /// Step 4: the file that the handler names, in each of some directories.
    fn of_handler(&self, directories: &[Utf8PathBuf], is_file: &dyn Fn(&Utf8Path) -> bool) -> Vec<Possible> {
        let mut handlers: Vec<String> =
            written_instead(Utf8Path::new(&self.handler)).into_iter().map(Utf8PathBuf::into_string).collect();
        handlers.push(self.handler.clone());
        let mut found = Vec::new();
        for directory in directories {
            for handler in &handlers {
                let is_there = |file: &HandlerFile| is_file(&directory.join(&file.path));
                let first = self.languages.iter().find_map(|language| {
                    Some((*language, language.handler_files(handler).into_iter().find(is_there)?))
                });
                let Some((language, file)) = first else { continue };
                found.extend(self.of_file(language, directory, &file, *handler == self.handler));
            }
        }
        found
    }

    /// A file that somebody has written is bundled, also where the handler means what was made of it; else the directory is taken as it is.
    fn of_file(
        &self,
        language: &'static dyn Language,
        directory: &Utf8Path,
        file: &HandlerFile,
        as_named: bool,
    ) -> Option<Possible> {
        let named = directory.join(&file.path);
        let original = maps::original(&named).filter(|_| !file.is_entry);
        let is_written = file.is_entry || original.is_some();
        let path = original.unwrap_or(named);
        let as_it_is = as_named && !is_written;
        let (of, named) =
            if as_it_is { (directory, Named::Directory) } else { (path.as_path(), Named::Entry) };
        let found = self.means(of, named, None).filter(|found| found.language.id() == language.id())?;
        Some(Possible { path, is_written, ..found })
    }

    /// Step 5.
    fn programs(&self) -> Vec<Possible> {
        let is_meant = |language: &dyn Language| self.languages.iter().any(|one| one.id() == language.id());
        let programs: Vec<&Program> =
            self.sought.places.programs().iter().filter(|one| is_meant(one.language)).collect();
        let names: Vec<_> = programs.iter().map(|one| one.named.name.as_str()).collect();
        // The handler is the program's name, where it is not `bootstrap`.
        let called: Vec<_> = self.called().into_iter().chain([self.handler.as_str()]).collect();
        let chosen = match programs.len() {
            1 => vec![0],
            _ => names::meant(&called, &names),
        };
        chosen.into_iter().filter_map(|index| self.of_program(programs[index])).collect()
    }

    fn of_program(&self, Program { language, named }: &Program) -> Option<Possible> {
        let place = Place {
            path: &named.path,
            named: Named::Entry,
            declared: &self.handler,
            by_hand: None,
            construct: None,
        };
        let (mut source, handler) = language.source(&place)?;
        if let Source::Program { build, .. } = &mut source {
            build.binary = named.binary.clone();
        }
        Some(Possible { path: named.path.clone(), is_written: true, language: *language, source, handler })
    }

    /// What the function is called.
    fn called(&self) -> Vec<&str> {
        let Sought { label, logical_id, deployed, .. } = self.sought;
        let label = label.rsplit('/').next().unwrap_or(label);
        [Some(label), *logical_id, Some(&deployed.name)].into_iter().flatten().collect()
    }

    /// Leaves out what is less likely than something else.
    fn narrowed(&self, mut found: Vec<Possible>) -> Vec<Possible> {
        let mut seen = BTreeSet::new();
        found.retain(|one| seen.insert((one.path.clone(), one.handler.clone(), binary(&one.source))));
        let root = &self.sought.places.root;
        let inside = |one: &Possible| one.path.strip_prefix(root).unwrap_or(&one.path).to_owned();
        prefer(&mut found, |one| one.is_written);
        prefer(&mut found, |one| !inside(one).iter().any(|part| MADE.contains(&part)));
        if found.len() > 1 {
            let export = self.handler.rsplit(['.', ':']).next().unwrap_or_default();
            prefer(&mut found, |one| {
                fs_err::read_to_string(&one.path).is_ok_and(|text| mentions(&text, export))
            });
        }
        if found.len() > 1 {
            let paths: Vec<String> =
                found.iter().map(|one| inside(one).with_extension("").into_string()).collect();
            let is_called = self.are_called(&paths);
            let mut at = is_called.iter();
            found.retain(|_| at.next() != Some(&false));
        }
        found.truncate(MOST_OFFERED);
        found
    }

    /// Which paths have a part that is called as the function is; all if none has.
    fn are_called(&self, paths: &[String]) -> Vec<bool> {
        let numbered = paths.iter().enumerate();
        let parts: Vec<(usize, &str)> =
            numbered.flat_map(|(index, path)| path.split('/').map(move |part| (index, part))).collect();
        let names: Vec<&str> = parts.iter().map(|(_, part)| *part).collect();
        let meant: BTreeSet<usize> =
            names::meant(&self.called(), &names).into_iter().map(|at| parts[at].0).collect();
        (0..paths.len()).map(|index| meant.is_empty() || meant.contains(&index)).collect()
    }

    fn where_was_looked(&self) -> String {
        let root = &self.sought.places.root;
        let names_file = self.languages.iter().any(|language| !language.handler_files("").is_empty());
        if names_file {
            return format!("nothing in `{root}` is the file of its handler, `{}`", self.handler);
        }
        let names: Vec<_> = self
            .languages
            .iter()
            .filter(|one| one.id() != languages::COMMAND)
            .map(|one| one.name())
            .collect();
        format!("no program in {} in `{root}` is called as it is", names.join(" or "))
    }
}

fn binary(source: &Source) -> Option<String> {
    match source {
        Source::Program { build, .. } => build.binary.clone(),
        _ => None,
    }
}

/// Leaves those for which something holds, if there are any.
fn prefer(found: &mut Vec<Possible>, holds: impl Fn(&Possible) -> bool) {
    if found.iter().any(&holds) {
        found.retain(holds);
    }
}

/// Where what is in a directory that a compiler or bundler writes may have been made from: without that directory, and with `src` in its place.
fn written_instead(path: &Utf8Path) -> Vec<Utf8PathBuf> {
    let parts: Vec<&str> = path.iter().collect();
    let Some(made) = parts.iter().position(|part| MADE.contains(part)) else { return Vec::new() };
    let (before, after) = (parts[..made].iter(), parts[made + 1..].iter());
    let with = |instead: Option<&'static str>| {
        before.clone().copied().chain(instead).chain(after.clone().copied()).collect::<Utf8PathBuf>()
    };
    vec![with(Some("src")), with(None)]
}

/// Whether a text has a name in it that is not a part of another one. It is cheap, and only makes one of several more likely.
fn mentions(text: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_' || character == '$';
    !name.is_empty()
        && text
            .match_indices(name)
            .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + name.len()..].starts_with(is_part))
}

#[cfg(test)]
mod tests;
