//! The last lines that functions have written, in order: for whoever reads along.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use super::{
    Fact,
    call::millis,
    mask::{Mask, Secrets},
    record::is_named,
};
use crate::{
    core::{
        effect::Answer,
        event::{Invocation, StreamPart},
    },
    ids::{FunctionId, RequestId},
    ui::UiEvent,
};

/// How much memory they take at most, in bytes.
const MOST: usize = 4 << 20;

/// How much is read at once, in bytes.
const AT_ONCE: usize = 64 * 1024;

/// A line as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogLine {
    /// The number of the line in this session.
    pub change: u64,
    /// When it was written, in milliseconds since 1970.
    pub at: u64,
    /// The request id of the call that has written it; none for what was written between calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The function's id.
    pub function: String,
    /// Without a line break, and without secrets.
    pub text: String,
}

/// Some of the lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The number from which to go on.
    pub change: u64,
    /// How many lines, of all functions, are not kept any more that came before these.
    pub missed: u64,
    pub lines: Vec<LogLine>,
    /// Whether there were more when these were read.
    pub more: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lines {
    mask: Mask,
    lines: VecDeque<Written>,
    bytes: usize,
    /// The number of the last line.
    last: u64,
    /// The secrets of the calls that are open. Credentials differ from call to call.
    open: HashMap<RequestId, Arc<Secrets>>,
    /// Those of each function's last call.
    latest: HashMap<FunctionId, Arc<Secrets>>,
}

/// A line as it was.
#[derive(Debug, Clone)]
struct Written {
    at: u64,
    request: Option<RequestId>,
    function: FunctionId,
    text: Arc<str>,
    secrets: Arc<Secrets>,
}

/// What was found, and not masked yet, which takes its time.
#[derive(Debug)]
pub(super) struct Found {
    batch: Batch,
    lines: Vec<(u64, Written)>,
}

impl Lines {
    /// None yet.
    pub(super) fn new(mask: Mask) -> Self {
        Self { mask, lines: VecDeque::new(), bytes: 0, last: 0, open: HashMap::new(), latest: HashMap::new() }
    }

    /// Takes in what has happened.
    pub(super) fn take_in(&mut self, at: SystemTime, fact: &Fact) {
        match fact {
            Fact::Arrived(invocation) => {
                let Invocation { request, function, environment, .. } = invocation.as_ref();
                self.arrived(request, function, environment);
            }
            Fact::Told(UiEvent::Log { request, function, line }) => {
                self.wrote(at, request.as_ref(), function, line);
            }
            Fact::Answered { request, answer: Answer::Outcome(_) | Answer::Part(StreamPart::End { .. }) } => {
                self.open.remove(request);
            }
            _ => {}
        }
    }

    fn arrived(
        &mut self,
        request: &RequestId,
        function: &FunctionId,
        environment: &BTreeMap<String, String>,
    ) {
        let secrets = Arc::new(self.mask.secrets_of(environment));
        self.open.insert(request.clone(), secrets.clone());
        self.latest.insert(function.clone(), secrets);
    }

    fn wrote(&mut self, at: SystemTime, request: Option<&RequestId>, function: &FunctionId, text: &str) {
        let of_call = request.and_then(|request| self.open.get(request));
        let secrets = of_call.or_else(|| self.latest.get(function)).cloned().unwrap_or_default();
        self.bytes += weight(text);
        self.lines.push_back(Written {
            at: millis(at),
            request: request.cloned(),
            function: function.clone(),
            text: text.into(),
            secrets,
        });
        self.last += 1;
        while self.bytes > MOST
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= weight(&oldest.text);
        }
    }

    /// The number of the last line.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The lines behind a number, as many as are read at once: of a function, by its id or the end of it, or of all.
    pub(super) fn since(&self, after: u64, function: Option<&str>) -> Found {
        // A number that is not reached yet is one of another session.
        let after = if after > self.last { 0 } else { after };
        let kept = u64::try_from(self.lines.len()).unwrap_or_default();
        let before = self.last - kept;
        let skipped = usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX);
        let mut batch = Batch { change: self.last, missed: before.saturating_sub(after), ..Batch::default() };
        let (mut lines, mut bytes) = (Vec::new(), 0);
        for (number, line) in (before.max(after) + 1..).zip(self.lines.iter().skip(skipped)) {
            if bytes >= AT_ONCE {
                (batch.change, batch.more) = (number - 1, true);
                break;
            }
            if function.is_none_or(|name| is_named(line.function.as_str(), name)) {
                bytes += weight(&line.text);
                lines.push((number, line.clone()));
            }
        }
        Found { batch, lines }
    }
}

