//! Words while something takes long, so that nobody wonders whether it still goes on.

use std::time::{Duration, Instant};

use super::Ui;

/// How often there is a word.
const PAUSE: Duration = Duration::from_secs(10);

impl Ui {
    /// Waits for `work`. As long as that takes, what `still` says of it is shown now and then.
    pub async fn remind<T>(&self, still: impl Fn() -> String, work: impl Future<Output = T>) -> T {
        self.remind_each(PAUSE, still, work).await
    }

    async fn remind_each<T>(
        &self,
        pause: Duration,
        still: impl Fn() -> String,
        work: impl Future<Output = T>,
    ) -> T {
        let begun = Instant::now();
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(pause) => {
                    self.info(format!("{} ({} s)", still(), begun.elapsed().as_secs()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::UiEvent;

    #[tokio::test]
    async fn there_are_words_as_long_as_it_takes() {
        let (ui, mut shown) = Ui::channel();
        let two_words = async {
            for _ in 0..2 {
                assert_eq!(shown.recv().await, UiEvent::Info("Still compiling (0 s)".to_owned()));
            }
            7
        };
        let still = || "Still compiling".to_owned();
        assert_eq!(ui.remind_each(Duration::from_millis(5), still, two_words).await, 7);
        assert!(shown.try_recv().is_err(), "there is none after the end");
    }
}
