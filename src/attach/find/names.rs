//! What functions are called, and what is called like them.

use std::collections::BTreeSet;

use globset::GlobBuilder;

use crate::error::{Error, Kind, Result};

/// What people add to a name to say that it is that of a function.
const KINDS: [&str; 4] = ["function", "lambda", "handler", "fn"];

/// How much a word has to be like another one to be meant by it, from 0 to 1.
const ALIKE: f64 = 0.7;

/// Whether a text is a pattern rather than a name.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// What tells whether a name matches a pattern, with `*`, `?`, `[…]` and `{…}` as in shells.
///
/// # Errors
/// [`Kind::Usage`] for a malformed one.
pub(super) fn matcher(pattern: &str) -> Result<impl Fn(&str) -> bool + use<>> {
    let glob = GlobBuilder::new(pattern).literal_separator(false).build().map_err(|error| {
        Error::new(Kind::Usage, format!("`{pattern}` is not a pattern for functions")).detail(error)
    })?;
    let matcher = glob.compile_matcher();
    Ok(move |name: &str| matcher.is_match(name))
}

/// The name that was probably meant by another one.
pub(super) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let alike = |name: &str| strsim::normalized_damerau_levenshtein(&wanted, &name.to_lowercase());
    let rated = names.map(|name| (alike(name), name));
    let nearest = rated.max_by(|(one, _), (other, _)| one.total_cmp(other));
    nearest.filter(|(alike, _)| *alike >= ALIKE).map(|(_, name)| name)
}

/// Which of `names` somebody has given to a function that is called `called`: those that are one of these, but for how they are written;
/// else those that are a part of one.
pub(super) fn meant(called: &[&str], names: &[&str]) -> Vec<usize> {
    let called: Vec<String> = called.iter().map(|one| words(one)).filter(|one| !one.is_empty()).collect();
    let which = |is: &dyn Fn(&str, &str) -> bool| {
        let found = names.iter().enumerate().filter(|(_, name)| {
            let name = words(name);
            !name.is_empty() && called.iter().any(|one| is(one, &name))
        });
        found.map(|(index, _)| index).collect::<BTreeSet<_>>()
    };
    let same = which(&|called, name| called == name);
    let found = if same.is_empty() {
        which(&|called, name| format!("-{called}-").contains(&format!("-{name}-")))
    } else {
        same
    };
    found.into_iter().collect()
}

/// The words of a name in lower case with hyphens between them, without what only says that it is a function's.
fn words(name: &str) -> String {
    let mut words = String::new();
    let mut before = ' ';
    for character in name.chars() {
        let begins = character.is_uppercase() && before.is_lowercase();
        if !character.is_alphanumeric() || begins {
            words.push('-');
        }
        if character.is_alphanumeric() {
            words.extend(character.to_lowercase());
        }
        before = character;
    }
    let all: Vec<&str> = words.split('-').filter(|word| !word.is_empty()).collect();
    let kept = match all.split_last() {
        Some((last, rest)) if KINDS.contains(last) && !rest.is_empty() => rest,
        _ => &all,
    };
    kept.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_like_a_function_is_meant() {
        let names = ["create", "list-orders", "orders", "Report"];
        for (called, expected) in [
            (&["CreateFunction"][..], &[0][..]),
            (&["ListOrdersLambda"], &[1]),
            (&["orders-dev-ListOrders-1A2B"], &[1, 2]),
            (&["bootstrap", "report"], &[3]),
            (&["orders"], &[2]),
            (&["other"], &[]),
        ] {
            assert_eq!(meant(called, &names), expected, "{called:?}");
        }
    }

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["orders-create", "orders-list"];
        assert_eq!(nearest("orders-craete", names.into_iter()), Some("orders-create"));
        assert_eq!(nearest("billing", names.into_iter()), None);
    }

    #[test]
    fn patterns_are_those_of_shells() {
        assert!(is_pattern("orders-*") && !is_pattern("orders-create"));
        assert!(matcher("orders-{create,list}").unwrap()("orders-list"));
        assert_eq!(matcher("[").err().unwrap().kind, Kind::Usage);
    }
}
