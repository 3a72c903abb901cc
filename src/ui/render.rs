//! What each [`UiEvent`] looks like.

use std::time::Duration;

use owo_colors::Style;

use super::{UiEvent, clock, text::Text};
use crate::ids::{FunctionId, RequestId};

/// One event as text, which may have several lines. What is no text has none.
pub(super) fn render(event: &UiEvent, colour: bool) -> Text {
    let text = Text::new(colour);
    let word = |word: &str, style: Style| Text::new(colour).word(word, style);
    let head = |verb: &str, style: Style, request: &RequestId, function: &FunctionId| {
        let verb = word(&format!("{verb:<8}"), style).line(" ");
        verb.word(&short(request), Style::new().dimmed()).line(" ").line(function.as_str())
    };
    match event {
        UiEvent::Info(message) => text.block(message),
        UiEvent::Warning(message) => word("warning:", Style::new().yellow().bold()).line(" ").block(message),
        UiEvent::Error { message, hint } => error(message, None, hint.as_deref(), colour),
        UiEvent::Fatal { message, detail, hint } => {
            error(message, detail.as_deref(), hint.as_deref(), colour)
        }
        UiEvent::ProgressBegan { message, .. } => text.line("… ").line(message),
        UiEvent::ProgressEnded { message, .. } => word("✓", Style::new().green()).line(" ").line(message),
        UiEvent::ProgressMoved { message, .. } => text.line(message),
        UiEvent::Listening(message) => word(message, Style::new().green().bold()),
        // Without the link; see the printer.
        UiEvent::Console { address, hint, .. } => console(address, None, hint, colour),
        UiEvent::Output { name, value, .. } => {
            word("  ", Style::new()).word(name, Style::new().bold()).line(": ").block(value)
        }
        UiEvent::Request { request, function, source } => {
            head("REQUEST", Style::new().cyan(), request, function).line(" ").line(source)
        }
        UiEvent::Log { request, line, .. } => {
            let id = request.as_ref().map_or_else(|| " ".repeat(8), short);
            text.line(&" ".repeat(9)).word(&id, Style::new().dimmed()).line(" ").log(line)
        }
        UiEvent::Line { at, name, line, .. } => text
            .word(&clock(*at), Style::new().dimmed())
            .line(" ")
            .word(name, Style::new().cyan())
            .line("  ")
            .log(line),
        UiEvent::Response { request, function, took, summary } => {
            let summary = if summary.is_empty() { String::new() } else { format!("{summary} ") };
            let head = head("RESPONSE", Style::new().green(), request, function);
            head.line(" ").line(&summary).line(&format!("({})", milliseconds(*took)))
        }
        UiEvent::Failure { request, function, took, detail } => {
            let head = head("ERROR", Style::new().red(), request, function);
            head.line(&format!(" ({})", milliseconds(*took))).below(detail)
        }
        UiEvent::Paused { request, function, place, left, of } => {
            let place = place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
            // Whole seconds as they are declared: a little of the time belongs to the way back.
            let clock = |time: &Duration| {
                let seconds = time.as_secs_f64().round() as u64;
                format!("{}:{:02}", seconds / 60, seconds % 60)
            };
            let head = head("⏸ PAUSED", Style::new().magenta(), request, function);
            head.line(&place).line(&format!(", with {} of {} left", clock(left), clock(of)))
        }
        UiEvent::CallerGone { request, function } => {
            let head = head("⏸ PAUSED", Style::new().magenta(), request, function);
            head.line(": the caller has stopped waiting (30 s), debugging goes on")
        }
        UiEvent::Rebuilt { function, took } => {
            let head = word(&format!("{:<8}", "BUILT"), Style::new().blue()).line(" ");
            head.line(function.as_str()).line(&format!(" ({})", milliseconds(*took)))
        }
        UiEvent::BuildFailed { function, detail, still_serving } => {
            let serving = if *still_serving { "; the last good code keeps serving" } else { "" };
            let head = word(&format!("{:<8}", "BROKEN"), Style::new().red()).line(" ");
            head.line(function.as_str()).line(" does not build").line(serving).below(detail)
        }
        UiEvent::Infrastructure { changes } => {
            let changes = changes.iter().map(|change| Text::new(colour).line("  ").line(change));
            changes.fold(text.line("The infrastructure has changed:"), |all, change| all.then().and(change))
        }
        UiEvent::Question(question) => text.block(question),
        // Only for terminals; see the printer.
        UiEvent::Result(bytes) => text.result(&String::from_utf8_lossy(bytes)),
        UiEvent::Diagnostic(line) => text.log(line),
        UiEvent::Dropped { output, others } => {
            let output = match output {
                0 => None,
                1 => Some("1 line of output".to_owned()),
                many => Some(format!("{many} lines of output")),
            };
            let others = match others {
                0 => None,
                1 => Some("1 message".to_owned()),
                many => Some(format!("{many} messages")),
            };
            let what = output.into_iter().chain(others).collect::<Vec<_>>().join(" and ");
            let head = word("warning:", Style::new().yellow().bold());
            head.line(&format!(" {what} dropped here, because nobody has read them"))
        }
        UiEvent::ProgressFailed { .. } | UiEvent::End => text,
    }
}

