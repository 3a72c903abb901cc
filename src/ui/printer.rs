//! Writes [`UiEvent`]s as lines, and progress as bars where there is a terminal, or as JSON for programs: on a thread of its own, because
//! writing takes as long as the reader likes.

use std::{
    collections::HashMap,
    io::{self, IsTerminal},
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    Ui, UiEvent, json, prompt,
    queue::{Events, Sent},
    render::{self, render},
    text::Text,
};

/// How much is written at once: so little that a slow reader can be told from none.
const AT_ONCE: usize = 4096;

/// How long a reader may take for that when there is no more time.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long it may take for all that is left then.
const FAREWELL: Duration = Duration::from_secs(3);

/// How often there is a word of what is still going on, where nobody sees a bar.
const WORD: Duration = Duration::from_secs(10);

/// What standard output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    Text,
    /// One JSON object a line for programs: `docs/json.md`.
    Json,
    /// A protocol that the command speaks there by itself: everything here goes to standard error.
    Apart,
}

/// How the terminal is written to.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether colours are wanted on standard output; see [`Options::detect`].
    pub colour: bool,
    /// Whether they are wanted on standard error.
    pub error_colour: bool,
    /// Whether somebody looks at standard output, rather than a program.
    pub terminal: bool,
    /// Whether progress is drawn as bars.
    pub bars: bool,
    /// What standard output is for.
    pub format: Format,
}

impl Options {
    /// Colours and bars only where both make sense: for people, on a terminal, and without `NO_COLOR` (<https://no-color.org>) or
    /// `--no-color`.
    #[must_use]
    pub fn detect(no_color: bool, format: Format) -> Self {
        let terminal = format == Format::Text && io::stdout().is_terminal();
        let unwanted = no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = !unwanted && !dumb;
        Self {
            colour: terminal && colour,
            error_colour: io::stderr().is_terminal() && colour,
            terminal,
            bars: terminal && !dumb,
            format,
        }
    }
}

/// Starts the thread. It ends with [`UiEvent::End`].
///
/// # Errors
/// When the operating system has no thread or no descriptors for it.
pub fn start(options: Options) -> io::Result<(Ui, Printing)> {
    let error = io::stderr().as_fd().try_clone_to_owned()?;
    let output = match options.format {
        Format::Apart => error.try_clone()?,
        Format::Text | Format::Json => io::stdout().as_fd().try_clone_to_owned()?,
    };
    if options.format != Format::Text {
        prompt::ask_nobody();
    }
    start_on(options, WORD, output, error)
}

fn start_on(options: Options, word: Duration, output: OwnedFd, error: OwnedFd) -> io::Result<(Ui, Printing)> {
    let (ui, events) = Ui::channel();
    let (ended, end) = oneshot::channel();
    let progress = Arc::new(AtomicU64::new(0));
    let stream = |descriptor| Stream { descriptor, buffer: Vec::new(), progress: progress.clone() };
    let (output, error) = (stream(output), stream(error));
    // Only to wait with.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let print = move || {
        let bars = MultiProgress::new();
        if !options.bars {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        let running = HashMap::new();
        let printer = Printer { options, word, bars, running, going_on: HashMap::new(), output, error };
        runtime.block_on(printer.run(events));
        let _ = ended.send(());
    };
    std::thread::Builder::new().name("printer".to_owned()).spawn(print)?;
    Ok((ui, Printing { end, progress }))
}

/// The thread that writes.
#[derive(Debug)]
pub struct Printing {
    end: oneshot::Receiver<()>,
    progress: Arc<AtomicU64>,
}

impl Printing {
    /// Waits until all is written, after [`UiEvent::End`]. In a `hurry` only as long as somebody reads it, and not for long.
    pub async fn finish(self, hurry: &CancellationToken) {
        let Self { end, progress } = self;
        let patience = async {
            hurry.cancelled().await;
            let begin = Instant::now();
            let mut seen = None;
            while begin.elapsed() < FAREWELL {
                let now = progress.load(Ordering::Relaxed);
                if seen.replace(now) == Some(now) {
                    return;
                }
                tokio::time::sleep(PATIENCE).await;
            }
        };
        tokio::select! {
            _ = end => {}
            () = patience => {}
        }
    }

    /// Waits until all is written, where nothing asynchronous runs.
    pub fn wait(self) {
        let _ = self.end.blocking_recv();
    }
}

struct Printer {
    options: Options,
    word: Duration,
    bars: MultiProgress,
    running: HashMap<&'static str, ProgressBar>,
    /// What is said in words instead.
    going_on: HashMap<&'static str, GoingOn>,
    output: Stream,
    error: Stream,
}

/// Something that takes its time.
struct GoingOn {
    message: String,
    since: Instant,
    /// When there is the next word of it.
    due: Instant,
}

