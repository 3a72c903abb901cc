//! What can be shown.

use std::time::Duration;

use crate::ids::{FunctionId, RequestId};

/// Something to show. Texts carry no colours and no trailing line break; the printer adds both. They may come from outside as they
/// are: the printer makes them harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UiEvent {
    /// A fact worth a line.
    Info(String),
    /// Something the user should know and can live with.
    Warning(String),
    /// Something went wrong; `hint` says what to do.
    Error { message: String, hint: Option<String> },
    /// Something long begins; shown as a progress bar on a terminal, as a line elsewhere. `key` names it.
    ProgressBegan { key: &'static str, message: String },
    /// The same thing went on; `message` replaces the former.
    ProgressMoved { key: &'static str, message: String },
    /// The same thing ended well; `message` stays as a line.
    ProgressEnded { key: &'static str, message: String },
    /// The same thing failed; what follows is an error event of its own.
    ProgressFailed { key: &'static str },
    /// Everything is in place, and calls are answered.
    Listening(String),
    /// The session's page. `link` is its address with the token, which nobody sees: it is what a click opens on a terminal that knows
    /// links. `hint` says how else it is opened.
    Console { address: String, link: String, hint: String },
    /// A stack output.
    Output { stack: String, name: String, value: String },
    /// A request arrived. `source` describes the event, e.g. `API GET /notes`.
    Request { request: RequestId, function: FunctionId, source: String },
    /// The function wrote a line.
    Log { request: Option<RequestId>, function: FunctionId, line: String },
    /// A line that a function wrote at some time, in milliseconds since 1970, whoever serves it. `name` is what the function is called in
    /// a line.
    Line { at: u64, request: Option<RequestId>, function: FunctionId, name: String, line: String },
    /// A request was answered.
    Response { request: RequestId, function: FunctionId, took: Duration, summary: String },
    /// A request failed. `detail` is the error with its stack.
    Failure { request: RequestId, function: FunctionId, took: Duration, detail: String },
    /// A debugger stopped a function; its clock stands still with `left` of `of` to go. `place` is a file and a line.
    Paused { request: RequestId, function: FunctionId, place: Option<String>, left: Duration, of: Duration },
    /// The caller of a function that is paused has stopped waiting for it.
    CallerGone { request: RequestId, function: FunctionId },
    /// A function was built anew.
    Rebuilt { function: FunctionId, took: Duration },
    /// A build failed; the text has file, line, and code frame.
    BuildFailed { function: FunctionId, detail: String, still_serving: bool },
    /// The stacks on disk differ from what is deployed: a sentence for each difference.
    Infrastructure { changes: Vec<String> },
    /// Something that waits for a line on standard input. An empty line, which is ENTER, is a yes.
    Question(String),
    /// What a command was asked for. To a terminal it goes as text, to anything else byte for byte.
    Result(Vec<u8>),
    /// An error that ends the program; goes to standard error.
    Fatal { message: String, detail: Option<String>, hint: Option<String> },
    /// What `--verbose` asks for; goes to standard error.
    Diagnostic(String),
    /// So many lines of functions, and so many others, were dropped here, because nobody read them.
    Dropped { output: u64, others: u64 },
    /// Nothing is shown after this.
    End,
}
