//! The environment of a worker: what the function has in the cloud, and nothing of the developer's own.

use std::collections::BTreeMap;

use camino::Utf8Path;

use crate::{
    core::event::Artifact,
    languages,
    process::{following_variables, kept_direct},
    project::manifest::FunctionSpec,
};

/// Variables of the stub's execution environment that describe *that* machine. They stay behind unless the app itself set them. So does
/// whatever begins with `_`: the names of a function's own variables begin with a letter, as Lambda wants it.
///
/// The megabytes of a function.
const MEMORY_SIZE: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";

/// What Lambda makes of a function's settings is not among them (`AWS_LAMBDA_LOG_FORMAT` and `_LEVEL`, `LANG`, `TZ`).
const OF_THE_STUB: &[&str] = &[
    "PATH",
    "HOME",
    "HOSTNAME",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "NODE_PATH",
    "PYTHONPATH",
    "GEM_PATH",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_RUNTIME_API",
    MEMORY_SIZE,
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_METADATA_API",
    "AWS_LAMBDA_METADATA_TOKEN",
    "AWS_XRAY_DAEMON_ADDRESS",
    "AWS_LAMBDA_EXEC_WRAPPER",
    // Where credentials are had on that machine. Those of the role come with each call.
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "LD_PRELOAD",
];

/// The time zone on Lambda.
const TIME_ZONE: (&str, &str) = ("TZ", ":UTC");
/// Where systems keep their libraries. A library of a layer must not take the place of one that the interpreter needs.
const SYSTEM_LIBRARIES: [&str; 6] = [
    "/lib64",
    "/usr/lib64",
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
];

/// What a worker's environment is made of beside the function's own variables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// `PATH`, `HOME`, `TMPDIR` and what else a process needs to run on this machine.
    pub machine: BTreeMap<String, String>,
    /// What debuggers use to follow child processes.
    pub debugger: BTreeMap<String, String>,
    /// Names that the local cloud's own process leaks into its functions.
    pub strip: Vec<String>,
    /// Names under which the stub's template hides variables that would break the stub, and the prefix to take off.
    pub hidden_prefix: Option<&'static str>,
}

