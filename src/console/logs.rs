//! What functions write, as it comes, for as long as somebody reads.

use std::{convert::Infallible, time::Duration};

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde_json::json;
use tokio::time::Instant;

use crate::history::History;

/// Where a reader is.
struct Reader {
    history: History,
    /// The function of which it reads, by its id or the end of it.
    function: Option<String>,
    /// The number of the last line that it has.
    after: u64,
    /// Whether it has been told that it has all that there was.
    caught_up: bool,
    heartbeat: Duration,
}

/// One JSON object a line: each line of output; how many are missing, where a reader was too slow; and the number of the last one alone
/// when that is all for now, and again after each `heartbeat` without another. It ends with the session.
///
/// Nothing is kept for a reader: what it has not read when the history forgets it, it has missed.
pub(super) fn body(history: History, function: Option<String>, after: u64, heartbeat: Duration) -> Body {
    let reader = Reader { history, function, after, caught_up: false, heartbeat };
    Body::from_stream(stream::unfold(reader, |mut reader| async move {
        let text = reader.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), reader))
    }))
}

impl Reader {
    /// The next lines; none at the end of the session.
    async fn next(&mut self) -> Option<String> {
        let due = Instant::now() + self.heartbeat;
        loop {
            let batch = self.history.lines_since(self.after, self.function.as_deref());
            let mut text = String::new();
            if batch.missed > 0 {
                text += &format!("{}\n", json!({ "change": batch.change, "missed": batch.missed }));
            }
            for line in &batch.lines {
                text += &format!("{}\n", json!(line));
            }
            self.after = batch.change;
            if !batch.more && !self.caught_up {
                self.caught_up = true;
                text += &self.number();
            }
            if !text.is_empty() {
                return Some(text);
            }
            if batch.more {
                continue;
            }
            match tokio::time::timeout_at(due, self.history.written(self.after)).await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(_) => return Some(self.number()),
            }
        }
    }

    fn number(&self) -> String {
        format!("{}\n", json!({ "change": self.after }))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::Value;

    use super::*;
    use crate::{history::Fact, tasks::Tasks, ui::UiEvent};

    fn wrote(history: &History, line: String) {
        history.tell(Fact::Told(UiEvent::Log { request: None, function: "api/List".into(), line }));
    }

    /// The next lines of an answer; none when it has ended.
    async fn read(body: &mut Body) -> Option<Vec<Value>> {
        let data = body.frame().await?.unwrap().into_data().unwrap();
        let text = std::str::from_utf8(&data).unwrap();
        Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[tokio::test]
    async fn a_reader_gets_what_there_is_what_comes_and_the_end() {
        let mut tasks = Tasks::default();
        let history = History::begin(None, &[], &mut tasks);
        wrote(&history, "one".to_owned());
        assert!(history.written(0).await);
        let heartbeat = Duration::from_millis(5);
        let mut body = body(history.clone(), Some("List".to_owned()), 0, heartbeat);
        let first = read(&mut body).await.unwrap();
        assert_eq!((&first[0]["text"], &first[0]["function"]), (&json!("one"), &json!("api/List")));
        // Then it knows that this is all, and is told so again, as long as nothing comes.
        assert_eq!(first[1], json!({ "change": 1 }));
        assert_eq!(read(&mut body).await.unwrap(), [json!({ "change": 1 })]);
        wrote(&history, "two".to_owned());
        history.tell(Fact::Over);
        let mut rest = Vec::new();
        while let Some(lines) = read(&mut body).await {
            rest.extend(lines.into_iter().filter(|line| line.get("text").is_some()));
        }
        assert_eq!(rest.len(), 1);
        assert_eq!((&rest[0]["text"], &rest[0]["change"]), (&json!("two"), &json!(2)));
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_many_lines_it_has_missed() {
        let mut tasks = Tasks::default();
        let history = History::begin(None, &[], &mut tasks);
        let mut body = body(history.clone(), None, 0, Duration::from_secs(60));
        assert_eq!(read(&mut body).await.unwrap(), [json!({ "change": 0 })]);
        let count = 100_000;
        for number in 0..count {
            wrote(&history, format!("{number} {}", "x".repeat(100)));
        }
        assert!(history.written(count - 1).await);
        history.tell(Fact::Over);
        let (mut lines, mut missed) = (0, 0);
        while let Some(read) = read(&mut body).await {
            lines += read.iter().filter(|line| line.get("text").is_some()).count() as u64;
            missed += read.iter().filter_map(|line| line["missed"].as_u64()).sum::<u64>();
        }
        assert!(missed > 0 && lines > 0);
        assert_eq!(lines + missed, count);
    }
}
