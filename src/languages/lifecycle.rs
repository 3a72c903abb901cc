//! Until when AWS creates functions on its runtimes.
//!
//! The table is that of AWS's page "Lambda runtimes" as of 2026-11-30; `tests/infra` compares its dates with those of cfn-lint.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Deserialize;

const TABLE: &str = include_str!("lifecycle.json");

/// Whether AWS creates functions on a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It does, or nothing else is known.
    Created,
    /// It does not, but the same code runs on another one.
    Replaced(&'static str),
    /// It does not, and there is no other for the same code.
    Refused,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Runtime {
    /// The day from which on functions cannot be created, as `2027-02-01`. They can be changed for another while.
    created_until: &'static str,
    /// The oldest newer one on which the same code most likely runs.
    successor: Option<&'static str>,
}

/// What AWS does on a day with a new function on a runtime.
#[must_use]
pub(crate) fn fate(runtime: &str, on: Date) -> Fate {
    // It is a part of the program, and a test reads it.
    let table: BTreeMap<&'static str, Runtime> = serde_json::from_str(TABLE).unwrap_or_default();
    let on = on.to_string();
    let is_created = |name: &str| table.get(name).is_none_or(|runtime| *on < *runtime.created_until);
    if is_created(runtime) {
        return Fate::Created;
    }
    let next = |name: &&'static str| table.get(name).and_then(|runtime| runtime.successor);
    let first = table.get(runtime).and_then(|runtime| runtime.successor);
    let newer = std::iter::successors(first, next).find(|name| is_created(name));
    newer.map_or(Fate::Refused, Fate::Replaced)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn what_aws_creates_stays() {
        let today = date(2026, 11, 30);
        for (runtime, expected) in [
            ("nodejs12.x", Fate::Replaced("nodejs22.x")),
            ("nodejs20.x", Fate::Created),
            ("nodejs22.x", Fate::Created),
            ("python2.7", Fate::Refused),
            ("python3.7", Fate::Replaced("python3.12")),
            ("python3.9", Fate::Created),
            ("go1.x", Fate::Refused),
            ("java8", Fate::Refused),
            ("java21", Fate::Created),
            ("ruby2.7", Fate::Refused),
            ("provided", Fate::Refused),
            ("provided.al2023", Fate::Created),
            ("nodejs99.x", Fate::Created),
        ] {
            assert_eq!(fate(runtime, today), expected, "{runtime}");
        }
    }

    #[test]
    fn what_it_creates_depends_on_the_day() {
        let fates = [date(2027, 1, 31), date(2027, 2, 1), date(2027, 6, 1), date(2028, 6, 1)]
            .map(|on| fate("nodejs20.x", on));
        assert_eq!(
            fates,
            [Fate::Created, Fate::Replaced("nodejs22.x"), Fate::Replaced("nodejs24.x"), Fate::Refused]
        );
    }

    #[test]
    fn the_table_is_read_and_leads_somewhere() {
        let table: BTreeMap<&str, Runtime> = serde_json::from_str(TABLE).unwrap();
        for (name, runtime) in &table {
            assert_eq!(runtime.created_until.parse::<Date>().unwrap().to_string(), runtime.created_until);
            let Some(successor) = runtime.successor else { continue };
            assert!(table[successor].created_until >= runtime.created_until, "{name}");
        }
    }
}
