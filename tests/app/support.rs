//! Apps in directories of their own, and what is looked at in them.

use std::{collections::BTreeSet, process::Command, sync::Once, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use sst::{
    app::{Assembly, Context, Destination, Kept, Options, Rewritten, discover, rewrite, synthesize},
    aws::{self, Aws},
    cloud::{self, Cloud},
    debug_stack::DebugStack,
    error::Error,
    process::Spawner,
    project::{
        Project, StateDir,
        manifest::{Manifest, Source},
    },
    stub_package::{Architecture, Package, Stubs, package_all},
    tools::Tools,
    ui::Ui,
};
use sst_wire::sha256_hex;
use tokio_util::sync::CancellationToken;

/// Far longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const REGION: &str = "eu-west-1";

/// A local cloud, with or without checks of signatures and policies.
pub(crate) async fn local_cloud(app: &App, enforce_iam: bool) -> (Cloud, Aws) {
    let home = Utf8PathBuf::from(std::env::var("HOME").unwrap());
    let cache = std::env::var("XDG_CACHE_HOME").map_or_else(|_| home.join(".cache"), Utf8PathBuf::from);
    let log = app.root.join("cloud.log");
    let options = cloud::Options { cache: cache.join("sst"), enforce_iam, node_path: Vec::new(), log };
    let (ui, _shown) = Ui::channel();
    let cloud = Cloud::start(options, &Spawner::guarded_by(env!("CARGO_BIN_EXE_sst")), &ui).await.unwrap();
    let endpoint = Some(cloud.endpoint().to_owned());
    let options = aws::Options { endpoint, local: true, ..aws::Options::default() };
    let aws = Aws::connect(options).await.unwrap();
    (cloud, aws)
}

/// A project in a directory of its own.
pub(crate) struct App {
    pub root: Utf8PathBuf,
    pub project: Project,
    _directory: tempfile::TempDir,
}

impl App {
    /// A copy of an app of this repository, beside packages that are installed when they are missing.
    pub(crate) fn copy(source: &str) -> Self {
        Self::new(|root| copy_directory(&repository().join(source), root))
    }

    /// An `sst.json` project with one file of code.
    pub(crate) fn with_main(code: &str) -> Self {
        Self::new(|root| {
            fs_err::create_dir_all(root.join("stacks")).unwrap();
            fs_err::write(root.join("stacks/index.js"), code).unwrap();
            fs_err::write(root.join("package.json"), r#"{ "type": "module" }"#).unwrap();
            fs_err::write(root.join("sst.json"), r#"{ "name": "app" }"#).unwrap();
        })
    }

    /// A `cdk.json` project.
    pub(crate) fn with_command(command: &str) -> Self {
        Self::new(|root| {
            fs_err::write(root.join("cdk.json"), json!({ "app": command }).to_string()).unwrap();
        })
    }

    pub(crate) fn new(fill: impl FnOnce(&Utf8Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let base = Utf8PathBuf::from_path_buf(directory.path().canonicalize().unwrap()).unwrap();
        let root = base.join("project");
        fs_err::create_dir(&root).unwrap();
        fill(&root);
        install();
        let packages = repository().join("examples/rest-api/node_modules");
        fs_err::os::unix::fs::symlink(packages, root.join("node_modules")).unwrap();
        let app = Self { project: Project::find(&root).unwrap(), root, _directory: directory };
        app.write("stub", "an executable");
        app.write("stub-arm64", "another one");
        app
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let file = self.root.join(path);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, text).unwrap();
    }

    pub(crate) async fn synthesize(&self) -> Result<Assembly, Error> {
        self.synthesize_until(&CancellationToken::new()).await
    }

    pub(crate) async fn synthesize_until(&self, cancel: &CancellationToken) -> Result<Assembly, Error> {
        let parts = self.parts();
        let context = self.context(&parts, cancel);
        let target = Destination {
            stage: "dev".into(),
            account: ACCOUNT.into(),
            region: REGION.into(),
            debug_stack: None,
            context: Default::default(),
        };
        synthesize(&context, &target, &[]).await
    }

    pub(crate) fn parts(&self) -> (Tools, Spawner, Ui, StateDir) {
        let node = which::which("node").expect("node is installed");
        let tools = Tools {
            node_version: "v20.0.0".to_owned(),
            node: Utf8PathBuf::from_path_buf(node).unwrap(),
            npm_root: repository().join("npm"),
            scripts: repository().join("infra"),
            stubs: Vec::new(),
        };
        (
            tools,
            Spawner::guarded_by(env!("CARGO_BIN_EXE_sst")),
            Ui::channel().0,
            self.project.state_dir().unwrap(),
        )
    }

    pub(crate) fn context<'a>(
        &'a self,
        (tools, spawner, ui, work): &'a (Tools, Spawner, Ui, StateDir),
        cancel: &'a CancellationToken,
    ) -> Context<'a> {
        Context { project: &self.project, work, tools, spawner, ui, cancel }
    }

    pub(crate) fn discover(&self, assembly: &Assembly) -> Manifest {
        discover(assembly, &self.project).unwrap()
    }

    pub(crate) fn rewrite(
        &self,
        assembly: &Assembly,
        manifest: &Manifest,
        increase_timeout: bool,
    ) -> Rewritten {
        self.rewrite_beside(assembly, manifest, increase_timeout, &Kept::new())
    }

    /// The same beside others, whose stubs stay as they are.
    pub(crate) fn rewrite_beside(
        &self,
        assembly: &Assembly,
        manifest: &Manifest,
        increase_timeout: bool,
        kept: &Kept,
    ) -> Rewritten {
        self.rewrite_for(&debug_stack(), assembly, manifest, increase_timeout, kept)
    }

    /// The same for a debug stack that has no policy for stubs.
    pub(crate) fn rewrite_without_policy(&self, assembly: &Assembly, manifest: &Manifest) -> Rewritten {
        let debug_stack = DebugStack { stub_policy: None, ..debug_stack() };
        self.rewrite_for(&debug_stack, assembly, manifest, false, &Kept::new())
    }

    fn rewrite_for(
        &self,
        debug_stack: &DebugStack,
        assembly: &Assembly,
        manifest: &Manifest,
        increase_timeout: bool,
        kept: &Kept,
    ) -> Rewritten {
        let stubs = self.stubs();
        let options = Options {
            debug_stack,
            region: REGION,
            increase_timeout,
            today: jiff::civil::date(2026, 11, 30),
            stubs: &stubs,
            kept,
        };
        let directory = self.project.state_dir().unwrap().fresh_directory("cdk.out.live").unwrap();
        rewrite(assembly, manifest, &options, &directory).unwrap()
    }

    /// The stubs that are deployed. Their executables are files of the app, `stub` and `stub-arm64`.
    pub(crate) fn stubs(&self) -> Stubs {
        let of = |name: &str| self.root.join(name);
        let stubs = [(Architecture::X86_64, of("stub")), (Architecture::Arm64, of("stub-arm64"))];
        package_all(&stubs, &of(".sst/stub")).unwrap()
    }

    pub(crate) fn stub(&self) -> Package {
        self.stubs().usual().clone()
    }

    pub(crate) fn template(&self, assembly: &Assembly, file: &str) -> Value {
        read(&assembly.directory.join(file))
    }

    /// The number of a process that writes it to the file `pid`.
    pub(crate) async fn pid(&self) -> String {
        until(|| {
            let text = fs_err::read_to_string(self.root.join("pid")).ok()?;
            text.ends_with('\n').then(|| text.trim().to_owned())
        })
        .await
    }
}

/// Where the handler is, whatever is done with it.
pub(crate) fn code_of(source: &Source) -> Utf8PathBuf {
    match source {
        Source::Entry { path, .. } => path.clone(),
        other => other.directory().to_owned(),
    }
}

pub(crate) fn live_template(live: &Rewritten, file: &str) -> Value {
    read(&live.directory.join(file))
}

pub(crate) fn ids_of<'a>(template: &'a Value, kind: &str) -> BTreeSet<&'a str> {
    let resources = template["Resources"].as_object().unwrap();
    resources.iter().filter(|(_, resource)| resource["Type"] == kind).map(|(id, _)| id.as_str()).collect()
}

