//! What interpreters say of themselves. To ask takes longer than everything else at a save, so it is asked once, also of one that does not
//! work, until something has changed by which the answer may be another.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use camino::{Utf8Path, Utf8PathBuf};

/// By what the shims of version managers decide what they run: beside their directory, and in the project.
const BESIDE_SHIMS: &str = "version";
const CHOICES: [&str; 5] = [".python-version", ".node-version", ".nvmrc", ".tool-versions", "mise.toml"];

/// What a path leads to, and when that and what else decides were last changed.
type Stamp = (Option<Utf8PathBuf>, Vec<Option<SystemTime>>);

/// The answers, by interpreter; none of one that does not work.
#[derive(Debug, Clone)]
pub(super) struct Answers<T> {
    project: Utf8PathBuf,
    known: Arc<Mutex<Known<T>>>,
}

type Known<T> = HashMap<Utf8PathBuf, (Option<T>, Stamp)>;

impl<T: Clone> Answers<T> {
    pub(super) fn new(project: Utf8PathBuf) -> Self {
        Self { project, known: Arc::default() }
    }

    /// What an interpreter says, which is asked if need be. `also` is what else an answer depends on.
    pub(super) async fn of(
        &self,
        interpreter: &Utf8Path,
        also: impl Fn(&T) -> Option<Utf8PathBuf>,
        ask: impl Future<Output = Option<T>>,
    ) -> Option<T> {
        let stamp = |answer: &Option<T>| self.stamp(interpreter, answer.as_ref().and_then(&also));
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(interpreter).cloned();
        if let Some((answer, seen)) = known
            && stamp(&answer) == seen
        {
            return answer;
        }
        let answer = ask.await;
        let seen = stamp(&answer);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(interpreter.to_owned(), (answer.clone(), seen));
        answer
    }

    fn stamp(&self, interpreter: &Utf8Path, also: Option<Utf8PathBuf>) -> Stamp {
        let above = interpreter.parent().and_then(Utf8Path::parent);
        let deciding = above.map(|above| above.join(BESIDE_SHIMS)).into_iter();
        let deciding = deciding.chain(CHOICES.map(|name| self.project.join(name)));
        let all = std::iter::once(interpreter.to_owned()).chain(deciding).chain(also);
        let times = all.map(|path| path.metadata().and_then(|metadata| metadata.modified()).ok());
        (interpreter.canonicalize_utf8().ok(), times.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn each_interpreter_is_asked_once_until_another_answer_may_come() {
        let directory = tempfile::tempdir().unwrap();
        let project = Utf8Path::from_path(directory.path()).unwrap();
        fs_err::create_dir(project.join("shims")).unwrap();
        let (shim, asked) = (project.join("shims/python3.12"), Cell::new(0));
        let install = |version: &str| {
            fs_err::write(project.join(version), "").unwrap();
            let _ = fs_err::remove_file(&shim);
            std::os::unix::fs::symlink(project.join(version), &shim).unwrap();
        };
        install("one");
        let answers = Answers::new(project.to_owned());
        for answer in [None, Some("3.12")] {
            asked.set(0);
            let ask = async || {
                let question = async {
                    asked.set(asked.get() + 1);
                    answer
                };
                assert_eq!(answers.of(&shim, |_| Some(project.join("packages")), question).await, answer);
                asked.get()
            };
            install(if answer.is_some() { "three" } else { "one" });
            assert_eq!([ask().await, ask().await, ask().await], [1, 1, 1]);
            for (index, file) in [BESIDE_SHIMS].iter().chain(&CHOICES).enumerate() {
                let _ = fs_err::remove_file(project.join(file));
                let before = ask().await;
                fs_err::write(project.join(file), index.to_string()).unwrap();
                assert_eq!([ask().await, ask().await], [before + 1, before + 1], "{file}");
            }
            let before = ask().await;
            install("two");
            assert_eq!(ask().await, before + 1, "another interpreter");
            if answer.is_some() {
                fs_err::write(project.join("packages"), "").unwrap();
                assert_eq!(ask().await, before + 2, "other packages");
            }
        }
    }
}
