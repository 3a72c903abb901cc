//! Ctrl-C and its relatives. The first asks for an orderly end, the second ends the program, whatever it is doing.

use std::{io, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind};

/// How long the program may take to end by itself after the second.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// What the user has asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupts {
    /// To end in order.
    pub gently: CancellationToken,
    /// To end now.
    pub now: CancellationToken,
}

impl Interrupts {
    /// Listens, on a thread of its own, so that even a program which does nothing else any more can be ended.
    pub fn listen() -> io::Result<Self> {
        let interrupts = Self::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let heard = interrupts.clone();
        // Within this call, so that none can come before somebody listens.
        let signals = {
            let _runtime = runtime.enter();
            [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ]
        };
        let listen = move || {
            runtime.block_on(heard.wait(signals));
            std::process::exit(Error::new(Kind::Interrupted, "interrupted").exit_code().into());
        };
        std::thread::Builder::new().name("interrupts".to_owned()).spawn(listen)?;
        Ok(interrupts)
    }

    /// Returns when the program has to be ended.
    async fn wait(self, [mut interrupt, mut terminate, mut hangup]: [tokio::signal::unix::Signal; 3]) {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                // A terminal that is closed says so more than once, which is no order to hurry.
                _ = hangup.recv() => {
                    self.gently.cancel();
                    continue;
                }
            }
            if self.gently.is_cancelled() {
                break;
            }
            self.gently.cancel();
        }
        self.now.cancel();
        // The guards of what was started end it when this program has gone.
        tokio::time::sleep(LAST_MOMENT).await;
    }
}
