//! How projects in Java are compiled: by their own Maven or Gradle, as far as that is needed to run what they say, without packing it.

use std::{fmt::Write as _, path::PathBuf, time::SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use sst_wire::sha256_hex;

use crate::{
    core::event::BuildError,
    languages::{
        not_compiled,
        program::{Output, TO_COMPILE, follow},
        unbuildable,
    },
    process::{Command, Spawner},
};

/// The files that describe a project or a module of it.
const MANIFESTS: [&str; 5] =
    ["pom.xml", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"];

/// What Maven says when it would have to download something and may not.
const OFFLINE: &str = "offline mode";

/// How the line with the class path begins that our addition to a Gradle build writes.
const MARK: &str = "sst-class-path: ";

/// How much of a hash is the name of a directory with an unpacked archive.
const HASH: usize = 16;

/// Something that can be run.
#[derive(Debug)]
pub(super) struct Compiled {
    /// The directory with its classes and resources.
    pub classes: Utf8PathBuf,
    /// The other parts of its class path.
    pub libraries: Vec<Utf8PathBuf>,
    /// What tells it from other states of the code.
    pub fingerprint: String,
    /// What a change of calls for another build.
    pub inputs: Vec<Utf8PathBuf>,
}

/// What compiles a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tool {
    Maven(PathBuf),
    Gradle(PathBuf),
}

impl Tool {
    /// The project's own wrapper, or else what is in the `PATH`; the one that its manifest is for, if it has one.
    pub(super) fn of(directory: &Utf8Path, manifest: &Utf8Path) -> Option<Self> {
        let wrapper = |name: &str| {
            let found = directory.ancestors().map(|above| above.join(name)).find(|file| file.is_file());
            found.map(PathBuf::from)
        };
        let maven = || wrapper("mvnw").or_else(|| which::which("mvn").ok()).map(Self::Maven);
        let gradle = || wrapper("gradlew").or_else(|| which::which("gradle").ok()).map(Self::Gradle);
        match manifest.file_name() {
            Some("pom.xml") => maven(),
            Some("build.gradle" | "build.gradle.kts") => gradle(),
            _ => maven().or_else(gradle),
        }
    }

    /// Compiles a project. `output` is the function's own directory for what is made.
    pub(super) async fn compile(
        &self,
        spawner: &Spawner,
        directory: &Utf8Path,
        manifest: &Utf8Path,
        output: &Utf8Path,
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Compiled, BuildError> {
        let mut inputs = inputs_of_module(directory);
        for above in directory.ancestors().skip(1).take(3) {
            inputs.extend(MANIFESTS.iter().map(|name| above.join(name)).filter(|file| file.is_file()));
        }
        let cannot = |summary: String| unbuildable(summary, inputs.clone());
        if !manifest.is_file() {
            return Err(cannot(format!("`{manifest}` does not exist")));
        }
        fs_err::create_dir_all(output).map_err(|error| cannot(error.to_string()))?;
        let made = match self {
            Self::Maven(program) => maven(spawner, program, directory, &inputs, output, on_line).await,
            Self::Gradle(program) => gradle(spawner, program, directory, output, on_line).await,
        };
        let (said, classpath) = made.map_err(|error| cannot(format!("it cannot be compiled: {error}")))?;
        if !said.status.success() {
            return Err(error(&said, inputs));
        }
        let mut parts =
            classpath.split(':').map(str::trim).filter(|part| !part.is_empty()).map(Utf8PathBuf::from);
        let first = parts.next().filter(|classes| classes.is_dir());
        let classes = first.ok_or_else(|| cannot(format!("`{manifest}` makes no classes")))?;
        // Gradle's class path names directories that there need not be, e.g. for resources.
        let libraries: Vec<Utf8PathBuf> = parts.filter(|part| part.exists()).collect();
        let mut listing = String::new();
        for place in libraries.iter().filter(|place| place.is_dir()).chain([&classes]) {
            list(place, &mut listing).map_err(|error| cannot(error.to_string()))?;
        }
        inputs.extend(libraries.iter().filter_map(|place| module_of(place)).flat_map(inputs_of_module));
        inputs.sort();
        inputs.dedup();
        Ok(Compiled { classes, libraries, fingerprint: sha256_hex(listing.as_bytes()), inputs })
    }
}

/// What one module of a project is compiled from.
fn inputs_of_module(directory: &Utf8Path) -> Vec<Utf8PathBuf> {
    let manifests = MANIFESTS.iter().map(|name| directory.join(name)).filter(|file| file.is_file());
    manifests.chain(["src", "gradle.properties", "gradle"].map(|name| directory.join(name))).collect()
}

/// The module that made a part of a class path (`build/…` of Gradle, `target/…` of Maven), if its source is there.
fn module_of(place: &Utf8Path) -> Option<&Utf8Path> {
    let made = place.ancestors().find(|above| matches!(above.file_name(), Some("build" | "target")))?;
    let module = made.parent()?;
    MANIFESTS.iter().any(|name| module.join(name).is_file()).then_some(module)
}

impl Compiled {
    /// Takes a directory as it is, or what is in an archive.
    pub(super) async fn taken(path: &Utf8Path, output: &Utf8Path) -> Result<Self, String> {
        let (path, output) = (path.to_owned(), output.to_owned());
        let taking = tokio::task::spawn_blocking(move || {
            let failed = |error: std::io::Error| format!("cannot read `{path}`: {error}");
            let (classes, fingerprint) = if path.is_dir() {
                let mut listing = String::new();
                list(&path, &mut listing).map_err(failed)?;
                (path.clone(), sha256_hex(listing.as_bytes()))
            } else {
                let bytes = fs_err::read(&path).map_err(failed)?;
                let fingerprint = sha256_hex(&bytes);
                let classes = output.join(&fingerprint[..HASH]);
                if !classes.is_dir() {
                    extract(&bytes, &output, &classes)
                        .map_err(|error| format!("cannot unpack `{path}`: {error}"))?;
                }
                (classes, fingerprint)
            };
            Ok(Self { classes, libraries: Vec::new(), fingerprint, inputs: vec![path] })
        });
        taking.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

/// Unpacks an archive. A process that runs what was unpacked before goes on with that.
fn extract(bytes: &[u8], output: &Utf8Path, classes: &Utf8Path) -> Result<(), Box<dyn std::error::Error>> {
    fs_err::create_dir_all(output)?;
    let unfinished = tempfile::tempdir_in(output)?;
    zip::ZipArchive::new(std::io::Cursor::new(bytes))?.extract(unfinished.path())?;
    fs_err::rename(unfinished.keep(), classes)?;
    remove_old(output)?;
    Ok(())
}

/// Removes what was unpacked for builds before the last two: of the last but one a process may still load classes.
fn remove_old(output: &Utf8Path) -> std::io::Result<()> {
    let is_unpacked = |name: &str| name.len() == HASH && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut unpacked = Vec::new();
    for entry in output.read_dir_utf8()? {
        let entry = entry?;
        if is_unpacked(entry.file_name()) {
            unpacked.push((entry.metadata()?.modified()?, entry.into_path()));
        }
    }
    unpacked.sort();
    for (_, old) in unpacked.iter().rev().skip(2) {
        fs_err::remove_dir_all(old)?;
    }
    Ok(())
}

/// A command that puts Amazon's client and what it needs into `target/lib`, by whatever there is.
pub(super) fn copy(tool: Option<&Tool>, target: &Utf8Path, client: &str) -> Result<Command, String> {
    let tool = tool.ok_or(
        "neither Maven nor Gradle was found: the project has no `mvnw` or `gradlew`, and `mvn` and `gradle` are not in the PATH",
    )?;
    let parts: Vec<&str> = client.split(':').collect();
    let [group, name, version] = parts[..] else {
        return Err(format!("`{client}` is not the name of an artifact"));
    };
    let write =
        |file: &str, text: String| fs_err::write(target.join(file), text).map_err(|error| error.to_string());
    Ok(match tool {
        Tool::Maven(program) => {
            let dependency = format!(
                "<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
            );
            write(
                "pom.xml",
                format!(
                    "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion><groupId>sst</groupId>\
                     <artifactId>provided</artifactId><version>1</version><dependencies>{dependency}</dependencies></project>"
                ),
            )?;
            let mut command = Command::new(program);
            let pom = target.join("pom.xml");
            command.args(["-q", "-B", "-f", pom.as_str(), "dependency:copy-dependencies"]);
            command.arg(format!("-DoutputDirectory={}", target.join("lib"))).current_dir(target);
            command
        }
        Tool::Gradle(program) => {
            write("settings.gradle", "rootProject.name = 'provided'\n".to_owned())?;
            write(
                "build.gradle",
                format!(
                    "repositories {{ mavenCentral() }}\nconfigurations {{ client }}\ndependencies {{ client '{client}' }}\n\
                     task copyClient(type: Copy) {{ from configurations.client; into 'lib' }}\n"
                ),
            )?;
            let mut command = Command::new(program);
            command.args(["-q", "--no-daemon", "-p", target.as_str(), "copyClient"]).current_dir(target);
            command
        }
    })
}

/// Whichever of the two is in the `PATH`.
pub(super) fn any() -> Option<PathBuf> {
    which::which("mvn").or_else(|_| which::which("gradle")).ok()
}

/// Compiles with Maven, and returns the class path. What the project depends on is asked for only when its manifest has changed, and it
/// is asked whether there is something to download only where something is missing.
async fn maven(
    spawner: &Spawner,
    program: &std::path::Path,
    directory: &Utf8Path,
    inputs: &[Utf8PathBuf],
    output: &Utf8Path,
    on_line: &mut (dyn FnMut(&str) + Send),
) -> std::io::Result<(Output, String)> {
    let (list, stamp) = (output.join("class-path"), output.join("class-path.stamp"));
    let wanted = stamp_of(inputs);
    let known = list.is_file() && fs_err::read_to_string(&stamp).is_ok_and(|stamp| stamp == wanted);
    let command = |offline: bool| {
        let mut command = Command::new(program);
        command.args(["-q", "-B"]);
        if offline {
            command.arg("-o");
        }
        command.arg("compile");
        if !known {
            command.args(["dependency:build-classpath", "-Dmdep.includeScope=runtime"]);
            command.arg(format!("-Dmdep.outputFile={list}"));
        }
        command.current_dir(directory);
        command
    };
    let mut said = follow(spawner, command(true), TO_COMPILE, &mut *on_line).await?;
    if !said.status.success() && said.stdout.contains(OFFLINE) {
        said = follow(spawner, command(false), TO_COMPILE, on_line).await?;
    }
    if said.status.success() && !known {
        fs_err::write(stamp, wanted)?;
    }
    let libraries = fs_err::read_to_string(list).unwrap_or_default();
    Ok((said, format!("{}:{}", directory.join("target/classes"), libraries.trim())))
}

/// The same with Gradle, which says itself where everything is.
async fn gradle(
    spawner: &Spawner,
    program: &std::path::Path,
    directory: &Utf8Path,
    output: &Utf8Path,
    on_line: &mut (dyn FnMut(&str) + Send),
) -> std::io::Result<(Output, String)> {
    let script = output.join("class-path.gradle");
    let text = format!(
        "allprojects {{ project -> if (project.projectDir == new File('{directory}')) {{ project.afterEvaluate {{\n\
           project.tasks.create('sstClassPath') {{ task -> task.dependsOn('classes'); task.doLast {{\n\
             println('{MARK}' + project.sourceSets.main.runtimeClasspath.asPath) }} }}\n}} }} }}\n"
    );
    fs_err::write(&script, text)?;
    let mut command = Command::new(program);
    // A daemon would end with the command, as all that it starts does.
    command.args(["-q", "--no-daemon", "-I", script.as_str(), "sstClassPath"]).current_dir(directory);
    let said = follow(spawner, command, TO_COMPILE, on_line).await?;
    let path = said.stdout.lines().find_map(|line| line.strip_prefix(MARK)).unwrap_or_default().to_owned();
    Ok((said, path))
}

/// The state of the files that say what a project depends on.
fn stamp_of(inputs: &[Utf8PathBuf]) -> String {
    let mut stamp = String::new();
    for file in inputs.iter().filter(|file| file.is_file()) {
        let Ok(metadata) = fs_err::metadata(file) else { continue };
        let modified =
            metadata.modified().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let _ = writeln!(stamp, "{file} {} {modified:?}", metadata.len());
    }
    stamp
}

/// The files of a directory by their content: compilers write all of them anew.
fn list(directory: &Utf8Path, listing: &mut String) -> std::io::Result<()> {
    let mut entries: Vec<_> = directory.read_dir_utf8()?.collect::<std::io::Result<_>>()?;
    entries.sort_by(|a, b| a.file_name().cmp(b.file_name()));
    for entry in entries {
        if entry.path().is_dir() {
            list(entry.path(), listing)?;
        } else if let Ok(bytes) = fs_err::read(entry.path()) {
            let _ = writeln!(listing, "{} {}", entry.path(), sha256_hex(&bytes));
        }
    }
    Ok(())
}

/// What the compiler says, without what the tool says about itself.
fn error(said: &Output, inputs: Vec<Utf8PathBuf>) -> BuildError {
    let mut lines: Vec<String> = Vec::new();
    let mut first = None;
    for line in said.stdout.lines().chain(said.stderr.lines()) {
        let line = plain(line);
        let line = line.strip_prefix("[ERROR] ").unwrap_or(&line).trim_end();
        if line.starts_with("Failed to execute goal") || line.starts_with("To see the full stack trace") {
            break;
        }
        let line = with_place(line);
        if line.contains(".java:") || line.contains(".kt:") {
            first.get_or_insert_with(|| line.clone());
        }
        if !line.is_empty() && !lines.contains(&line) {
            lines.push(line);
        }
    }
    let summary =
        first.or_else(|| lines.first().cloned()).unwrap_or_else(|| "it does not compile".to_owned());
    not_compiled(summary, lines.join("\n"), inputs)
}

/// A line without colours, which Maven may use even where nobody sees them.
fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line.chars();
    while let Some(character) = rest.next() {
        if character == '\u{1b}' {
            rest.by_ref().find(char::is_ascii_alphabetic);
        } else {
            text.push(character);
        }
    }
    text
}

/// `/a/B.java:[3,5] what` as `/a/B.java:3:5: what`.
fn with_place(line: &str) -> String {
    let place = || {
        let (file, rest) = line.split_once(":[")?;
        let (place, what) = rest.split_once(']')?;
        let (row, column) = place.split_once(',')?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (is_number(row) && is_number(column)).then(|| format!("{file}:{row}:{column}:{what}"))
    };
    place().unwrap_or_else(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

    use super::*;

    #[tokio::test]
    async fn of_unpacked_archives_the_last_two_stay() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let (archive, output) = (root.join("a.zip"), root.join("output"));
        let mut unpacked = Vec::new();
        for number in 0..4 {
            let mut zip = zip::ZipWriter::new(fs_err::File::create(&archive).unwrap());
            zip.start_file(format!("{number}.class"), zip::write::SimpleFileOptions::default()).unwrap();
            zip.finish().unwrap();
            unpacked.push(Compiled::taken(&archive, &output).await.unwrap().classes);
        }
        let there: Vec<bool> = unpacked.iter().map(|classes| classes.is_dir()).collect();
        assert_eq!(there, [false, false, true, true]);
    }

    #[test]
    fn errors_are_told_with_file_and_line() {
        let stdout = "\u{1b}[0m[ERROR] COMPILATION ERROR : \n[ERROR] /a/src/B.java:[3,5] ';' expected\n\
                      [ERROR] Failed to execute goal org.apache: Compilation failure\n[ERROR] /a/src/B.java:[3,5] ';' expected\n";
        let said =
            Output { status: ExitStatus::from_raw(256), stdout: stdout.to_owned(), stderr: String::new() };
        let error = error(&said, vec!["/a".into()]);
        assert_eq!(error.summary, "/a/src/B.java:3:5: ';' expected");
        assert_eq!(error.detail, "COMPILATION ERROR :\n/a/src/B.java:3:5: ';' expected");
    }
}
