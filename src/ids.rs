//! Newtypes for everything that is passed around by name or number, so that two of them cannot be confused.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<T: AsRef<str>> From<T> for $name {
            fn from(text: T) -> Self {
                Self(Arc::from(text.as_ref()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

text_id! {
    /// A function of the app: its construct path (`<stack id>/<construct>…`), or `<stack>/<logical id>` where a
    /// template names no path.
    FunctionId
}
impl FunctionId {
    /// The id as the name of a file or directory. Two ids never become the same name.
    #[must_use]
    pub fn as_file_name(&self) -> String {
        let mut name = String::new();
        for character in self.as_str().chars() {
            match character {
                '/' => name.push('+'),
                c if c.is_ascii_alphanumeric() || "-_.".contains(c) => name.push(c),
                c => name.push_str(&format!("%{:x}", u32::from(c))),
            }
        }
        // Names may have 255 bytes; what is cut off is told apart by a hash.
        if name.len() > 150 {
            name = format!("{}%{}", &name[..100], &sst_wire::sha256_hex(self.as_str().as_bytes())[..32]);
        }
        name
    }

    /// The one of `all` that a person means by `name`: its id, or the end of it.
    ///
    /// # Errors
    /// A sentence that names what there is.
    pub fn named<'a, T: Copy>(
        name: &str,
        all: impl Iterator<Item = (&'a Self, T)> + Clone,
    ) -> Result<T, String> {
        let known = || all.clone().map(|(id, _)| format!("`{id}`")).collect::<Vec<_>>().join(", ");
        let exact = all.clone().find(|(id, _)| id.as_str() == name);
        let ending = format!("/{name}");
        let mut similar = all.clone().filter(|(id, _)| id.as_str().ends_with(&ending));
        match (exact, similar.next(), similar.next()) {
            (Some((_, found)), _, _) | (None, Some((_, found)), None) => Ok(found),
            (None, None, _) => Err(format!("no function `{name}`; there are {}", known())),
            (None, Some(_), Some(_)) => Err(format!("`{name}` could be several of {}", known())),
        }
    }
}

text_id! {
    /// A language. What it means is known in `languages` only.
    LanguageId
}

text_id! {
    /// An invocation, by the request id that Lambda gave it.
    RequestId
}

/// A worker process. Never used twice in the life of a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u64);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}

/// Counts the builds of one function. A worker serves the generation it was started with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::FunctionId;

    #[test]
    fn different_functions_have_different_file_names() {
        let long = "x".repeat(300);
        let ids = ["a/b", "a+b", "a%2bb", "a b", "a_b", "ä", &long, &format!("{long}y")];
        let names: std::collections::BTreeSet<String> =
            ids.iter().map(|id| FunctionId::from(id).as_file_name()).collect();
        assert_eq!(names.len(), ids.len(), "{names:?}");
        assert!(names.iter().all(|name| name.len() < 200 && !name.contains('/')));
    }
}
