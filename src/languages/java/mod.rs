//! Functions in Java: compiled by the project's own Maven or Gradle, or taken as they are deployed, and run by Amazon's own client of
//! the Runtime API (<https://github.com/aws/aws-lambda-java-libs>) on the developer's Java.

mod compile;
mod machine;

use std::{fmt::Write as _, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use futures_util::future::BoxFuture;
use sst_wire::sha256_hex;

use self::{
    compile::{Compiled, Tool},
    machine::Java as Machine,
};
use super::{
    Check, Debugger, Find, HandlerFile, Language, Launch, Named, Place, RunConfiguration, Runtimes, Toolbox,
    unbuildable,
};
use crate::{
    core::event::{Artifact, BuildError, Program},
    project::manifest::{FunctionSpec, Source},
};

/// What Maven and Gradle are told to bring: the client, with what it needs itself.
const CLIENT: &str = "com.amazonaws:aws-lambda-java-runtime-interface-client:2.10.1";

/// Its class with `main`.
const MAIN: &str = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda";

/// The property that says where its native part is. By itself it would put that into a file that all processes share.
const NATIVE: &str = "com.amazonaws.services.lambda.runtime.api.client.runtimeapi.NativeClient.JNI";

/// The debugger listens from the start, at a port of the system's choice, which it writes to the output.
const AGENT: &str = "-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=127.0.0.1:0";

/// As Lambda starts Java: soon rather than fast.
const OPTIONS: [&str; 3] = ["-XX:+TieredCompilation", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

#[derive(Debug)]
pub(super) struct Java;

impl Language for Java {
    fn id(&self) -> &'static str {
        "java"
    }

    fn name(&self) -> &'static str {
        "Java"
    }

    fn runtimes(&self) -> Runtimes {
        Runtimes { prefixes: &["java"] }
    }

    fn takes_archives(&self) -> bool {
        true
    }

    /// Where Maven and Gradle have the class.
    fn handler_files(&self, handler: &str) -> Vec<HandlerFile> {
        let class = handler.split("::").next().unwrap_or(handler).split('$').next().unwrap_or(handler);
        let path = format!("src/main/java/{}.java", class.replace('.', "/")).into();
        vec![HandlerFile { path, is_entry: true }]
    }

    /// A project of Maven or Gradle, also where what it makes is named; a `.jar` or `.zip`; a directory with classes.
    fn source(&self, place: &Place<'_>) -> Option<(Source, String)> {
        if let Some(manifest) = manifest(place.path) {
            return Some((place.program(manifest), place.handler()));
        }
        if place.is_made() {
            return None;
        }
        if place.path.is_file() {
            return is_archive(place.path).then(|| (place.program(place.path.to_owned()), place.handler()));
        }
        let source = Source::Directory { path: place.path.to_owned() };
        (place.named != Named::Entry).then(|| (source, place.handler()))
    }

    fn build<'a>(
        &'static self,
        spec: &'a Arc<FunctionSpec>,
        tools: &'a Toolbox,
        on_line: &'a mut (dyn FnMut(&str) + Send),
    ) -> BoxFuture<'a, Result<Artifact, BuildError>> {
        Box::pin(artifact(spec, tools, on_line))
    }

    /// Suspended, until a debugger has said where it is to stop.
    fn hold(&self, launch: &mut Launch) {
        for argument in launch.arguments.iter_mut().filter(|argument| *argument == AGENT) {
            *argument = AGENT.replace("suspend=n", "suspend=y");
        }
    }

    /// The machine reserves what it may use one day, so its heap is limited, to what Lambda gives it of the memory by itself.
    fn limit_memory(&self, launch: &mut Launch, declared_mb: u64) {
        launch.arguments.insert(0, format!("-Xmx{}m", (declared_mb * 4 / 5).max(16)));
    }

    fn add_layers(&self, program: &mut Program, opt: &Utf8Path) {
        let after = program.arguments.iter().position(|argument| argument == "-cp").map(|option| option + 1);
        if let Some(path) = after.and_then(|index| program.arguments.get_mut(index)) {
            *path = format!("{path}:{opt}/java/lib/*");
        }
    }

    fn debugger(&self) -> &'static Debugger {
        &Debugger::Jdwp
    }

    fn checks(&self) -> &'static [Check] {
        &[
            Check {
                find: Find::Version("java", &["--version"]),
                missing: "`java` is not in the PATH",
                fix: "install a JDK that is not older than your functions' runtimes",
                only_debugging: false,
            },
            Check {
                find: Find::Path("Maven or Gradle", compile::any),
                missing: "neither `mvn` nor `gradle` is in the PATH",
                fix: "install one of them, if your project brings no wrapper (`mvnw`, `gradlew`)",
                only_debugging: false,
            },
        ]
    }

    fn run_configurations(&self) -> &'static [RunConfiguration] {
        &[
            RunConfiguration::File {
                editors: &["intellij"],
                text: include_str!("../../../launch-configs/intellij/Attach to {function}.run.xml"),
                before_port: "<option name=\"PORT\" value=\"",
            },
            RunConfiguration::Entry {
                text: r#"{ "name": "Attach to {function}", "type": "java", "request": "attach", "hostName": "127.0.0.1", "port": {port} }"#,
            },
        ]
    }
}

