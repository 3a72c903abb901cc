//! The local cloud behind `--local`: ministack, a Python program that behaves like AWS as far as an app notices.

mod certificate;
mod install;

use std::{net::Ipv4Addr, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

pub use self::certificate::Trust;
use crate::{
    error::{Error, Kind, Result},
    process::{Child, Command, Scratch, Spawner},
    ui::{Ui, UiEvent},
};

/// The variables of the server's own environment that it passes on to functions with a runtime of their own (`provided.*`), which
/// on AWS would not have them. `AWS_ENDPOINT_URL` is not among them: it is how a function finds the local cloud.
pub const SERVER_VARIABLES: &[&str] = &[
    "AUTH",
    "BIND_HOST",
    "GATEWAY_PORT",
    "IOT_MTLS_ENABLED",
    "LANG",
    "LC_ALL",
    "MINISTACK_HOST",
    "NODE_PATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
    "S3_DATA_DIR",
    "SFTP_ENABLED",
    "STATE_DIR",
];

/// The account of everybody who has no other key than the usual one.
pub const ACCOUNT: &str = "000000000000";

/// How long the server may take to answer. A first start compiles Python.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How often another port is tried, when somebody else takes the one that was free.
const ATTEMPTS: usize = 3;

const PROGRESS: &str = "cloud";

/// What starts the server: the first of these, with the corrections in the others.
const PROGRAM: [(&str, &str); 24] = [
    ("server.py", include_str!("server.py")),
    ("addresses.py", include_str!("addresses.py")),
    ("answers.py", include_str!("answers.py")),
    ("api_origins.py", include_str!("api_origins.py")),
    ("bucket_tags.py", include_str!("bucket_tags.py")),
    ("custom_resources.py", include_str!("custom_resources.py")),
    ("distributions.py", include_str!("distributions.py")),
    ("doors.py", include_str!("doors.py")),
    ("hello.py", include_str!("hello.py")),
    ("inert.py", include_str!("inert.py")),
    ("mocks.py", include_str!("mocks.py")),
    ("nested_stacks.py", include_str!("nested_stacks.py")),
    ("notices.py", include_str!("notices.py")),
    ("objects.py", include_str!("objects.py")),
    ("pages.py", include_str!("pages.py")),
    ("pauses.py", include_str!("pauses.py")),
    ("places.py", include_str!("places.py")),
    ("proxy_events.py", include_str!("proxy_events.py")),
    ("resolvers.py", include_str!("resolvers.py")),
    ("runtime_doors.py", include_str!("runtime_doors.py")),
    ("scalar_bodies.py", include_str!("scalar_bodies.py")),
    ("secure.py", include_str!("secure.py")),
    ("unsigned.py", include_str!("unsigned.py")),
    ("uploads.py", include_str!("uploads.py")),
];

/// How the local cloud is to be.
#[derive(Debug, Clone)]
pub struct Options {
    /// The user's cache directory for this program; the server is installed there once.
    pub cache: Utf8PathBuf,
    /// Whether it checks IAM policies and signatures.
    pub enforce_iam: bool,
    /// Where functions that run inside of it (the CDK's own, mostly) find packages such as the AWS SDK. They need not be there yet.
    pub node_path: Vec<Utf8PathBuf>,
    /// What it says goes here.
    pub log: Utf8PathBuf,
}

/// A running local cloud. It ends with [`Cloud::stop`], and at the latest with this program.
#[derive(Debug)]
pub struct Cloud {
    child: Child,
    endpoint: String,
    trust: Trust,
    notices: Notices,
}

/// What the local cloud has to say of how it differs from AWS: what it deploys without any effect.
#[derive(Debug, Clone)]
pub struct Notices(Utf8PathBuf);

impl Notices {
    /// What it has said since this was called last, one line each.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        let taken = self.0.with_extension("taken");
        // Renamed first, so that no line is lost that is written meanwhile. Without a file nothing was said.
        let text = fs_err::rename(&self.0, &taken).and_then(|()| fs_err::read_to_string(&taken));
        text.unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

impl Cloud {
    /// Installs it if need be, starts it on a free port of 127.0.0.1, and waits until it answers.
    ///
    /// # Errors
    /// [`Kind::Environment`] when Python is missing or nothing can be installed; [`Kind::Cloud`] when it does not start.
    pub async fn start(options: Options, spawner: &Spawner, ui: &Ui) -> Result<Self> {
        let installed = install::install(&options.cache, spawner, ui).await?;
        ui.send(UiEvent::ProgressBegan { key: PROGRESS, message: "Starting the local cloud".to_owned() });
        for attempt in 1..=ATTEMPTS {
            let Some(port) = portpicker::pick_unused_port() else {
                ui.send(UiEvent::ProgressFailed { key: PROGRESS });
                return Err(Error::new(Kind::Cloud, "there is no free port on 127.0.0.1"));
            };
            match Self::start_on(port, &installed, &options, spawner).await {
                Ok(cloud) => {
                    let message = format!("The local cloud is at {}", cloud.endpoint);
                    ui.send(UiEvent::ProgressEnded { key: PROGRESS, message });
                    return Ok(cloud);
                }
                Err(error) if attempt == ATTEMPTS || !is_taken(port) => {
                    ui.send(UiEvent::ProgressFailed { key: PROGRESS });
                    return Err(error);
                }
                Err(error) => tracing::debug!(%error, port, "the port was taken"),
            }
        }
        Err(Error::new(Kind::Cloud, "the local cloud does not start"))
    }

    /// Where it is, e.g. `http://127.0.0.1:40123`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The certificates by which workers trust its port with TLS.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// What it says of itself.
    #[must_use]
    pub fn notices(&self) -> Notices {
        self.notices.clone()
    }

    /// Ends it and everything it started, and waits until it is gone. What it knows goes with it, so there is nothing that it could still
    /// have to do: asked to end, it would first wait seconds for connections that are kept open.
    pub async fn stop(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::debug!(%error, "the local cloud");
        }
    }

    async fn start_on(port: u16, installed: &Utf8Path, options: &Options, spawner: &Spawner) -> Result<Self> {
        let endpoint = format!("http://127.0.0.1:{port}");
        let failed = |detail: String| {
            Error::new(Kind::Cloud, "the local cloud does not start")
                .detail(detail)
                .hint(format!("its log is `{}`", options.log))
        };
        let log = fs_err::File::create(options.log.as_path()).map_err(|error| failed(error.to_string()))?;
        let log = log.into_parts().0;
        let also_log = log.try_clone().map_err(|error| failed(error.to_string()))?;
        // What the server stores and unpacks; gone with it.
        let state = Scratch::new("sst-cloud-")
            .map_err(|error| failed(format!("no directory for its state: {error}")))?;
        // In a directory of their own: Python looks for modules there first, and the other one is where functions are unpacked.
        let scripts = state.path().join("program");
        fs_err::create_dir(&scripts).map_err(|error| failed(error.to_string()))?;
        for (name, text) in PROGRAM {
            fs_err::write(scripts.join(name), text).map_err(|error| failed(error.to_string()))?;
        }
        let trust = certificate::write(&scripts).map_err(failed)?;
        let notices = Notices(scripts.join("notices"));
        let program = installed.join("bin/python");
        let mut command = Command::new(&program);
        command.arg(scripts.join(PROGRAM[0].0)).env_clear().stdout(log).stderr(also_log);
        for name in ["HOME", "PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("MINISTACK_HOST", "127.0.0.1")
            .env("AWS_ENDPOINT_URL", &endpoint)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("LANG", "C.UTF-8")
            // Neither opens a port that nobody asked for.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            // By default all servers of a machine share these.
            .env("STATE_DIR", state.path().join("state"))
            .env("S3_DATA_DIR", state.path().join("s3"))
            .env("TMPDIR", state.path())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1");
        if options.enforce_iam {
            command.env("AUTH", "true");
        }
        if let Ok(path) = std::env::join_paths(&options.node_path) {
            command.env("NODE_PATH", path);
        }
        command.scratch(state);
        let child = spawner.spawn(command).await;
        let child = child.map_err(|error| failed(format!("cannot run `{program}`: {error}")))?;
        let mut cloud = Self { child, endpoint, trust, notices };
        let answers = async {
            while !is_healthy(port).await {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            status = cloud.child.wait() => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(failed(format!("it ended with {status}\n{}", last_lines(&options.log))))
            }
            answered = timeout(START_TIMEOUT, answers) => match answered {
                Ok(()) => Ok(cloud),
                Err(_) => {
                    cloud.stop().await;
                    Err(failed(format!("it did not answer within {} s", START_TIMEOUT.as_secs())))
                }
            }
        }
    }
}

async fn is_healthy(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let request =
            format!("GET /_ministack/health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        Ok::<_, std::io::Error>(head.ends_with(b" 200"))
    };
    matches!(timeout(Duration::from_secs(2), ask).await, Ok(Ok(true)))
}

fn is_taken(port: u16) -> bool {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err()
}

fn last_lines(log: &Utf8Path) -> String {
    let text = fs_err::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
