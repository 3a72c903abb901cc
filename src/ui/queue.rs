//! What waits to be shown. It is bounded, and nobody waits for room in it.
//!
//! A terminal that nobody reads (a pager, a pane that was stopped) must hold up no call and take no memory. So when more is waiting
//! than a reader would want to read, the oldest is dropped, and what is dropped is told where it is missing. What functions write does
//! not push out what is said of their calls.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::sync::Notify;

use super::event::UiEvent;

/// How many bytes of a kind may wait. When it is more, half of it is dropped at once, so that there is one gap rather than many.
const MOST: usize = 16 * 1024 * 1024;

/// How many bytes are taken at once.
const AT_ONCE: usize = 32 * 1024;

/// The receiving end.
#[derive(Debug)]
pub struct Events {
    queue: Arc<Queue>,
}

/// There is nothing to receive now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Empty;

impl Events {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }

    /// Waits for the next event.
    pub async fn recv(&mut self) -> UiEvent {
        self.any().await.event
    }

    /// Waits until there is an event.
    async fn any(&mut self) -> Sent {
        loop {
            if let Some(sent) = self.queue.lock().pop() {
                return sent;
            }
            self.queue.came.notified().await;
        }
    }

    /// The next event.
    ///
    /// # Errors
    /// When there is none yet.
    pub fn try_recv(&mut self) -> Result<UiEvent, Empty> {
        self.queue.lock().pop().map(|sent| sent.event).ok_or(Empty)
    }

    /// Waits for the next event, and takes some of those that are there then.
    pub(super) async fn some(&mut self) -> Vec<Sent> {
        let mut taken = vec![self.any().await];
        let mut waiting = self.queue.lock();
        let mut bytes = weight(&taken[0].event);
        while bytes < AT_ONCE
            && let Some(sent) = waiting.pop()
        {
            bytes += weight(&sent.event);
            taken.push(sent);
        }
        taken
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let mut waiting = self.queue.lock();
        *waiting = Waiting { closed: true, ..Waiting::default() };
    }
}

/// What is between the handles and the receiver.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    came: Notify,
}

impl Queue {
    /// Adds an event, and drops others if it has to.
    pub(super) fn push(&self, event: UiEvent) {
        self.lock().push(event);
        self.came.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Waiting {
    /// The number of the next event.
    next: u64,
    /// What functions have written.
    output: Lane,
    /// What is said of them, and all else.
    lines: Lane,
    /// What the printer has to know.
    needed: Lane,
    missing: Option<Missing>,
    /// Nobody receives.
    closed: bool,
}

/// An event, and when it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub at: SystemTime,
    pub event: UiEvent,
}

/// Events of one kind with their numbers.
#[derive(Debug, Default)]
struct Lane {
    events: VecDeque<(u64, Sent)>,
    bytes: usize,
}

/// What was dropped and has not been told.
#[derive(Debug)]
struct Missing {
    /// The number of the first.
    since: u64,
    /// When that was sent.
    at: SystemTime,
    output: u64,
    others: u64,
}

impl Waiting {
    fn push(&mut self, event: UiEvent) {
        if self.closed {
            return;
        }
        let number = self.next;
        self.next += 1;
        let sent = Sent { at: SystemTime::now(), event };
        let lane = match &sent.event {
            UiEvent::Log { .. }
            | UiEvent::Line { .. }
            | UiEvent::Diagnostic(_)
            | UiEvent::ProgressMoved { .. } => &mut self.output,
            UiEvent::ProgressBegan { .. }
            | UiEvent::ProgressEnded { .. }
            | UiEvent::ProgressFailed { .. }
            | UiEvent::Result(_)
            | UiEvent::Fatal { .. }
            | UiEvent::End => return self.needed.push(number, sent),
            _ => &mut self.lines,
        };
        lane.push(number, sent);
        if lane.bytes <= MOST {
            return;
        }
        // The newest stays, however long it is.
        while lane.bytes > MOST / 2 && lane.events.len() > 1 {
            let Some((number, Sent { at, event })) = lane.pop() else { break };
            let (output, others) = match event {
                UiEvent::Log { .. } | UiEvent::Line { .. } | UiEvent::Diagnostic(_) => (1, 0),
                UiEvent::ProgressMoved { .. } => (0, 0),
                _ => (0, 1),
            };
            let missing = self.missing.get_or_insert(Missing { since: number, at, output: 0, others: 0 });
            if number < missing.since {
                (missing.since, missing.at) = (number, at);
            }
            missing.output += output;
            missing.others += others;
        }
    }

    /// Takes the oldest event. What is missing is told in its place.
    fn pop(&mut self) -> Option<Sent> {
        let lanes = [&mut self.output, &mut self.lines, &mut self.needed];
        let oldest = lanes
            .into_iter()
            .filter_map(|lane| Some((lane.events.front()?.0, lane)))
            .min_by_key(|(number, _)| *number);
        if let Some(Missing { at, output, others, .. }) =
            self.missing.take_if(|missing| oldest.as_ref().is_none_or(|(number, _)| missing.since < *number))
            && output + others > 0
        {
            return Some(Sent { at, event: UiEvent::Dropped { output, others } });
        }
        oldest?.1.pop().map(|(_, sent)| sent)
    }
}

impl Lane {
    fn push(&mut self, number: u64, sent: Sent) {
        self.bytes += weight(&sent.event);
        self.events.push_back((number, sent));
    }

