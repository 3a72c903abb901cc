//! The requests that have failed. Lambda sends an asynchronous event that failed twice more, under the same request id: after one minute,
//! and after another two. What has failed while it was being debugged is not wanted again, nor is what nobody could serve, when somebody is
//! there at last. So each ends as it did the first time. The client knows those as well that come to another environment than before.

use std::collections::VecDeque;

use crate::runtime_api::Ending;

/// How many are remembered, and the most bytes of the body of each: an environment has little memory, and errors are short.
const MOST: usize = 64;
const LONGEST: usize = 16 * 1024;

/// Those that have failed last.
#[derive(Default)]
pub(crate) struct Failed {
    /// Request ids and endings, the latest behind.
    requests: VecDeque<(String, Ending)>,
}

impl Failed {
    /// How a request has ended that has failed before.
    pub(crate) fn get(&self, request_id: &str) -> Option<Ending> {
        self.requests.iter().find(|(id, _)| id == request_id).map(|(_, ending)| ending.clone())
    }

    /// Remembers a request if it has failed. No other is sent again.
    pub(crate) fn note(&mut self, request_id: &str, ending: &Ending) {
        let Ending::Error { error_type, body } = ending else { return };
        if body.len() > LONGEST {
            return;
        }
        if self.requests.len() >= MOST {
            self.requests.pop_front();
        }
        let ending = Ending::Error { error_type: error_type.clone(), body: body.clone() };
        self.requests.push_back((request_id.to_owned(), ending));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(length: usize) -> Ending {
        Ending::Error { error_type: "E".into(), body: vec![b'x'; length].into() }
    }

    #[test]
    fn only_what_has_failed_is_remembered_and_not_too_much_of_it() {
        let mut failed = Failed::default();
        failed.note("answered", &Ending::Response("1".into()));
        failed.note("streamed", &Ending::Streamed);
        failed.note("long", &error(LONGEST + 1));
        assert!(["answered", "streamed", "long"].iter().all(|id| failed.get(id).is_none()));
        for number in 0..=MOST {
            failed.note(&number.to_string(), &error(number));
        }
        assert_eq!((failed.get("0"), failed.requests.len()), (None, MOST));
        assert_eq!((failed.get("1"), failed.get(&MOST.to_string())), (Some(error(1)), Some(error(MOST))));
    }
}
