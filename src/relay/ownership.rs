//! Which functions this client answers for, and how sure that is.

use std::collections::BTreeMap;

use crate::ids::FunctionId;

/// The functions of the app, and who answers for them.
#[derive(Debug, Default)]
pub(super) struct Ownership {
    functions: Vec<FunctionId>,
    /// Those that somebody else answers for, and who.
    elsewhere: BTreeMap<FunctionId, String>,
    /// The number of the last look into the table that was begun.
    looks: u64,
    /// From which look on what it says is believed; none while there is no doubt.
    doubt: Option<u64>,
}

impl Ownership {
    /// Serves these. Returns those that are not served any more.
    pub(super) fn serve(&mut self, functions: Vec<FunctionId>) -> Vec<FunctionId> {
        let gone = self.functions.iter().filter(|function| !functions.contains(function)).cloned().collect();
        self.elsewhere.retain(|function, _| functions.contains(function));
        self.functions = functions;
        gone
    }

    /// Whether these are the functions that are served already.
    pub(super) fn is(&self, functions: &[FunctionId]) -> bool {
        self.functions == functions
    }

    /// Those that are ours, as far as is known.
    pub(super) fn ours(&self) -> Vec<FunctionId> {
        self.functions.iter().filter(|function| !self.elsewhere.contains_key(*function)).cloned().collect()
    }

    /// Takes back all that somebody else answers for. Returns those.
    pub(super) fn take(&mut self) -> Vec<FunctionId> {
        std::mem::take(&mut self.elsewhere).into_keys().collect()
    }

    /// Somebody else answers for this one. Whether that is news.
    pub(super) fn lose(&mut self, function: &FunctionId, by: &str) -> bool {
        self.functions.contains(function) && self.elsewhere.insert(function.clone(), by.to_owned()).is_none()
    }

    /// Who else answers for a function.
    pub(super) fn elsewhere(&self, function: &FunctionId) -> Option<&str> {
        self.elsewhere.get(function).map(String::as_str)
    }

    /// Something may have happened without our hearing of it. Only a later look tells.
    pub(super) fn doubt(&mut self) {
        self.doubt = Some(self.looks + 1);
    }

    /// Whether it is not known who answers.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubt.is_some()
    }

    /// Begins a look. Returns its number.
    pub(super) fn look(&mut self) -> u64 {
        self.looks += 1;
        self.looks
    }

    /// A look has ended. Whether it has ended a doubt.
    pub(super) fn looked(&mut self, number: u64) -> bool {
        let over = self.doubt.is_some_and(|from| number >= from);
        if over {
            self.doubt = None;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids<const N: usize>(names: [&str; N]) -> Vec<FunctionId> {
        names.map(FunctionId::from).to_vec()
    }

    #[test]
    fn what_was_lost_is_ours_again_only_when_it_is_taken() {
        let mut standing = Ownership::default();
        assert_eq!(standing.serve(ids(["A", "B"])), ids([]));
        assert!(standing.lose(&"A".into(), "bob"));
        assert!(!standing.lose(&"A".into(), "bob"), "that is known");
        assert!(!standing.lose(&"C".into(), "bob"), "it is none of ours");
        assert_eq!(standing.serve(ids(["A", "B", "D"])), ids([]));
        assert_eq!((standing.ours(), standing.elsewhere(&"A".into())), (ids(["B", "D"]), Some("bob")));
        assert_eq!(standing.take(), ids(["A"]));
        assert_eq!(standing.ours(), ids(["A", "B", "D"]));
        standing.lose(&"B".into(), "bob");
        assert_eq!(standing.serve(ids(["A"])), ids(["B", "D"]));
        assert_eq!(standing.elsewhere(&"B".into()), None);
    }

    #[test]
    fn only_a_look_that_begins_after_a_doubt_ends_it() {
        let mut standing = Ownership::default();
        let before = standing.look();
        standing.doubt();
        assert!(!standing.looked(before) && standing.is_doubtful());
        let after = standing.look();
        let another = standing.look();
        assert!(standing.looked(another) && !standing.is_doubtful());
        assert!(!standing.looked(after), "there was none any more");
    }
}
