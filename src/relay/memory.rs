//! What requests were answered with, for a stub that missed it. Bounded in time, in number, and in bytes.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use crate::ids::RequestId;

/// How many answered requests are remembered. A thousand functions at a time, each called ten times within its own timeout.
const MAX_REQUESTS: usize = 10_000;

/// How many bytes their answers take. Large ones are objects of the bucket, of which only the names are here.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What a remembered request takes beside the texts of its frames.
const OVERHEAD: usize = 256;

/// The frames of one answer as they were sent, in order.
pub(super) type Frames = Arc<[Box<str>]>;

/// What is known of an answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answered {
    /// These frames are its answer.
    With(Frames),
    /// It was answered and must not be run again, but its answer had to make room.
    Forgotten,
}

/// The answered requests.
#[derive(Debug)]
pub(super) struct Memory {
    requests: HashMap<RequestId, Entry>,
    /// All of them, the one that was answered first in front.
    order: VecDeque<RequestId>,
    /// How many at the front have lost their frames.
    forgotten: usize,
    bytes: usize,
    max_requests: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    answered: Answered,
    /// Until when a stub could ask.
    until: Instant,
}

impl Default for Memory {
    fn default() -> Self {
        Self::bounded(MAX_REQUESTS, MAX_BYTES)
    }
}

impl Memory {
    fn bounded(max_requests: usize, max_bytes: usize) -> Self {
        Self {
            requests: HashMap::new(),
            order: VecDeque::new(),
            forgotten: 0,
            bytes: 0,
            max_requests,
            max_bytes,
        }
    }

    /// What is known of a request.
    pub(super) fn get(&self, request: &RequestId) -> Option<&Answered> {
        self.requests.get(request).map(|entry| &entry.answered)
    }

    /// Remembers the answer of a request for as long as its stub could ask for it, which is until `until`.
    pub(super) fn insert(&mut self, request: RequestId, frames: Frames, until: Instant) {
        if self.requests.contains_key(&request) {
            return;
        }
        self.bytes += OVERHEAD + size(&frames);
        self.order.push_back(request.clone());
        self.requests.insert(request, Entry { answered: Answered::With(frames), until });
        // Whoever has missed an answer asks soon. So the oldest answers make room, and what is kept of a request longest is that
        // it must not run a second time.
        while self.bytes > self.max_bytes && self.forgotten < self.order.len() {
            let oldest = &self.order[self.forgotten];
            if let Some(entry) = self.requests.get_mut(oldest)
                && let Answered::With(frames) = std::mem::replace(&mut entry.answered, Answered::Forgotten)
            {
                self.bytes -= size(&frames);
            }
            self.forgotten += 1;
        }
        while self.order.len() > self.max_requests {
            self.remove_oldest();
        }
    }

    /// Forgets the requests whose stubs are no more.
    pub(super) fn expire(&mut self, now: Instant) {
        let Self { requests, order, bytes, .. } = self;
        requests.retain(|_, entry| {
            let keep = now < entry.until;
            if !keep {
                *bytes -= OVERHEAD + entry.size();
            }
            keep
        });
        order.retain(|request| requests.contains_key(request));
        self.forgotten = order
            .iter()
            .take_while(|request| {
                requests.get(*request).is_some_and(|entry| entry.answered == Answered::Forgotten)
            })
            .count();
        requests.shrink_to(64);
        order.shrink_to(64);
    }

    fn remove_oldest(&mut self) {
        let Some(oldest) = self.order.pop_front() else { return };
        self.forgotten = self.forgotten.saturating_sub(1);
        if let Some(entry) = self.requests.remove(&oldest) {
            self.bytes -= OVERHEAD + entry.size();
        }
    }
}

impl Entry {
    fn size(&self) -> usize {
        match &self.answered {
            Answered::With(frames) => size(frames),
            Answered::Forgotten => 0,
        }
    }
}

fn size(frames: &Frames) -> usize {
    frames.iter().map(|frame| frame.len() + size_of::<Box<str>>()).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn id(number: usize) -> RequestId {
        format!("request {number}").into()
    }

    fn frames(length: usize) -> Frames {
        Arc::new(["x".repeat(length).into_boxed_str()])
    }

    #[test]
    fn tiny_answers_take_little_and_all_take_no_more_than_is_allowed() {
        let now = Instant::now();
        let mut memory = Memory::default();
        for number in 0..4_000 {
            memory.insert(id(number), frames(150), now + Duration::from_secs(900));
        }
        assert!(memory.bytes < 4_000 * 500, "{}", memory.bytes);
        assert_eq!(memory.get(&id(0)), Some(&Answered::With(frames(150))));
        for number in 4_000..40_000 {
            memory.insert(id(number), frames(1_500), now + Duration::from_secs(900));
            assert!(memory.bytes <= MAX_BYTES && memory.requests.len() <= MAX_REQUESTS);
        }
        assert_eq!(memory.get(&id(0)), None);
        assert_eq!(memory.get(&id(39_999)), Some(&Answered::With(frames(1_500))));
    }

    #[test]
    fn answers_make_room_before_requests_do() {
        let now = Instant::now();
        let mut memory = Memory::bounded(3, 4 * OVERHEAD);
        for number in 0..3 {
            memory.insert(id(number), frames(100), now + Duration::from_secs(number as u64));
        }
        assert_eq!(memory.get(&id(0)), Some(&Answered::Forgotten));
        assert_eq!(memory.get(&id(1)), Some(&Answered::With(frames(100))));
        memory.insert(id(3), frames(1), now + Duration::from_secs(9));
        assert_eq!(memory.get(&id(0)), None, "it was the oldest of four");
        memory.insert(id(4), frames(1_000_000), now + Duration::from_secs(9));
        assert_eq!(
            memory.get(&id(4)),
            Some(&Answered::Forgotten),
            "no answer is larger than all that is kept"
        );
    }

    #[test]
    fn what_nobody_can_ask_for_is_not_kept() {
        let now = Instant::now();
        let mut memory = Memory::bounded(1_000, 300 * OVERHEAD);
        for number in 0..600 {
            memory.insert(id(number), frames(400), now + Duration::from_secs((number % 10) as u64 + 1));
            if number % 50 == 0 {
                memory.expire(now);
            }
        }
        memory.expire(now + Duration::from_secs(5));
        assert_eq!(memory.requests.len(), 300);
        assert_eq!(memory.order.len(), 300);
        let forgotten =
            memory.requests.values().filter(|entry| entry.answered == Answered::Forgotten).count();
        assert_eq!(memory.forgotten, forgotten);
        let expected: usize = memory.requests.values().map(|entry| OVERHEAD + entry.size()).sum();
        assert_eq!(memory.bytes, expected);
        memory.expire(now + Duration::from_secs(60));
        assert_eq!((memory.requests.len(), memory.order.len(), memory.bytes), (0, 0, 0));
    }
}