/// Checks what the CDK CLI, and CloudFormation after it, rely on: a file is uploaded under a key that changes with its content, the key
/// is what others name it by, and every file is there.
pub(crate) fn assert_consistent(live: &Rewritten) {
    let mut checked = 0;
    for directory in [live.directory.clone(), live.directory.join("assembly-Prod")] {
        let Ok(entries) = fs_err::read_dir(&directory) else { continue };
        let files: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        for assets in files.iter().filter(|file| file.ends_with(".assets.json")) {
            for entry in read(&directory.join(assets))["files"].as_object().unwrap().values() {
                let path = directory.join(entry["source"]["path"].as_str().unwrap());
                assert!(path.exists(), "{path}");
                if !path.as_str().ends_with(".template.json") {
                    continue;
                }
                checked += 1;
                let key = format!("{}.json", sha256_hex(&fs_err::read(&path).unwrap()));
                let destination = entry["destinations"].as_object().unwrap().values().next().unwrap();
                assert_eq!(destination["objectKey"], key, "{path}");
                let named = files.iter().filter(|file| *file != assets).any(|file| {
                    fs_err::read_to_string(directory.join(file)).unwrap_or_default().contains(&key)
                });
                assert!(named, "nothing refers to {path} as {key}");
            }
        }
    }
    assert!(checked > 0, "no template was found in {}", live.directory);
}