impl Surroundings {
    /// Reads them off this process's own environment.
    #[must_use]
    pub(crate) fn from_process(strip: &[&str], hidden_prefix: Option<&'static str>) -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let collect = |names: &[&str]| -> BTreeMap<String, String> {
            names.iter().filter_map(|name| Some(((*name).to_owned(), variable(name)?))).collect()
        };
        let machine =
            collect(&["PATH", "HOME", "TMPDIR", "USER", "LOGNAME", "SHELL", "SSL_CERT_FILE", "SSL_CERT_DIR"]);
        let mut machine = machine;
        if let Some(bundle) = variable("AWS_CA_BUNDLE") {
            machine.entry("NODE_EXTRA_CA_CERTS".to_owned()).or_insert_with(|| bundle.clone());
            machine.insert("AWS_CA_BUNDLE".to_owned(), bundle);
        }
        Self {
            machine,
            debugger: following_variables(),
            strip: strip.iter().map(|name| (*name).to_owned()).collect(),
            hidden_prefix,
        }
    }

    /// The variables of a process that belongs to no function yet, with what most functions have of those that are read once, at the
    /// start. No debugger follows it until it does.
    #[must_use]
    pub(crate) fn bare(&self) -> BTreeMap<String, String> {
        let mut variables = self.machine.clone();
        for (name, value) in [("LANG", "en_US.UTF-8"), TIME_ZONE] {
            if !self.strip.iter().any(|stripped| stripped == name) {
                variables.insert(name.to_owned(), value.to_owned());
            }
        }
        variables
    }

    /// What of the environment `received` from a stub is the function's, and not the machine's that the stub ran on.
    #[must_use]
    pub(crate) fn of_function(
        &self,
        spec: &FunctionSpec,
        received: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let mut variables = received.clone();
        if let Some(prefix) = self.hidden_prefix {
            let hidden: Vec<String> =
                variables.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
            for name in hidden {
                if let Some(value) = variables.remove(&name) {
                    variables.insert(name[prefix.len()..].to_owned(), value);
                }
            }
        }
        let own = |name: &String| spec.environment.contains(name);
        let of_the_stub = |name: &String| {
            name.starts_with('_') || OF_THE_STUB.contains(&name.as_str()) || self.strip.contains(name)
        };
        variables.retain(|name, _| own(name) || !of_the_stub(name));
        variables
    }

    /// The complete environment of a worker that serves `spec`, given the environment `received` with an invocation.
    #[must_use]
    pub(crate) fn worker(
        &self,
        spec: &FunctionSpec,
        artifact: &Artifact,
        received: &BTreeMap<String, String>,
        runtime_dir: &Utf8Path,
    ) -> BTreeMap<String, String> {
        let mut variables = self.machine.clone();
        variables.append(&mut self.of_function(spec, received));
        // The developer's tools must be found whatever the function calls its path.
        if let Some(path) = self.machine.get("PATH") {
            variables.insert("PATH".to_owned(), path.clone());
        }
        let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
        set("IS_LOCAL", "true");
        set("LAMBDA_TASK_ROOT", artifact.task_root.as_str());
        set("LAMBDA_RUNTIME_DIR", runtime_dir.as_str());
        set("_HANDLER", &spec.handler);
        // The stub has the memory of its function, and Lambda tells it how much where the template does not.
        let memory = spec.memory_mb.map(|memory| memory.to_string());
        if let Some(memory) = memory.as_ref().or_else(|| received.get(MEMORY_SIZE)) {
            set(MEMORY_SIZE, memory);
        }
        if !spec.runtime.starts_with("provided") {
            set("AWS_EXECUTION_ENV", &format!("AWS_Lambda_{}", spec.runtime));
        }
        // The stub's own log is text.
        if let Some(level) = &spec.json_log {
            set("AWS_LAMBDA_LOG_FORMAT", "JSON");
            set("AWS_LAMBDA_LOG_LEVEL", level);
        }
        if let Some(opt) = &artifact.opt {
            with_layers(&mut variables, opt, &artifact.task_root);
        }
        let mut default = |name: &str, value: &str| {
            variables.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        };
        default("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
        default("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
        default("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR");
        default(TIME_ZONE.0, TIME_ZONE.1);
        for (name, value) in languages::get(&spec.language).path_variables(
            &spec.runtime,
            artifact.opt.as_deref(),
            &artifact.task_root,
        ) {
            default(name, &value);
        }
        if let Some(name) = variables.get("AWS_LAMBDA_FUNCTION_NAME").cloned() {
            variables.entry("AWS_LAMBDA_LOG_GROUP_NAME".to_owned()).or_insert(format!("/aws/lambda/{name}"));
        }
        // Those of the function, in which a standby becomes its worker as well.
        for (name, value) in kept_direct(|name| variables.get(name).map(String::as_str)) {
            variables.insert(name.to_owned(), value);
        }
        for (name, value) in &self.debugger {
            match variables.get_mut(name) {
                Some(existing) if name == "NODE_OPTIONS" => *existing = format!("{value} {existing}"),
                _ => {
                    variables.insert(name.clone(), value.clone());
                }
            }
        }
        variables
    }
}

/// What makes programs and libraries of the layers be found, as Lambda sets it.
fn with_layers(variables: &mut BTreeMap<String, String>, opt: &Utf8Path, task_root: &Utf8Path) {
    if opt.join("bin").is_dir() {
        // Behind the rest, so that a layer's tools hide none of this machine.
        let path = variables.entry("PATH".to_owned()).or_default();
        *path = if path.is_empty() { format!("{opt}/bin") } else { format!("{path}:{opt}/bin") };
    }
    if opt.join("lib").is_dir() {
        // On Lambda the system's own libraries come before a layer's.
        let system = SYSTEM_LIBRARIES.iter().filter(|path| Utf8Path::new(path).is_dir());
        let own = [task_root.to_owned(), task_root.join("lib"), opt.join("lib")];
        let path: Vec<String> = system.map(ToString::to_string).chain(own.map(Into::into)).collect();
        variables.entry("LD_LIBRARY_PATH".to_owned()).or_insert_with(|| path.join(":"));
    }
}

/// How much memory the function of a worker with these variables declares, in megabytes.
pub(super) fn memory_mb(environment: &BTreeMap<String, String>) -> Option<u64> {
    environment.get(MEMORY_SIZE)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::manifest::Source;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_worker_sees_the_functions_variables_and_nothing_of_either_machine() {
        let spec = FunctionSpec {
            id: "a".into(),
            stack: "s".into(),
            logical_id: "A".into(),
            language: "node".into(),
            runtime: "nodejs22.x".into(),
            handler: "index.handler".into(),
            source: Source::Directory { path: "/app".into() },
            timeout_s: Some(3),
            memory_mb: Some(512),
            environment: vec!["TABLE".into(), "NODE_OPTIONS".into(), "LD_PRELOAD".into()],
            json_log: Some("WARN".into()),
            layers: Vec::new(),
        };
        let artifact = Artifact {
            program: crate::core::event::Program::default(),
            task_root: "/app".into(),
            handler: "index.handler".into(),
            fingerprint: String::new(),
            inputs: Vec::new(),
            packages: Vec::new(),
            provided: None,
            opt: None,
        };
        let surroundings = Surroundings {
            machine: map(&[("PATH", "/usr/bin"), ("HOME", "/home/me")]),
            debugger: map(&[("VSCODE_INSPECTOR_OPTIONS", ":::{}"), ("NODE_OPTIONS", "--require boot.js")]),
            strip: vec!["GATEWAY_PORT".into()],
            hidden_prefix: Some("SST_ORIG_"),
        };
        let received = map(&[
            ("TABLE", "notes"),
            ("https_proxy", "http://proxy.vpc:3128"),
            ("NODE_OPTIONS", "--no-warnings"),
            ("SST_ORIG_LD_PRELOAD", "/opt/x.so"),
            ("PATH", "/var/lang/bin"),
            ("LAMBDA_TASK_ROOT", "/var/task"),
            ("NODE_PATH", "/var/task"),
            ("AWS_LAMBDA_LOG_FORMAT", "Text"),
            ("GATEWAY_PORT", "4566"),
            ("AWS_SESSION_TOKEN", "t"),
            ("AWS_LAMBDA_FUNCTION_NAME", "dev-a"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "provisioned-concurrency"),
            ("AWS_LAMBDA_METADATA_API", "169.254.100.1:9001"),
            ("AWS_LAMBDA_METADATA_TOKEN", "secret"),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9001/credentials"),
            ("_AWS_XRAY_DAEMON_ADDRESS", "169.254.100.1"),
            ("_LAMBDA_TELEMETRY_LOG_FD", "62"),
            ("_X_AMZN_TRACE_ID", "Root=1"),
        ]);
        let variables = surroundings.worker(&spec, &artifact, &received, "/rt".into());
        let expected = map(&[
            ("AWS_EXECUTION_ENV", "AWS_Lambda_nodejs22.x"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_FUNCTION_NAME", "dev-a"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/dev-a"),
            ("AWS_LAMBDA_LOG_LEVEL", "WARN"),
            ("AWS_SESSION_TOKEN", "t"),
            ("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR"),
            ("HOME", "/home/me"),
            ("IS_LOCAL", "true"),
            ("LAMBDA_RUNTIME_DIR", "/rt"),
            ("LAMBDA_TASK_ROOT", "/app"),
            ("LD_PRELOAD", "/opt/x.so"),
            ("NODE_PATH", "/app"),
            ("NODE_OPTIONS", "--require boot.js --no-warnings"),
            ("PATH", "/usr/bin"),
            ("TABLE", "notes"),
            ("TZ", ":UTC"),
            ("VSCODE_INSPECTOR_OPTIONS", ":::{}"),
            ("_HANDLER", "index.handler"),
            ("https_proxy", "http://proxy.vpc:3128"),
            ("no_proxy", "localhost,127.0.0.1,::1"),
            ("NO_PROXY", "localhost,127.0.0.1,::1"),
        ]);
        assert_eq!(variables, expected);

        // Only the deployment knows how much memory it has, and Lambda tells its stub.
        let unknown = FunctionSpec { memory_mb: None, ..spec };
        let variables = surroundings.worker(&unknown, &artifact, &received, "/rt".into());
        assert_eq!(variables[MEMORY_SIZE], "128");
    }
}
