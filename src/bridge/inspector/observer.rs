//! Sees that a worker is paused when its debugger is not attached through the endpoint: one that follows the workers by itself, as
//! VS Code does after F5.
//!
//! The observer must never be what keeps a worker paused or alive: it closes when the process ends, which [`upstream`] sees to, and
//! lets a worker run on when nobody else is connected to it.

use std::{sync::Arc, time::Duration};

use camino::Utf8Path;
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    place::Scripts,
    upstream::{self, FromWorker},
};
use crate::{
    bridge::registry::{OBSERVER, Offer, Registry},
    process::connections,
};

/// How often a paused worker is asked whether somebody could let it run on.
const INTERVAL: Duration = Duration::from_secs(1);

/// Watches a worker until it ends.
pub(in crate::bridge) async fn observe(offer: Offer, registry: Arc<Registry>) {
    let (requests, outbox) = mpsc::unbounded_channel();
    let (inbox, mut messages) = mpsc::unbounded_channel();
    for (id, method) in [
        "NodeRuntime.enable",
        "NodeRuntime.notifyWhenWaitingForDisconnect",
        "Runtime.enable",
        "Debugger.enable",
    ]
    .into_iter()
    .enumerate()
    {
        let request = json!({ "id": id, "method": method, "params": { "enabled": true } });
        let _ = requests.send(request.to_string().into());
    }
    let port = port_of(&offer.url);
    let upstream = upstream::run(offer.url.clone(), String::new(), outbox, inbox);
    let watch = async {
        let mut scripts = Scripts::default();
        let mut paused = false;
        let mut alone = false;
        loop {
            let message = if paused {
                match tokio::time::timeout(INTERVAL, messages.recv()).await {
                    Ok(message) => message,
                    Err(_) => {
                        // Twice, because a debugger may just be exchanging its connection for another.
                        let was_alone = std::mem::replace(&mut alone, is_alone(port).await);
                        if alone && was_alone {
                            let request = json!({ "id": 100, "method": "Debugger.resume" });
                            let _ = requests.send(request.to_string().into());
                        }
                        continue;
                    }
                }
            } else {
                messages.recv().await
            };
            let Some((_, FromWorker::Open | FromWorker::Text(_))) = &message else { return };
            let Some((_, FromWorker::Text(text))) = message else { continue };
            if text.starts_with(r#"{"method":"Debugger.paused""#) {
                (paused, alone) = (true, false);
            } else if text.starts_with(r#"{"method":"Debugger.resumed""#) {
                paused = false;
            }
            scripts.hear(&registry, OBSERVER, offer.worker, &text);
        }
    };
    tokio::join!(upstream, watch);
    registry.disconnected(OBSERVER, offer.worker);
}

fn port_of(url: &str) -> Option<u16> {
    Utf8Path::new(url.strip_prefix("ws://")?).components().next()?.as_str().rsplit_once(':')?.1.parse().ok()
}

/// Whether the observer's connection is the only one. When that cannot be found out, it is not.
async fn is_alone(port: Option<u16>) -> bool {
    let Some(port) = port else { return false };
    let count = tokio::task::spawn_blocking(move || connections(port)).await;
    matches!(count, Ok(Some(0 | 1)))
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{core::event::Event, ids::WorkerId};

    /// A process that comes by a `debugger` statement until that has stopped it, and then ends.
    const PROGRAM: &str = "setInterval(() => {
        const since = Date.now();
        debugger;
        if (Date.now() - since > 500) { console.log('gone on'); process.exit(0); }
    }, 10)";

    #[tokio::test]
    async fn a_worker_that_only_the_observer_watches_goes_on_and_ends() {
        let mut child = tokio::process::Command::new("node")
            .args(["--inspect=127.0.0.1:0", "-e", PROGRAM])
            .env_remove("NODE_OPTIONS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = errors.next_line().await.unwrap().unwrap();
        let url = line.strip_prefix("Debugger listening on ").unwrap().to_owned();
        let (sender, mut events) = mpsc::unbounded_channel();
        let registry = Arc::new(Registry::new("/".into(), sender, crate::ui::Ui::channel().0));
        let gone = CancellationToken::new();
        let offer =
            Offer { worker: WorkerId(1), title: "a".to_owned(), url, adapter: None, machine: None, gone };
        let observer = tokio::spawn(observe(offer, registry));
        let output = tokio::time::timeout(Duration::from_secs(30), child.wait_with_output()).await;
        assert_eq!(String::from_utf8_lossy(&output.unwrap().unwrap().stdout), "gone on\n");
        observer.await.unwrap();
        assert!(matches!(events.recv().await, Some(Event::Paused { .. })));
        assert!(matches!(events.recv().await, Some(Event::Resumed { .. })));
    }
}
