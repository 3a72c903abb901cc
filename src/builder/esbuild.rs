//! The sidecar: a Node process that builds with esbuild through its public interface.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    sync::{mpsc, oneshot},
};

use crate::{
    core::event::{Artifact, BuildError, Program},
    ids::FunctionId,
    languages::{Sdk, unbuildable},
    process::{Child, Command, Spawner, Stdio},
    project::manifest::Bundling,
    tasks::Tasks,
    tools::Tools,
    trace,
};

/// How often a build is given to a sidecar. One that dies may have died of another build.
const ATTEMPTS: u32 = 2;

/// A build takes milliseconds, the first one of a large project some seconds. Only a plugin of the project can take
/// for ever.
const LONGEST_BUILD: Duration = Duration::from_secs(60);

/// How long the sidecar may take to end by itself.
const GRACE: Duration = Duration::from_secs(1);

/// What is to be built.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Request {
    pub function: String,
    pub entry: Utf8PathBuf,
    pub root: Utf8PathBuf,
    pub directory: Utf8PathBuf,
    pub bundling: Bundling,
    /// Which packages the runtime has.
    pub provided: Option<Sdk>,
    /// See [`Builder::build`](super::Builder::build).
    pub generation: u64,
    pub since: u64,
}

#[derive(Debug, Deserialize)]
struct Answer {
    id: u64,
    built: Option<Built>,
    failed: Option<Failed>,
}

#[derive(Debug, Deserialize)]
struct Built {
    file: String,
    fingerprint: String,
    inputs: Vec<Utf8PathBuf>,
    packages: Vec<(String, Utf8PathBuf)>,
    provided: BTreeSet<String>,
    /// What the process was busy with, and for how many milliseconds.
    steps: Vec<(String, f64)>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    summary: String,
    detail: String,
    error_type: String,
    inputs: Vec<Utf8PathBuf>,
}

/// A handle to the sidecar, which is started with the first build.
#[derive(Debug, Clone)]
pub(super) struct Sidecar {
    jobs: mpsc::UnboundedSender<Job>,
}

#[derive(Debug)]
enum Job {
    Build {
        request: Box<Request>,
        attempt: u32,
        reply: oneshot::Sender<Result<Built, Failed>>,
    },
    Cool(FunctionId),
    /// A build does not end, so the sidecar must.
    Stuck,
    End(oneshot::Sender<()>),
}

impl Sidecar {
    pub(super) fn new(tools: Tools, spawner: Spawner, project: Utf8PathBuf, tasks: &mut Tasks) -> Self {
        let (jobs, receiver) = mpsc::unbounded_channel();
        let keeper = Keeper { tools, spawner, project, running: None, next_id: 0 };
        tasks.spawn("the keeper of the build process", keeper.run(receiver));
        Self { jobs }
    }

    /// Builds. An answer comes in any case: what runs, and the packages that only its runtime has.
    pub(super) async fn build(
        &self,
        request: Request,
        export: &str,
        program: Program,
    ) -> Result<(Artifact, BTreeSet<String>), BuildError> {
        let (task_root, entry) = (request.directory.clone(), request.entry.clone());
        let (reply, answer) = oneshot::channel();
        let _ = self.jobs.send(Job::Build { request: Box::new(request), attempt: 1, reply });
        let Ok(answer) = tokio::time::timeout(LONGEST_BUILD, answer).await else {
            let _ = self.jobs.send(Job::Stuck);
            let summary = format!("the build of `{entry}` did not end within {} s", LONGEST_BUILD.as_secs());
            return Err(unbuildable(summary, vec![entry]));
        };
        match answer {
            Ok(Ok(built)) => {
                let stem = built.file.rsplit_once('.').map_or(built.file.as_str(), |(stem, _)| stem);
                let artifact = Artifact {
                    program,
                    handler: format!("{stem}.{export}"),
                    task_root,
                    fingerprint: built.fingerprint,
                    inputs: built.inputs,
                    packages: built.packages,
                    provided: None,
                    opt: None,
                };
                Ok((artifact, built.provided))
            }
            Ok(Err(failed)) => Err(BuildError {
                summary: failed.summary,
                detail: failed.detail,
                error_type: failed.error_type,
                inputs: failed.inputs,
            }),
            Err(_) => Err(unbuildable("the build was given up".to_owned(), vec![entry])),
        }
    }

    pub(super) fn cool(&self, function: &FunctionId) {
        let _ = self.jobs.send(Job::Cool(function.clone()));
    }

    pub(super) async fn end(&self) {
        let (done, ended) = oneshot::channel();
        if self.jobs.send(Job::End(done)).is_ok() {
            let _ = ended.await;
        }
    }
}

struct Keeper {
    tools: Tools,
    spawner: Spawner,
    project: Utf8PathBuf,
    running: Option<Running>,
    next_id: u64,
}

struct Running {
    child: Child,
    /// Lines for its standard input, which is closed with this.
    lines: mpsc::UnboundedSender<String>,
    answers: mpsc::UnboundedReceiver<Answer>,
    pending: HashMap<u64, Pending>,
}