/// Where the page is; with a `link` the address is one that leads there.
pub(super) fn console(address: &str, link: Option<&str>, hint: &str, colour: bool) -> Text {
    let text = Text::new(colour).line("Console at ");
    let text = match link {
        Some(link) => text.link(address, link),
        None => text.line(address),
    };
    text.line(" (").line(hint).line(")")
}

fn error(message: &str, detail: Option<&str>, hint: Option<&str>, colour: bool) -> Text {
    let mut text = Text::new(colour).word("error:", Style::new().red().bold()).line(" ").block(message);
    if let Some(detail) = detail {
        text = text.then().below(detail);
    }
    if let Some(hint) = hint {
        let text_above = if detail.is_some() { text.then() } else { text };
        text = text_above.then().word("hint:", Style::new().cyan().bold()).line(" ").block(hint);
    }
    text
}

/// The first part of a request id: enough to tell apart what is on one screen.
fn short(request: &RequestId) -> String {
    request.as_str().chars().take(8).collect()
}

fn milliseconds(duration: Duration) -> String {
    super::milliseconds(duration.as_secs_f64() * 1000.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::text::is_obeyed, *};

    fn plain(event: &UiEvent) -> String {
        render(event, false).as_str().to_owned()
    }

    #[test]
    fn an_invocation_reads_as_three_lines_with_one_id() {
        let request = RequestId::from("1a2b3c4d-0000-4000-8000-000000000000");
        let function = FunctionId::from("api/List");
        let events = [
            UiEvent::Request {
                request: request.clone(),
                function: function.clone(),
                source: "API GET /notes".into(),
            },
            UiEvent::Log { request: Some(request.clone()), function: function.clone(), line: "hello".into() },
            UiEvent::Response { request, function, took: Duration::from_micros(4200), summary: "200".into() },
        ];
        let text: Vec<String> = events.iter().map(plain).collect();
        assert_eq!(
            text.join("\n"),
            "REQUEST  1a2b3c4d api/List API GET /notes\n         1a2b3c4d hello\nRESPONSE 1a2b3c4d api/List 200 (4.2 ms)"
        );
    }

    #[test]
    fn an_error_has_its_detail_indented_and_its_hint_at_the_end() {
        let event = |detail: Option<&str>| UiEvent::Fatal {
            message: "the app does not synthesise".into(),
            detail: detail.map(str::to_owned),
            hint: Some("look".into()),
        };
        let expected = "error: the app does not synthesise\n\n         one\n         two\n\nhint: look";
        assert_eq!(plain(&event(Some("one\ntwo\n"))), expected);
        assert_eq!(plain(&event(None)), "error: the app does not synthesise\nhint: look");
    }

    /// Every kind of event, with `text` wherever it has a text from outside.
    pub(in crate::ui) fn events(text: &str) -> Vec<UiEvent> {
        let (message, function) = (text.to_owned(), FunctionId::from(text));
        let (request, took) = (RequestId::from(text), Duration::from_millis(5));
        let all = vec![
            UiEvent::Info(message.clone()),
            UiEvent::Listening(message.clone()),
            UiEvent::Warning(message.clone()),
            UiEvent::Error { message: message.clone(), hint: Some(message.clone()) },
            UiEvent::ProgressBegan { key: "k", message: message.clone() },
            UiEvent::ProgressMoved { key: "k", message: message.clone() },
            UiEvent::ProgressEnded { key: "k", message: message.clone() },
            UiEvent::ProgressFailed { key: "k" },
            UiEvent::Console { address: message.clone(), link: message.clone(), hint: message.clone() },
            UiEvent::Output { stack: message.clone(), name: message.clone(), value: message.clone() },
            UiEvent::Request {
                request: request.clone(),
                function: function.clone(),
                source: message.clone(),
            },
            UiEvent::Log {
                request: Some(request.clone()),
                function: function.clone(),
                line: message.clone(),
            },
            UiEvent::Log { request: None, function: function.clone(), line: message.clone() },
            UiEvent::Line {
                at: 0,
                request: Some(request.clone()),
                function: function.clone(),
                name: message.clone(),
                line: message.clone(),
            },
            UiEvent::Response {
                request: request.clone(),
                function: function.clone(),
                took,
                summary: message.clone(),
            },
            UiEvent::Failure {
                request: request.clone(),
                function: function.clone(),
                took,
                detail: message.clone(),
            },
            UiEvent::Paused {
                request: request.clone(),
                function: function.clone(),
                place: Some(message.clone()),
                left: took,
                of: took,
            },
            UiEvent::CallerGone { request, function: function.clone() },
            UiEvent::Rebuilt { function: function.clone(), took },
            UiEvent::BuildFailed { function: function.clone(), detail: message.clone(), still_serving: true },
            UiEvent::Infrastructure { changes: vec![message.clone()] },
            UiEvent::Question(message.clone()),
            UiEvent::Result(message.clone().into_bytes()),
            UiEvent::Fatal {
                message: message.clone(),
                detail: Some(message.clone()),
                hint: Some(message.clone()),
            },
            UiEvent::Diagnostic(message),
            UiEvent::Dropped { output: 1, others: 2 },
            UiEvent::End,
        ];
        // Whoever adds a kind is told by the compiler to add it above as well.
        for event in &all {
            match event {
                UiEvent::Info(_)
                | UiEvent::Listening(_)
                | UiEvent::Warning(_)
                | UiEvent::Error { .. }
                | UiEvent::ProgressBegan { .. } => {}
                UiEvent::Console { .. }
                | UiEvent::ProgressMoved { .. }
                | UiEvent::ProgressEnded { .. }
                | UiEvent::ProgressFailed { .. } => {}
                UiEvent::Output { .. }
                | UiEvent::Request { .. }
                | UiEvent::Log { .. }
                | UiEvent::Line { .. }
                | UiEvent::Response { .. } => {}
                UiEvent::Failure { .. } | UiEvent::Paused { .. } | UiEvent::CallerGone { .. } => {}
                UiEvent::Rebuilt { .. } | UiEvent::BuildFailed { .. } | UiEvent::Result(_) => {}
                UiEvent::Infrastructure { .. } | UiEvent::Question(_) => {}
                UiEvent::Fatal { .. } | UiEvent::Diagnostic(_) | UiEvent::Dropped { .. } | UiEvent::End => {}
            }
        }
        all
    }

    #[test]
    fn nothing_from_outside_is_obeyed_by_the_terminal() {
        let sequences = [
            "\x1b[2J\x1b[H",
            "\x1b]52;c;bHM=\x07",
            "\x1bP+q544e\x1b\\",
            "\x1b[>4;2m",
            "\u{9b}2J",
            "\u{9d}0;t\u{9c}",
            "\r\nRESPONSE 1a2b3c4d api/List 200 (1 ms)\r\n",
            "\rRESPONSE 1a2b3c4d api/List 200 (1 ms)",
            "\x08\x08\x08\x08",
        ];
        let characters =
            (0..=char::MAX as u32).filter_map(char::from_u32).filter(|character| is_obeyed(*character));
        let hostile = sequences.iter().map(|&text| text.to_owned()).chain(characters.map(String::from));
        for hostile in hostile {
            for event in events(&format!("a{hostile}b")) {
                let shown = plain(&event);
                let standing = matches!(event, UiEvent::Result(_));
                for (index, line) in shown.split('\n').enumerate() {
                    let tab = |character: char| character == '\t';
                    let obeyed = line.chars().find(|character| is_obeyed(*character) && !tab(*character));
                    assert_eq!(obeyed, None, "{event:?}: {shown:?}");
                    let is_change =
                        matches!(event, UiEvent::Infrastructure { .. }) && line.starts_with("  a");
                    let ours = index == 0
                        || standing
                        || is_change
                        || line.is_empty()
                        || line.starts_with("         ");
                    assert!(ours || line.starts_with("hint: a"), "{event:?}: {shown:?}");
                }
            }
        }
    }

    #[test]
    fn only_a_functions_own_lines_have_colours_that_are_not_ours() {
        for event in events("a\x1b[41mb") {
            let shown = render(&event, true).as_str().to_owned();
            match event {
                UiEvent::Log { .. } | UiEvent::Line { .. } | UiEvent::Diagnostic(_) => {
                    assert!(shown.ends_with("a\x1b[41mb\x1b[0m"), "{shown:?}")
                }
                _ => assert!(!shown.contains("\x1b[41m"), "{event:?}: {shown:?}"),
            }
        }
    }

    #[test]
    fn what_was_dropped_is_counted() {
        let table = [
            ((1, 0), "warning: 1 line of output dropped here, because nobody has read them"),
            ((2, 1), "warning: 2 lines of output and 1 message dropped here, because nobody has read them"),
            ((0, 3), "warning: 3 messages dropped here, because nobody has read them"),
        ];
        for ((output, others), expected) in table {
            assert_eq!(plain(&UiEvent::Dropped { output, others }), expected);
        }
    }
}
