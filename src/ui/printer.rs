//! Turns [`UiEvent`]s into lines, and progress into bars where there is a terminal.
#![expect(clippy::print_stdout, reason = "this is the one place that writes to the terminal")]

use std::{
    collections::HashMap,
    io::{IsTerminal, Write},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::{OwoColorize, Style};
use tokio::sync::mpsc;

use super::UiEvent;
use crate::ids::RequestId;

/// How the terminal is written to.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether colours are wanted; see [`Options::detect`].
    pub colour: bool,
    /// Whether progress is drawn as bars.
    pub bars: bool,
}

impl Options {
    /// Colours and bars only where both make sense: on a terminal, and without `NO_COLOR` (<https://no-color.org>) or
    /// `--no-color`.
    #[must_use]
    pub fn detect(no_color: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let unwanted = no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { colour: terminal && !unwanted && !dumb, bars: terminal && !dumb }
    }
}

/// Prints until [`UiEvent::End`].
pub async fn print(mut events: mpsc::UnboundedReceiver<UiEvent>, options: Options) {
    let mut printer = Printer { options, bars: MultiProgress::new(), running: HashMap::new() };
    if !options.bars {
        printer.bars.set_draw_target(ProgressDrawTarget::hidden());
    }
    while let Some(event) = events.recv().await {
        // Some task may hold a handle for as long as the program lives, so the end of the channel is not waited for.
        if event == UiEvent::End {
            break;
        }
        printer.show(event);
    }
    for (_, bar) in printer.running.drain() {
        bar.finish_and_clear();
    }
}

struct Printer {
    options: Options,
    bars: MultiProgress,
    running: HashMap<&'static str, ProgressBar>,
}

impl Printer {
    fn show(&mut self, event: UiEvent) {
        match event {
            UiEvent::ProgressBegan { key, message } => {
                if !self.options.bars {
                    return self.line(&format!("… {message}"));
                }
                let bar = self.bars.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
                    bar.set_style(style);
                }
                bar.set_message(message);
                bar.enable_steady_tick(Duration::from_millis(100));
                self.running.insert(key, bar);
            }
            UiEvent::ProgressMoved { key, message } => {
                if let Some(bar) = self.running.get(key) {
                    bar.set_message(message);
                }
            }
            UiEvent::ProgressEnded { key, message } => {
                self.clear(key);
                let mark = self.paint("✓", Style::new().green());
                self.line(&format!("{mark} {message}"));
            }
            UiEvent::ProgressFailed { key } => self.clear(key),
            event => {
                let text = self.render(&event);
                self.line(&text);
            }
        }
    }

    fn clear(&mut self, key: &str) {
        if let Some(bar) = self.running.remove(key) {
            bar.finish_and_clear();
        }
    }

    /// One event as text, which may have several lines.
    fn render(&self, event: &UiEvent) -> String {
        let paint = |text: &str, style: Style| self.paint(text, style);
        let head = |word: &str, style: Style, request: &RequestId| {
            format!(
                "{} {}",
                paint(&format!("{word:<8}"), style),
                paint(&short(request), Style::new().dimmed())
            )
        };
        match event {
            UiEvent::Info(text) => text.clone(),
            UiEvent::Warning(text) => format!("{} {text}", paint("warning:", Style::new().yellow().bold())),
            UiEvent::Error { message, hint } => {
                let mut text = format!("{} {message}", paint("error:", Style::new().red().bold()));
                if let Some(hint) = hint {
                    text += &format!("\n{} {hint}", paint("hint:", Style::new().cyan().bold()));
                }
                text
            }
            UiEvent::Output { name, value, .. } => format!("  {name}: {value}"),
            UiEvent::Request { request, function, source } => {
                format!("{} {function} {source}", head("REQUEST", Style::new().cyan(), request))
            }
            UiEvent::Log { request, line, .. } => {
                let id = request.as_ref().map_or_else(|| " ".repeat(8), short);
                format!("{:<8} {} {line}", "", paint(&id, Style::new().dimmed()))
            }
            UiEvent::Response { request, function, took, summary } => {
                let summary = if summary.is_empty() { String::new() } else { format!("{summary} ") };
                let took = milliseconds(*took);
                format!("{} {function} {summary}({took})", head("RESPONSE", Style::new().green(), request))
            }
            UiEvent::Failure { request, function, took, detail } => {
                let took = milliseconds(*took);
                let head = head("ERROR", Style::new().red(), request);
                format!("{head} {function} ({took})\n{}", indent(detail))
            }
            UiEvent::Paused { request, function, place, left, of } => {
                let place = place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
                // Whole seconds as they are declared: a little of the time belongs to the way back.
                let clock = |time: &Duration| {
                    let seconds = time.as_secs_f64().round() as u64;
                    format!("{}:{:02}", seconds / 60, seconds % 60)
                };
                let head = head("⏸ PAUSED", Style::new().magenta(), request);
                format!("{head} {function}{place}, with {} of {} left", clock(left), clock(of))
            }
            UiEvent::CallerGone { request, function } => format!(
                "{} {function}: the caller has stopped waiting (30 s), debugging goes on",
                head("⏸ PAUSED", Style::new().magenta(), request)
            ),
            UiEvent::Rebuilt { function, took } => format!(
                "{} {function} ({})",
                paint(&format!("{:<8}", "BUILT"), Style::new().blue()),
                milliseconds(*took)
            ),
            UiEvent::BuildFailed { function, detail, still_serving } => {
                let serving = if *still_serving { "; the last good code keeps serving" } else { "" };
                let word = paint(&format!("{:<8}", "BROKEN"), Style::new().red());
                format!("{word} {function} does not build{serving}\n{}", indent(detail))
            }
            UiEvent::ProgressBegan { .. }
            | UiEvent::ProgressMoved { .. }
            | UiEvent::ProgressEnded { .. }
            | UiEvent::ProgressFailed { .. }
            | UiEvent::End => String::new(),
        }
    }

    fn paint(&self, text: &str, style: Style) -> String {
        if self.options.colour { text.style(style).to_string() } else { text.to_owned() }
    }

    fn line(&self, text: &str) {
        // A reader that went away (`sst start | head`) is no reason to stop serving.
        self.bars.suspend(|| {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{text}");
            let _ = out.flush();
        });
    }
}