impl Printer {
    async fn run(mut self, mut events: Events) {
        'printing: loop {
            let due = self.going_on.values().map(|one| one.due).min();
            let some = match due {
                Some(due) => tokio::time::timeout_at(due.into(), events.some()).await.unwrap_or_default(),
                None => events.some().await,
            };
            self.say_what_goes_on();
            for Sent { at, event } in some {
                // Some task may hold a handle for as long as the program lives, so the end of the handles is not waited for.
                if event == UiEvent::End {
                    break 'printing;
                }
                match self.options.format {
                    Format::Text | Format::Apart => self.show(event),
                    Format::Json => self.write_json(&event, at),
                }
            }
            self.flush();
        }
        self.flush();
        for (_, bar) in self.running.drain() {
            bar.finish_and_clear();
        }
    }

    /// Writes one event for a program. What the program does is said on standard error, as ever.
    fn write_json(&mut self, event: &UiEvent, at: SystemTime) {
        match event {
            UiEvent::Diagnostic(_) => self.error.line(&render(event, self.options.error_colour)),
            event => {
                if let Some(line) = json::line(event, at) {
                    self.output.buffer.extend_from_slice(line.as_bytes());
                }
            }
        }
    }

    fn show(&mut self, event: UiEvent) {
        let Options { colour, error_colour, terminal, bars, .. } = self.options;
        match &event {
            UiEvent::ProgressBegan { key, message } if bars => {
                let bar = self.bars.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
                    bar.set_style(style);
                }
                bar.set_message(message_of(message));
                bar.enable_steady_tick(Duration::from_millis(100));
                self.running.insert(key, bar);
            }
            UiEvent::ProgressMoved { key, message } => {
                if let Some(bar) = self.running.get(key) {
                    bar.set_message(message_of(message));
                }
                if let Some(one) = self.going_on.get_mut(key) {
                    one.message.clone_from(message);
                }
            }
            UiEvent::ProgressFailed { key } => self.clear(key),
            // Terminals that do not know links show none; one that is called dumb might show the sequence.
            UiEvent::Console { address, link, hint } if bars => {
                self.output.line(&render::console(address, Some(link), hint, colour));
            }
            UiEvent::Result(bytes) if !terminal => {
                self.output.buffer.extend_from_slice(bytes);
                self.output.buffer.push(b'\n');
            }
            UiEvent::Fatal { .. } | UiEvent::Diagnostic(_) => {
                // In the order in which they were said, if both are the same terminal.
                self.flush();
                self.error.line(&render(&event, error_colour));
                self.flush();
            }
            event => {
                if let UiEvent::ProgressEnded { key, .. } = event {
                    self.clear(key);
                }
                if let UiEvent::ProgressBegan { key, message } = event {
                    let (message, since) = (message.clone(), Instant::now());
                    self.going_on.insert(key, GoingOn { message, since, due: since + self.word });
                }
                self.output.line(&laid_out(event, colour, terminal));
            }
        }
    }

    fn clear(&mut self, key: &str) {
        if let Some(bar) = self.running.remove(key) {
            bar.finish_and_clear();
        }
        self.going_on.remove(key);
    }

    /// Says of what takes long that it still goes on, when it is time to.
    fn say_what_goes_on(&mut self) {
        let now = Instant::now();
        for (key, one) in &mut self.going_on {
            if one.due <= now {
                let message = format!("{} ({} s)", one.message, one.since.elapsed().as_secs());
                self.output.line(&render(&UiEvent::ProgressBegan { key, message }, self.options.colour));
                one.due = now + self.word;
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        let Self { bars, output, error, .. } = self;
        if output.buffer.is_empty() && error.buffer.is_empty() {
            return;
        }
        bars.suspend(|| {
            output.flush();
            error.flush();
        });
    }
}

/// An event as text; on a terminal so that nothing of ours is broken where it ends.
fn laid_out(event: &UiEvent, colour: bool, terminal: bool) -> Text {
    let text = render(event, colour);
    match columns().filter(|_| terminal) {
        Some(columns) if is_ours(event) => text.wrapped(columns),
        _ => text,
    }
}

/// Whether an event is a sentence of ours, rather than what a function or a tool has laid out itself.
fn is_ours(event: &UiEvent) -> bool {
    matches!(
        event,
        UiEvent::Info(_)
            | UiEvent::Warning(_)
            | UiEvent::Error { .. }
            | UiEvent::Listening(_)
            | UiEvent::Question(_)
            | UiEvent::Infrastructure { .. }
            | UiEvent::Output { .. }
            | UiEvent::ProgressEnded { .. }
    )
}

/// How many columns the terminal has now.
fn columns() -> Option<usize> {
    let (_, columns) = console::Term::stdout().size_checked()?;
    Some(columns.into()).filter(|columns| *columns > 0)
}

fn message_of(message: &str) -> String {
    Text::new(false).line(message).as_str().to_owned()
}

/// Standard output or standard error.
struct Stream {
    descriptor: OwnedFd,
    buffer: Vec<u8>,
    /// Counts what was written.
    progress: Arc<AtomicU64>,
}

impl Stream {
    fn line(&mut self, text: &Text) {
        self.buffer.extend_from_slice(text.as_str().as_bytes());
        self.buffer.push(b'\n');
    }

    fn flush(&mut self) {
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() {
            match nix::unistd::write(&self.descriptor, &rest[..rest.len().min(AT_ONCE)]) {
                Ok(count) => {
                    rest = &rest[count..];
                    self.progress.fetch_add(1, Ordering::Relaxed);
                }
                Err(Errno::EINTR) => {}
                // Others that have the same terminal may have set it so.
                Err(Errno::EAGAIN) => {
                    let _ = poll(
                        &mut [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLOUT)],
                        PollTimeout::NONE,
                    );
                }
                // A reader that went away (`sst start | head`) is no reason to stop serving.
                Err(_) => break,
            }
        }
        self.buffer.clear();
    }
}

#[cfg(test)]
mod tests;
