//! The printer with readers that read, and those that do not.

use std::io::{PipeReader, Read};

use serde_json::Value;

use super::*;

const PLAIN: Options =
    Options { colour: false, error_colour: false, terminal: false, bars: false, format: Format::Text };

/// A printer, and what reads its standard output and standard error.
fn printer(options: Options) -> (Ui, Printing, PipeReader, PipeReader) {
    let (output, output_end) = io::pipe().unwrap();
    let (error, error_end) = io::pipe().unwrap();
    let (ui, printing) = start_on(options, WORD, output_end.into(), error_end.into()).unwrap();
    (ui, printing, output, error)
}

/// Everything that is said, by an orderly end.
async fn said(options: Options, events: impl IntoIterator<Item = UiEvent>) -> (Vec<u8>, Vec<u8>) {
    let (ui, printing, mut output, mut error) = printer(options);
    events.into_iter().for_each(|event| ui.send(event));
    ui.send(UiEvent::End);
    printing.finish(&CancellationToken::new()).await;
    let (mut standard, mut errors) = (Vec::new(), Vec::new());
    output.read_to_end(&mut standard).unwrap();
    error.read_to_end(&mut errors).unwrap();
    (standard, errors)
}

fn log(number: u64) -> UiEvent {
    UiEvent::Log { request: None, function: "f".into(), line: format!("{number} {}", "x".repeat(100)) }
}

#[tokio::test]
async fn a_result_goes_to_a_program_byte_for_byte_and_to_a_terminal_as_text() {
    let bytes = b"\x1b[2J\r\n\xff\tend".to_vec();
    let event = || [UiEvent::Result(bytes.clone())];
    assert_eq!(said(PLAIN, event()).await.0, [&bytes[..], b"\n"].concat());
    let terminal = Options { terminal: true, ..PLAIN };
    let shown = "\\u{1b}[2J\\r\n\u{fffd}\tend\n";
    assert_eq!(String::from_utf8(said(terminal, event()).await.0).unwrap(), shown);
}

#[tokio::test]
async fn errors_and_diagnostics_go_to_standard_error() {
    let fatal = UiEvent::Fatal { message: "no\x07".into(), detail: None, hint: None };
    let (output, error) =
        said(PLAIN, [UiEvent::Info("yes".into()), UiEvent::Diagnostic("debug".into()), fatal]).await;
    assert_eq!(output, b"yes\n");
    assert_eq!(error, b"debug\nerror: no\\u{7}\n");
}

#[tokio::test]
async fn a_reader_that_comes_back_is_told_what_it_has_missed() {
    let (ui, printing, mut output, _error) = printer(PLAIN);
    let begin = Instant::now();
    let count = 400_000;
    for number in 0..count {
        ui.send(log(number));
    }
    ui.send(UiEvent::Warning("still here".into()));
    ui.send(UiEvent::End);
    assert!(begin.elapsed() < Duration::from_secs(30), "nobody waits for a reader");
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        text
    });
    printing.finish(&CancellationToken::new()).await;
    let text = read.join().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let dropped: Vec<u64> = lines
        .iter()
        .filter_map(|line| {
            line.strip_prefix("warning: ")?
                .strip_suffix(" lines of output dropped here, because nobody has read them")
        })
        .map(|number| number.parse().unwrap())
        .collect();
    assert!(!dropped.is_empty());
    // All that was written and all that was dropped is all there was.
    let warnings = dropped.len() as u64 + 1;
    assert_eq!(lines.len() as u64 - warnings + dropped.iter().sum::<u64>(), count);
    assert_eq!(lines.last(), Some(&"warning: still here"));
}

#[tokio::test]
async fn a_program_gets_objects_only_and_is_told_what_it_has_missed() {
    let options = Options { format: Format::Json, ..PLAIN };
    let (ui, printing, mut output, mut error) = printer(options);
    let count = 400_000;
    for number in 0..count {
        ui.send(log(number));
    }
    ui.send(UiEvent::ProgressBegan { key: "k", message: "Deploying".into() });
    ui.send(UiEvent::Diagnostic("debug".into()));
    ui.send(UiEvent::Fatal { message: "no".into(), detail: None, hint: None });
    ui.send(UiEvent::End);
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        text
    });
    printing.finish(&CancellationToken::new()).await;
    let text = read.join().unwrap();
    let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| objects.iter().filter(|object| object["type"] == kind).collect::<Vec<_>>();
    let dropped = of("dropped");
    assert!(!dropped.is_empty());
    let missed: u64 = dropped.iter().map(|one| one["output"].as_u64().unwrap()).sum();
    // The diagnostic is output as well, and comes after all that was dropped.
    assert_eq!(of("log").len() as u64 + missed, count);
    assert!(objects.is_sorted_by_key(|object| object["at"].as_u64()), "in the order in which they were sent");
    let last: Vec<&str> = objects.iter().rev().take(2).map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(last, ["fatal", "progress"]);
    let mut errors = String::new();
    error.read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "debug\n");
}

#[tokio::test]
async fn in_a_hurry_nobody_waits_for_a_reader_that_does_not_read() {
    let (ui, printing, output, _error) = printer(PLAIN);
    for number in 0..10_000 {
        ui.send(log(number));
    }
    ui.send(UiEvent::End);
    let hurry = CancellationToken::new();
    let begin = Instant::now();
    let finish = printing.finish(&hurry);
    tokio::pin!(finish);
    let waited = tokio::time::timeout(Duration::from_millis(50), &mut finish).await;
    assert!(waited.is_err(), "without one it waits");
    hurry.cancel();
    finish.await;
    assert!(begin.elapsed() < FAREWELL, "{:?}", begin.elapsed());
    drop(output);
}

#[tokio::test]
async fn a_reader_that_went_away_is_no_reason_to_stop() {
    let (ui, printing, output, mut error) = printer(PLAIN);
    drop(output);
    ui.info("nobody");
    ui.send(UiEvent::Fatal { message: "somebody".into(), detail: None, hint: None });
    ui.send(UiEvent::End);
    printing.finish(&CancellationToken::new()).await;
    let mut text = String::new();
    error.read_to_string(&mut text).unwrap();
    assert_eq!(text, "error: somebody\n");
}

#[test]
fn without_bars_there_is_a_word_now_and_then_of_what_takes_long_and_none_when_it_has_ended() {
    let (output, output_end) = io::pipe().unwrap();
    let (_error, error_end) = io::pipe().unwrap();
    let (ui, printing) =
        start_on(PLAIN, Duration::from_millis(5), output_end.into(), error_end.into()).unwrap();
    let mut lines = io::BufRead::lines(io::BufReader::new(output)).map(Result::unwrap);
    ui.send(UiEvent::ProgressBegan { key: "a", message: "Deploying".into() });
    assert_eq!(lines.next().unwrap(), "… Deploying");
    assert_eq!(lines.next().unwrap(), "… Deploying (0 s)");
    assert_eq!(lines.next().unwrap(), "… Deploying (0 s)");
    ui.send(UiEvent::ProgressMoved { key: "a", message: "Half of it".into() });
    assert!(lines.any(|line| line == "… Half of it (0 s)"));
    ui.send(UiEvent::ProgressEnded { key: "a", message: "Deployed".into() });
    assert!(lines.any(|line| line == "✓ Deployed"));
    ui.send(UiEvent::ProgressBegan { key: "b", message: "Another".into() });
    assert_eq!(lines.next().unwrap(), "… Another");
    assert_eq!(lines.next().unwrap(), "… Another (0 s)");
    ui.send(UiEvent::End);
    printing.wait();
}