    fn pop(&mut self) -> Option<(u64, Sent)> {
        let popped = self.events.pop_front()?;
        self.bytes -= weight(&popped.1.event);
        Some(popped)
    }
}

/// About how many bytes an event takes.
fn weight(event: &UiEvent) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let texts = match event {
        UiEvent::Info(text)
        | UiEvent::Listening(text)
        | UiEvent::Warning(text)
        | UiEvent::Diagnostic(text) => text.len(),
        UiEvent::Error { message, hint } => message.len() + optional(hint),
        UiEvent::Fatal { message, detail, hint } => message.len() + optional(detail) + optional(hint),
        UiEvent::ProgressBegan { message, .. }
        | UiEvent::ProgressMoved { message, .. }
        | UiEvent::ProgressEnded { message, .. } => message.len(),
        UiEvent::Console { address, link, hint } => address.len() + link.len() + hint.len(),
        UiEvent::Output { stack, name, value } => stack.len() + name.len() + value.len(),
        UiEvent::Request { source, .. } => source.len(),
        UiEvent::Log { line, .. } => line.len(),
        UiEvent::Line { name, line, .. } => name.len() + line.len(),
        UiEvent::Response { summary, .. } => summary.len(),
        UiEvent::Failure { detail, .. } | UiEvent::BuildFailed { detail, .. } => detail.len(),
        UiEvent::Paused { place, .. } => optional(place),
        UiEvent::Result(bytes) => bytes.len(),
        UiEvent::Question(text) => text.len(),
        UiEvent::Infrastructure { changes } => changes.iter().map(String::len).sum(),
        UiEvent::ProgressFailed { .. }
        | UiEvent::CallerGone { .. }
        | UiEvent::Rebuilt { .. }
        | UiEvent::Dropped { .. }
        | UiEvent::End => 0,
    };
    size_of::<(u64, Sent)>() + texts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::Ui;

    fn log(line: String) -> UiEvent {
        UiEvent::Log { request: None, function: "f".into(), line }
    }

    fn drain(events: &mut Events) -> Vec<UiEvent> {
        std::iter::from_fn(|| events.try_recv().ok()).collect()
    }

    #[test]
    fn everything_comes_in_the_order_in_which_it_was_sent() {
        let (ui, mut events) = Ui::channel();
        let sent = [
            UiEvent::ProgressBegan { key: "k", message: "m".into() },
            log("one".into()),
            UiEvent::Info("two".into()),
            log("three".into()),
            UiEvent::ProgressFailed { key: "k" },
            UiEvent::End,
        ];
        for event in sent.clone() {
            ui.send(event);
        }
        assert_eq!(drain(&mut events), sent);
    }

    #[test]
    fn output_that_nobody_reads_is_dropped_and_told_in_its_place() {
        let (ui, mut events) = Ui::channel();
        ui.info("before");
        let line = "x".repeat(100);
        let count: u64 = 500_000;
        for number in 0..count {
            if number == 10 {
                ui.info("within");
            }
            ui.send(log(format!("{number} {line}")));
        }
        ui.info("after");
        {
            let waiting = events.queue.lock();
            assert!(waiting.output.bytes <= MOST && waiting.output.bytes >= MOST / 2);
            assert_eq!(
                waiting.output.bytes,
                waiting.output.events.iter().map(|(_, sent)| weight(&sent.event)).sum::<usize>()
            );
        }
        let shown = drain(&mut events);
        let UiEvent::Dropped { output, others: 0 } = shown[1] else { panic!("{:?}", shown[1]) };
        let said =
            [UiEvent::Info("before".into()), UiEvent::Info("within".into()), UiEvent::Info("after".into())];
        assert_eq!([&shown[0], &shown[2], &shown[shown.len() - 1]], said.each_ref());
        // The newest are there, with nothing missing between them.
        let logs = &shown[3..shown.len() - 1];
        assert_eq!(output + logs.len() as u64, count);
        assert_eq!(logs[0], log(format!("{output} {line}")));
        assert_eq!(logs[logs.len() - 1], log(format!("{} {line}", count - 1)));
    }

    #[test]
    fn output_pushes_nothing_else_out_and_even_that_is_bounded() {
        let (ui, mut events) = Ui::channel();
        let detail = "d".repeat(1000);
        let failure = |number: u32| UiEvent::Failure {
            request: number.to_string().as_str().into(),
            function: "f".into(),
            took: std::time::Duration::ZERO,
            detail: detail.clone(),
        };
        for number in 0..1000 {
            ui.send(failure(number));
            for _ in 0..100 {
                ui.send(log("x".repeat(1000)));
            }
        }
        let failures =
            |shown: &[UiEvent]| shown.iter().filter(|event| matches!(event, UiEvent::Failure { .. })).count();
        assert_eq!(failures(&drain(&mut events)), 1000);
        for number in 0..20_000 {
            ui.send(failure(number));
        }
        ui.send(UiEvent::End);
        let shown = drain(&mut events);
        let UiEvent::Dropped { output: 0, others } = shown[0] else { panic!("{:?}", shown[0]) };
        assert_eq!(others as usize + failures(&shown), 20_000);
        assert!(shown.len() * detail.len() <= MOST);
        assert_eq!(shown[shown.len() - 1], UiEvent::End);
    }

    #[test]
    fn nothing_is_kept_for_a_receiver_that_is_gone() {
        let (ui, events) = Ui::channel();
        ui.info("one");
        let queue = events.queue.clone();
        drop(events);
        ui.info("two");
        assert!(queue.lock().lines.events.is_empty());
    }

    #[tokio::test]
    async fn the_receiver_is_woken() {
        let (ui, mut events) = Ui::channel();
        let sender = tokio::spawn(async move {
            tokio::task::yield_now().await;
            ui.info("one");
        });
        assert_eq!(events.some().await[0].event, UiEvent::Info("one".into()));
        sender.await.unwrap();
    }
}