/// The ARN of the policy of the stubs.
pub(crate) const STUB_POLICY: &str = "arn:aws:iam::123456789012:policy/dev-app-debug-stack-StubPolicy-ABC";

pub(crate) fn debug_stack() -> DebugStack {
    let api = "abcdef1234.execute-api.eu-west-1.amazonaws.com/dev";
    DebugStack {
        endpoint: format!("wss://{api}"),
        management: format!("https://{api}"),
        api_id: "abcdef1234".into(),
        api_stage: "dev".into(),
        table: "dev-app-debug-stack-Connections-ABC".into(),
        table_arn: "arn:aws:dynamodb:eu-west-1:123456789012:table/dev-app-debug-stack-Connections-ABC".into(),
        bucket: "dev-app-debug-stack-payloads-abc".into(),
        stub_policy: Some(STUB_POLICY.into()),
        answers: sst::debug_stack::Answers::Mock,
    }
}

pub(crate) fn repository() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Installs what the apps need, unless it is there.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        for (directory, package) in [("npm", "esbuild"), ("examples/rest-api", "aws-cdk-lib")] {
            let directory = repository().join(directory);
            if !directory.join("node_modules").join(package).is_dir() {
                let mut command = Command::new("npm");
                command.args(["ci", "--no-audit", "--no-fund"]).current_dir(&directory);
                assert!(command.status().expect("npm runs").success(), "`npm ci` failed in {directory}");
            }
        }
    });
}

pub(crate) fn copy_directory(from: &Utf8Path, to: &Utf8Path) {
    fs_err::create_dir_all(to).unwrap();
    for entry in from.read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_name() {
            "node_modules" | ".sst" | "cdk.out" => {}
            _ if entry.file_type().unwrap().is_dir() => copy_directory(entry.path(), &target),
            _ => drop(fs_err::copy(entry.path(), target).unwrap()),
        }
    }
}

pub(crate) fn read(path: &Utf8Path) -> Value {
    serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
}

/// Waits until a process has ended; one that nobody has collected yet counts as ended.
pub(crate) async fn gone(pid: &str) {
    let stat = format!("/proc/{pid}/stat");
    until(|| {
        let text = std::fs::read_to_string(&stat).unwrap_or_default();
        let state = text.rsplit_once(')').map(|(_, rest)| rest.trim_start().to_owned());
        state.is_none_or(|state| state.starts_with('Z')).then_some(())
    })
    .await;
}

/// Asks again and again, since neither files nor strangers' processes tell when they change.
pub(crate) async fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = found() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it happens in time")
}