/// The first part of a request id: enough to tell apart what is on one screen.
fn short(request: &RequestId) -> String {
    request.as_str().chars().take(8).collect()
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("         {line}")).collect::<Vec<_>>().join("\n")
}

fn milliseconds(duration: Duration) -> String {
    let milliseconds = duration.as_secs_f64() * 1000.0;
    if milliseconds < 10.0 { format!("{milliseconds:.1} ms") } else { format!("{milliseconds:.0} ms") }
}

/// Prints a text to standard output, for commands whose output is the result itself.
pub fn result(text: &str) {
    println!("{text}");
}

/// Prints an error that ends the program to standard error.
#[expect(clippy::print_stderr, reason = "this is the one place that writes to the terminal")]
pub fn error(error: &crate::error::Error, no_color: bool) {
    let colour = !no_color
        && std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let paint =
        |text: &str, style: Style| if colour { text.style(style).to_string() } else { text.to_owned() };
    eprintln!("{} {}", paint("error:", Style::new().red().bold()), error.message);
    if let Some(detail) = &error.detail {
        eprintln!("\n{}", detail.trim_end());
    }
    if let Some(hint) = &error.hint {
        eprintln!("\n{} {hint}", paint("hint:", Style::new().cyan().bold()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(event: &UiEvent) -> String {
        let printer = Printer {
            options: Options { colour: false, bars: false },
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
            running: HashMap::new(),
        };
        printer.render(event)
    }

    #[test]
    fn an_invocation_reads_as_three_lines_with_one_id() {
        let request = RequestId::from("1a2b3c4d-0000-4000-8000-000000000000");
        let function = crate::ids::FunctionId::from("api/List");
        let events = [
            UiEvent::Request {
                request: request.clone(),
                function: function.clone(),
                source: "API GET /notes".into(),
            },
            UiEvent::Log { request: Some(request.clone()), function: function.clone(), line: "hello".into() },
            UiEvent::Response { request, function, took: Duration::from_micros(4200), summary: "200".into() },
        ];
        let text: Vec<String> = events.iter().map(render).collect();
        assert_eq!(
            text.join("\n"),
            "REQUEST  1a2b3c4d api/List API GET /notes\n         1a2b3c4d hello\nRESPONSE 1a2b3c4d api/List 200 (4.2 ms)"
        );
    }
}
