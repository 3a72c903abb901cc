//! What the fuzz tests share. Each test takes the documents of its subject's corpus, damages them in all ways that come to mind, and
//! hands them to the code that reads such documents from outside. No case may panic, and none may take longer than [`LIMIT`].
//!
//! A case that fails is kept in `proptest-regressions/` and tried first from then on. `PROPTEST_CASES` says how many cases are tried.

mod bytes;
mod json;

use std::{
    fmt::Debug,
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use proptest::{
    prelude::*,
    test_runner::{FileFailurePersistence, TestRunner},
};

pub use self::{
    bytes::{Damage, Document, damage, damaged},
    json::{damaged_json, damaged_values},
};

/// How long one case may take. A thousand times what the slowest takes, on a machine that is busy with other things.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The documents of a subject, from `corpus/<subject>/`, in the order of their names.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn corpus(subject: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(subject);
    let entries =
        std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.sort();
    let documents: Vec<Vec<u8>> = files.iter().filter_map(|file| std::fs::read(file).ok()).collect();
    assert!(!documents.is_empty(), "{} is empty", directory.display());
    documents
}

/// Tries `case` with inputs of `strategy`: as many as `PROPTEST_CASES` says, or `usual`. `source` is the test's `file!()`.
///
/// # Panics
/// With the smallest input that makes `case` panic. The whole program ends when a case takes too long.
#[expect(clippy::print_stdout, reason = "the figures are what `make faults` shows")]
pub fn fuzz<S>(subject: &str, source: &'static str, usual: u32, strategy: &S, case: impl Fn(S::Value))
where
    S: Strategy,
    S::Value: Clone + Debug + Send + 'static,
{
    let wanted = std::env::var_os("PROPTEST_CASES").map(|_| ProptestConfig::default().cases);
    let config = ProptestConfig {
        cases: wanted.unwrap_or(usual),
        source_file: Some(source),
        failure_persistence: Some(Box::new(FileFailurePersistence::SourceParallel("proptest-regressions"))),
        ..ProptestConfig::default()
    };
    let cases = config.cases;
    let watch = Watch::begin(subject.to_owned());
    let began = Instant::now();
    let mut runner = TestRunner::new(config);
    let result = runner.run(strategy, |input| {
        watch.case(input.clone());
        case(input);
        watch.over();
        Ok(())
    });
    if let Err(error) = result {
        panic!("{subject}: {error}");
    }
    println!("fuzz {subject}: {cases} cases, 0 panics, 0 hangs, {:.1} s", began.elapsed().as_secs_f64());
}

/// Ends the program when a case does not end.
struct Watch<T> {
    present: Arc<(Mutex<State<T>>, Condvar)>,
}

struct State<T> {
    case: Option<(Instant, T)>,
    over: bool,
}

impl<T: Debug + Send + 'static> Watch<T> {
    fn begin(subject: String) -> Self {
        let present = Arc::new((Mutex::new(State { case: None, over: false }), Condvar::new()));
        let watched = present.clone();
        std::thread::spawn(move || {
            let (state, changed) = &*watched;
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            while !state.over {
                if let Some((since, input)) = &state.case
                    && since.elapsed() > LIMIT
                {
                    hung(&subject, input);
                }
                let waited = changed.wait_timeout(state, Duration::from_secs(1));
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        });
        Self { present }
    }

    fn case(&self, input: T) {
        self.present.0.lock().unwrap_or_else(PoisonError::into_inner).case = Some((Instant::now(), input));
    }

    fn over(&self) {
        self.present.0.lock().unwrap_or_else(PoisonError::into_inner).case = None;
    }
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        self.present.0.lock().unwrap_or_else(PoisonError::into_inner).over = true;
        self.present.1.notify_all();
    }
}

/// Nothing in this process can end a case that hangs, so the process ends.
#[expect(clippy::print_stderr, reason = "nobody is left who could report it")]
fn hung(subject: &str, input: &impl Debug) -> ! {
    eprintln!("{subject}: this input takes longer than {} s: {input:?}", LIMIT.as_secs());
    std::process::abort();
}