/// The file that says how a project is compiled: `path` itself, in that directory, or in the one where `path` was made.
fn manifest(path: &Utf8Path) -> Option<Utf8PathBuf> {
    const NAMES: [&str; 3] = ["pom.xml", "build.gradle", "build.gradle.kts"];
    if path.file_name().is_some_and(|name| NAMES.contains(&name)) {
        return path.is_file().then(|| path.to_owned());
    }
    let of = |directory: &Utf8Path, names: &[&str]| {
        names.iter().map(|name| directory.join(name)).find(|file| file.is_file())
    };
    if path.extension() == Some("java") {
        return path.ancestors().find_map(|above| of(above, &NAMES));
    }
    let made = path.ancestors().find_map(|above| match (above.file_name()?, above.parent()?) {
        ("target", project) => of(project, &NAMES[..1]),
        ("build", project) => of(project, &NAMES[1..]),
        _ => None,
    });
    of(path, &NAMES).or(made)
}

fn is_archive(path: &Utf8Path) -> bool {
    matches!(path.extension(), Some("jar" | "zip"))
}

async fn artifact(
    spec: &Arc<FunctionSpec>,
    tools: &Toolbox,
    on_line: &mut (dyn FnMut(&str) + Send),
) -> Result<Artifact, BuildError> {
    let output = tools.directory(spec);
    let (path, directory) = match &spec.source {
        Source::Program { path, directory, .. } => (path, directory.as_path()),
        Source::Directory { path } => (path, path.as_path()),
        other => {
            return Err(unbuildable(format!("`{}` is not a Java program", other.directory()), Vec::new()));
        }
    };
    let cannot = |summary: String| unbuildable(summary, vec![path.clone()]);
    let java = Machine::find(&tools.spawner).await.map_err(cannot)?;
    if let Some(warning) = java.too_old_for(spec) {
        tools.provided.warn_once(warning).await;
    }
    let tool = Tool::of(directory, path);
    let libraries = tools.provided.java(CLIENT, |target| compile::copy(tool.as_ref(), target, CLIENT)).await;
    let libraries = libraries.map_err(cannot)?.join("lib");
    let compiled = match &tool {
        Some(tool) if !path.is_dir() && !is_archive(path) => {
            tool.compile(&tools.spawner, directory, path, &output, on_line).await?
        }
        _ => Compiled::taken(path, &output).await.map_err(cannot)?,
    };
    let native = machine::native(&libraries).map_err(cannot)?;
    let mut classpath = vec![format!("{libraries}/*"), compiled.classes.to_string()];
    classpath.extend(compiled.libraries.iter().map(ToString::to_string));
    let mut arguments: Vec<String> = OPTIONS.iter().map(ToString::to_string).collect();
    if java.version >= 17 {
        arguments.push("--enable-native-access=ALL-UNNAMED".to_owned());
    }
    arguments.extend([
        AGENT.to_owned(),
        format!("-D{NATIVE}={native}"),
        "-cp".to_owned(),
        classpath.join(":"),
        MAIN.to_owned(),
        spec.handler.clone(),
    ]);
    let mut listing = format!("{} {arguments:?} ", java.executable);
    let _ = write!(listing, "{}", compiled.fingerprint);
    Ok(Artifact {
        program: Program { arguments, ..Program::native(Java.id(), java.executable) },
        task_root: compiled.classes,
        handler: String::new(),
        fingerprint: sha256_hex(listing.as_bytes()),
        inputs: compiled.inputs,
        packages: Vec::new(),
        provided: None,
        opt: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_known_by_its_manifest_and_by_what_it_makes() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        for (file, expected) in [
            ("maven/pom.xml", Some("maven/pom.xml")),
            ("maven/target/a.jar", Some("maven/pom.xml")),
            ("maven/target/classes/a/B.class", Some("maven/pom.xml")),
            ("maven/src/main/java/a/B.java", Some("maven/pom.xml")),
            ("gradle/build.gradle.kts", Some("gradle/build.gradle.kts")),
            ("gradle/build/distributions/a.zip", Some("gradle/build.gradle.kts")),
            ("other/target/a.jar", None),
        ] {
            let path = root.join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(&path, "").unwrap();
            assert_eq!(manifest(&path), expected.map(|expected| root.join(expected)), "{file}");
        }
        assert_eq!(manifest(&root.join("maven")), Some(root.join("maven/pom.xml")));
        assert_eq!(manifest(&root.join("maven/target/classes")), Some(root.join("maven/pom.xml")));
    }

    #[test]
    fn a_process_that_is_held_is_suspended() {
        let mut launch = Launch {
            program: "java".into(),
            arguments: vec![AGENT.into(), MAIN.into()],
            native: true,
            first_in_path: None,
            most_data_mb: None,
        };
        Java.hold(&mut launch);
        assert!(launch.arguments[0].contains("suspend=y,address=127.0.0.1:0"), "{launch:?}");
    }
}
