//! `--function` and `--except`: which functions run here, and which keep their deployed code.

use globset::{GlobBuilder, GlobMatcher};

use super::manifest::{LeftAlone, Manifest};
use crate::error::{Error, Kind, Result};

/// Why a function that could run here does not, as [`LeftAlone::reason`].
pub const NOT_CHOSEN: &str = "it was not chosen";

/// Why a function is left alone that CloudFormation calls while the app is being deployed, when nobody listens yet.
pub const SERVES_DEPLOYMENT: &str = "it serves a custom resource, which runs while the app is being deployed";

/// Patterns for ids of functions: an id or the end of it, with `*`, `?`, `[…]` and `{…}` as in shells.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    only: Vec<Pattern>,
    except: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    matcher: GlobMatcher,
}

impl Choice {
    /// A choice of the functions that match one of `only`, or of all if there is none, and none of `except`.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a malformed pattern.
    pub fn new(only: &[String], except: &[String]) -> Result<Self> {
        let parse =
            |patterns: &[String]| patterns.iter().map(|text| Pattern::new(text)).collect::<Result<_>>();
        Ok(Self { only: parse(only)?, except: parse(except)? })
    }

    /// Whether it chooses anything, so that it can be wrong.
    #[must_use]
    pub fn is_any(&self) -> bool {
        !self.only.is_empty() || !self.except.is_empty()
    }

    /// Moves the functions that are not chosen to those that are left alone. Returns how many.
    ///
    /// # Errors
    /// [`Kind::Usage`] for a pattern that no function of the app matches, and when none is left.
    pub fn apply(&self, manifest: &mut Manifest) -> Result<usize> {
        for pattern in self.only.iter().chain(&self.except) {
            let mut ids = manifest.functions.iter().map(|function| function.id.as_str());
            if !ids.any(|id| pattern.matches(id)) {
                let message = format!("no function matches `{}`", pattern.text);
                return Err(unmatched(&message, pattern.nearest(manifest), manifest));
            }
        }
        let chosen = |id: &str| {
            (self.only.is_empty() || self.only.iter().any(|pattern| pattern.matches(id)))
                && !self.except.iter().any(|pattern| pattern.matches(id))
        };
        let (functions, others): (Vec<_>, Vec<_>) =
            manifest.functions.iter().cloned().partition(|function| chosen(function.id.as_str()));
        if functions.is_empty() && !others.is_empty() {
            return Err(unmatched("no function is left to run here", None, manifest));
        }
        manifest.functions = functions;
        let count = others.len();
        let left = others.into_iter().map(|other| LeftAlone { id: other.id, reason: NOT_CHOSEN.to_owned() });
        manifest.left_alone.extend(left);
        Ok(count)
    }
}

/// How much a word has to be like another one to be meant by it, from 0 to 1.
const ALIKE: f64 = 0.7;

fn unmatched(message: &str, nearest: Option<&str>, manifest: &Manifest) -> Error {
    let ids = manifest.functions.iter().map(|function| format!("`{}`", function.id));
    let ids = match ids.collect::<Vec<_>>() {
        none if none.is_empty() => "no function of the app can run here".to_owned(),
        ids => format!("there are {}", ids.join(", ")),
    };
    Error::new(Kind::Usage, message).hint(match nearest {
        Some(nearest) => format!("did you mean `{nearest}`? T{}", &ids[1..]),
        None => ids,
    })
}

impl Pattern {
    fn new(text: &str) -> Result<Self> {
        let glob = GlobBuilder::new(text).literal_separator(false).build().map_err(|error| {
            Error::new(Kind::Usage, format!("`{text}` is not a pattern for functions")).detail(error)
        })?;
        Ok(Self { text: text.to_owned(), matcher: glob.compile_matcher() })
    }

    /// The function that was probably meant: the one whose id, or the end of it, is most like the pattern.
    fn nearest<'a>(&self, manifest: &'a Manifest) -> Option<&'a str> {
        let wanted = self.text.to_lowercase();
        let alike = |end: &str| strsim::normalized_damerau_levenshtein(&wanted, &end.to_lowercase());
        let ids = manifest.functions.iter().map(|function| function.id.as_str());
        let rated = ids.map(|id| (ends(id).map(alike).fold(0.0, f64::max), id));
        let nearest = rated.max_by(|(one, _), (other, _)| one.total_cmp(other));
        nearest.filter(|(alike, _)| *alike >= ALIKE).map(|(_, id)| id)
    }

    /// Whether the whole id matches, or what is behind one of its slashes.
    fn matches(&self, id: &str) -> bool {
        ends(id).any(|end| self.matcher.is_match(end))
    }
}

/// An id, and what is behind each of its slashes.
fn ends(id: &str) -> impl Iterator<Item = &str> {
    std::iter::once(id).chain(id.match_indices('/').map(|(slash, _)| &id[slash + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let function = |id: &str| {
            serde_json::json!({
                "id": id, "stack": "s", "logicalId": id, "language": "node", "runtime": "nodejs22.x", "handler": "index.handler",
                "source": { "kind": "directory", "path": "/x" }, "timeoutS": 3, "memoryMb": 128, "environment": []
            })
        };
        let functions = ["api/List", "api/Get", "jobs/Nightly/Handler"].map(function);
        serde_json::from_value(serde_json::json!({ "functions": functions, "leftAlone": [] })).unwrap()
    }

    fn chosen(only: &[&str], except: &[&str]) -> Result<Vec<String>> {
        let texts = |patterns: &[&str]| patterns.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let mut manifest = manifest();
        let count = Choice::new(&texts(only), &texts(except))?.apply(&mut manifest)?;
        assert_eq!((count, manifest.functions.len() + count), (manifest.left_alone.len(), 3));
        Ok(manifest.functions.iter().map(|function| function.id.to_string()).collect())
    }

    #[test]
    fn functions_are_chosen_by_id_by_its_end_and_by_pattern() {
        assert_eq!(chosen(&[], &[]).unwrap().len(), 3);
        assert_eq!(chosen(&["List"], &[]).unwrap(), ["api/List"]);
        assert_eq!(chosen(&["api/*"], &[]).unwrap(), ["api/List", "api/Get"]);
        assert_eq!(chosen(&["jobs/*", "{List,Set}"], &[]).unwrap(), ["api/List", "jobs/Nightly/Handler"]);
        assert_eq!(chosen(&[], &["Nightly/Handler"]).unwrap(), ["api/List", "api/Get"]);
        assert_eq!(chosen(&["api/*"], &["Get"]).unwrap(), ["api/List"]);
    }

    #[test]
    fn a_pattern_without_a_function_is_a_mistake() {
        for (only, except) in
            [(&["Lst"][..], &[][..]), (&[], &["ist"]), (&["["], &[]), (&["List"], &["api/*"])]
        {
            assert_eq!(chosen(only, except).unwrap_err().kind, Kind::Usage, "{only:?} {except:?}");
        }
    }

    #[test]
    fn the_nearest_function_is_named_by_its_id_or_its_end() {
        let there = "here are `api/List`, `api/Get`, `jobs/Nightly/Handler`";
        for (pattern, nearest) in
            [("Lsit", Some("api/List")), ("nigthly/handler", Some("jobs/Nightly/Handler")), ("nope", None)]
        {
            let nearest = nearest.map_or("t".to_owned(), |id| format!("did you mean `{id}`? T"));
            let hint = chosen(&[pattern], &[]).unwrap_err().hint.unwrap();
            assert_eq!(hint, format!("{nearest}{there}"), "{pattern}");
        }
    }
}
