//! The environment of a worker: what the function has in the cloud, and nothing of the developer's own.

use std::collections::BTreeMap;

use camino::Utf8Path;

use crate::{core::event::Artifact, process::following_variables, project::manifest::FunctionSpec};

/// Variables of the stub's execution environment that describe *that* machine. They stay behind unless the app itself set them.
const OF_THE_STUB: &[&str] = &[
    "PATH",
    "HOME",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "_",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "NODE_PATH",
    "PYTHONPATH",
    "GEM_PATH",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "_LAMBDA_TELEMETRY_LOG_FD",
    "AWS_XRAY_DAEMON_ADDRESS",
    "_AWS_XRAY_DAEMON_ADDRESS",
    "_AWS_XRAY_DAEMON_PORT",
    "AWS_LAMBDA_EXEC_WRAPPER",
    "LD_PRELOAD",
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

    /// The variables of a process that belongs to no function yet. No debugger follows it until it does.
    #[must_use]
    pub(crate) fn bare(&self) -> BTreeMap<String, String> {
        self.machine.clone()
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
        let of_the_stub = |name: &String| OF_THE_STUB.contains(&name.as_str()) || self.strip.contains(name);
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
        set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &spec.memory_mb.to_string());
        if !spec.runtime.starts_with("provided") {
            set("AWS_EXECUTION_ENV", &format!("AWS_Lambda_{}", spec.runtime));
        }
        let mut default = |name: &str, value: &str| {
            variables.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        };
        default("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
        default("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
        default("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR");
        default("TZ", ":UTC");
        if let Some(name) = variables.get("AWS_LAMBDA_FUNCTION_NAME").cloned() {
            variables.entry("AWS_LAMBDA_LOG_GROUP_NAME".to_owned()).or_insert(format!("/aws/lambda/{name}"));
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
            timeout_s: 3,
            memory_mb: 512,
            environment: vec!["TABLE".into(), "NODE_OPTIONS".into(), "LD_PRELOAD".into()],
        };
        let artifact = Artifact {
            program: crate::core::event::Program::default(),
            task_root: "/app".into(),
            handler: "index.handler".into(),
            fingerprint: String::new(),
            inputs: Vec::new(),
            packages: Vec::new(),
            provided: None,
        };
        let surroundings = Surroundings {
            machine: map(&[("PATH", "/usr/bin"), ("HOME", "/home/me")]),
            debugger: map(&[("VSCODE_INSPECTOR_OPTIONS", ":::{}"), ("NODE_OPTIONS", "--require boot.js")]),
            strip: vec!["GATEWAY_PORT".into()],
            hidden_prefix: Some("SST_ORIG_"),
        };
        let received = map(&[
            ("TABLE", "notes"),
            ("NODE_OPTIONS", "--no-warnings"),
            ("SST_ORIG_LD_PRELOAD", "/opt/x.so"),
            ("PATH", "/var/lang/bin"),
            ("LAMBDA_TASK_ROOT", "/var/task"),
            ("GATEWAY_PORT", "4566"),
            ("AWS_SESSION_TOKEN", "t"),
            ("AWS_LAMBDA_FUNCTION_NAME", "dev-a"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ]);
        let variables = surroundings.worker(&spec, &artifact, &received, "/rt".into());
        let expected = map(&[
            ("AWS_EXECUTION_ENV", "AWS_Lambda_nodejs22.x"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_FUNCTION_NAME", "dev-a"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/dev-a"),
            ("AWS_SESSION_TOKEN", "t"),
            ("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR"),
            ("HOME", "/home/me"),
            ("IS_LOCAL", "true"),
            ("LAMBDA_RUNTIME_DIR", "/rt"),
            ("LAMBDA_TASK_ROOT", "/app"),
            ("LD_PRELOAD", "/opt/x.so"),
            ("NODE_OPTIONS", "--require boot.js --no-warnings"),
            ("PATH", "/usr/bin"),
            ("TABLE", "notes"),
            ("TZ", ":UTC"),
            ("VSCODE_INSPECTOR_OPTIONS", ":::{}"),
            ("_HANDLER", "index.handler"),
        ]);
        assert_eq!(variables, expected);
    }
}