impl Found {
    /// It as others see it.
    pub(super) fn masked(self) -> Batch {
        let Self { batch, lines } = self;
        let mask = Mask::default();
        let masked = |(change, line): (u64, Written)| LogLine {
            change,
            at: line.at,
            id: line.request.map(|request| request.to_string()),
            function: line.function.to_string(),
            text: mask.text(&line.text, &line.secrets),
        };
        Batch { lines: lines.into_iter().map(masked).collect(), ..batch }
    }
}

/// About how many bytes a line takes.
fn weight(text: &str) -> usize {
    text.len() + size_of::<Written>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Lines {
        Lines::new(Mask::default())
    }

    fn texts(batch: &Batch) -> Vec<&str> {
        batch.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn lines_are_read_from_where_a_reader_left_off() {
        let mut lines = lines();
        for number in 1..=5 {
            let function = if number % 2 == 0 { "api/Even" } else { "api/Odd" };
            lines.wrote(SystemTime::UNIX_EPOCH, None, &function.into(), &number.to_string());
        }
        let read = |after, function| lines.since(after, function).masked();
        assert_eq!(texts(&read(0, None)), ["1", "2", "3", "4", "5"]);
        assert_eq!(texts(&read(3, None)), ["4", "5"]);
        assert_eq!(texts(&read(1, Some("Odd"))), ["3", "5"]);
        assert_eq!(texts(&read(0, Some("api/Even"))), ["2", "4"]);
        assert_eq!(texts(&read(0, Some("dd"))), [""; 0]);
        assert_eq!(read(5, None), Batch { change: 5, ..Batch::default() });
        assert_eq!(texts(&read(9, None)), ["1", "2", "3", "4", "5"], "9 is of another session");
        assert_eq!(read(0, None).lines[1].change, 2);
    }

    #[test]
    fn memory_is_bounded_and_what_is_missed_is_counted() {
        let mut lines = lines();
        let count = 10_000;
        let text = "x".repeat(1000);
        for _ in 0..count {
            lines.wrote(SystemTime::now(), None, &"f".into(), &text);
        }
        assert!(lines.bytes <= MOST && lines.bytes > MOST / 2);
        let (mut after, mut read, mut missed) = (0, 0, 0);
        loop {
            let batch = lines.since(after, None).masked();
            assert!(batch.lines.len() * text.len() <= AT_ONCE);
            after = batch.change;
            read += batch.lines.len() as u64;
            missed += batch.missed;
            if !batch.more {
                break;
            }
        }
        assert_eq!((after, read + missed), (count, count));
        assert!(missed > 0);
    }

    #[test]
    fn a_line_has_no_secret_of_its_call_or_of_the_last_call_of_its_function() {
        let mut lines = lines();
        let variables = |secret: &str| [("TOKEN".to_owned(), secret.to_owned())].into_iter().collect();
        lines.arrived(&"1".into(), &"f".into(), &variables("first-secret"));
        lines.arrived(&"2".into(), &"f".into(), &variables("second-secret"));
        let text = "first-secret and second-secret";
        for request in [Some(&"1".into()), Some(&"2".into()), None] {
            lines.wrote(SystemTime::now(), request, &"f".into(), text);
        }
        lines.wrote(SystemTime::now(), None, &"g".into(), text);
        let expected = ["*** and second-secret", "first-secret and ***", "first-secret and ***", text];
        assert_eq!(texts(&lines.since(0, None).masked()), expected);
    }
}