type Pending = (Box<Request>, u32, oneshot::Sender<Result<Built, Failed>>);

impl Keeper {
    async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        loop {
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(Job::Build { request, attempt, reply }) => self.build(request, attempt, reply).await,
                    Some(Job::Cool(function)) => self.tell(&serde_json::json!({ "cool": function })),
                    Some(Job::Stuck) => self.give_up(),
                    Some(Job::End(done)) => {
                        self.kill().await;
                        let _ = done.send(());
                        return;
                    }
                    None => return self.kill().await,
                },
                answer = next_answer(&mut self.running) => match answer {
                    Some(answer) => self.answered(answer),
                    None => self.died().await,
                },
            }
        }
    }

    async fn build(
        &mut self,
        request: Box<Request>,
        attempt: u32,
        reply: oneshot::Sender<Result<Built, Failed>>,
    ) {
        if self.running.is_none() {
            match self.start().await {
                Ok(running) => self.running = Some(running),
                Err(error) => {
                    let summary = format!("cannot start the build process: {error}");
                    let _ = reply.send(Err(not_built(summary, &request)));
                    return;
                }
            }
        }
        self.next_id += 1;
        let message = serde_json::json!({ "id": self.next_id, "build": request });
        if let Some(running) = &mut self.running {
            trace::save!(function = request.function, "handed to the build process");
            running.pending.insert(self.next_id, (request, attempt, reply));
        }
        self.tell(&message);
    }

    /// A line that is not taken means that the process is gone, which its output tells as well.
    fn tell(&self, message: &serde_json::Value) {
        if let Some(running) = &self.running {
            let _ = running.lines.send(format!("{message}\n"));
        }
    }

    /// Kills the sidecar. Its end is noticed, and what it was busy with is given to another one.
    fn give_up(&mut self) {
        if let Some(running) = &mut self.running {
            running.child.start_kill();
        }
    }

    fn answered(&mut self, answer: Answer) {
        let pending = self.running.as_mut().and_then(|running| running.pending.remove(&answer.id));
        let Some((request, _, reply)) = pending else { return };
        trace::save!(function = request.function, steps = ?answer.built.as_ref().map(|built| &built.steps), "the build process answers");
        let _ = reply.send(match (answer.built, answer.failed) {
            (Some(built), _) => Ok(built),
            (None, Some(failed)) => Err(failed),
            (None, None) => Err(not_built("the build process gave no answer".to_owned(), &request)),
        });
    }

    async fn died(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        // A process that closed its output is of no use, even if it goes on.
        let ended = match tokio::time::timeout(GRACE, running.child.wait()).await {
            Ok(ended) => ended,
            Err(_) => running.child.kill().await,
        };
        let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        tracing::warn!(status, "the build process ended");
        for (request, attempt, reply) in std::mem::take(&mut running.pending).into_values() {
            if reply.is_closed() {
                continue;
            }
            if attempt < ATTEMPTS {
                Box::pin(self.build(request, attempt + 1, reply)).await;
            } else {
                let summary = format!("the build process ended with {status}");
                let _ = reply.send(Err(not_built(summary, &request)));
            }
        }
    }

    async fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            drop(running.lines);
            if tokio::time::timeout(GRACE, running.child.wait()).await.is_err() {
                let _ = running.child.kill().await;
            }
        }
    }

    async fn start(&self) -> std::io::Result<Running> {
        let mut command = Command::new(&self.tools.node);
        command
            .arg(self.tools.scripts.join("builder/main.mjs"))
            .args([&self.project, &self.tools.npm_root])
            .current_dir(&self.project)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.spawner.spawn(command).await?;
        let no_pipe = || std::io::Error::other("no pipe");
        let mut stdin = child.stdin.take().ok_or_else(no_pipe)?;
        let stdout = child.stdout.take().ok_or_else(no_pipe)?;
        let stderr = child.stderr.take().ok_or_else(no_pipe)?;
        let (sender, answers) = mpsc::unbounded_channel();
        let (lines, mut to_write) = mpsc::unbounded_channel::<String>();
        // A task of its own, so that a sidecar that does not read keeps nobody waiting.
        tokio::spawn(async move {
            while let Some(line) = to_write.recv().await {
                if stdin.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                match serde_json::from_str(&line) {
                    Ok(answer) => drop(sender.send(answer)),
                    // A plugin of the project may print.
                    Err(_) => tracing::info!(line, "build"),
                }
            }
        });
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                tracing::info!(line, "build");
            }
        });
        Ok(Running { child, lines, answers, pending: HashMap::new() })
    }
}

/// The next answer; none when the process is gone. Waits for ever while there is none.
async fn next_answer(running: &mut Option<Running>) -> Option<Answer> {
    match running {
        Some(running) => running.answers.recv().await,
        None => std::future::pending().await,
    }
}

fn not_built(summary: String, request: &Request) -> Failed {
    Failed {
        detail: summary.clone(),
        summary,
        error_type: "Runtime.ImportModuleError".to_owned(),
        inputs: vec![request.entry.clone()],
    }
}
