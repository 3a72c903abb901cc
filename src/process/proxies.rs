//! What other programs are told of proxies: that this machine is reached without one. Node's, Ruby's, and .NET's clients go by what the
//! variables say, and the Runtime API, the local cloud and debuggers are here.

/// The variables that name a proxy.
const PROXIES: [&str; 6] =
    ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// The variables that say what is reached without one. Some programs look at one of them, and some at the other.
const DIRECT: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The names of this machine.
const HERE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The variables that a program with these variables needs, so that it asks no proxy for this machine. None where it has no proxy.
pub(crate) fn kept_direct<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Vec<(&'static str, String)> {
    let set = |name: &&'static str| variable(name).is_some_and(|value| !value.is_empty());
    if !PROXIES.iter().any(set) {
        return Vec::new();
    }
    let either = DIRECT.iter().find_map(|name| variable(name)).unwrap_or_default();
    let names = DIRECT.into_iter();
    let given = names.map(|name| (name, variable(name).unwrap_or(either)));
    let whole = given.map(|(name, given)| {
        let listed = |here: &&str| given.split([',', ' ']).any(|entry| entry == "*" || entry == *here);
        let missing = HERE.into_iter().filter(|here| !listed(here));
        let all: Vec<&str> =
            Some(given).filter(|given| !given.is_empty()).into_iter().chain(missing).collect();
        (name, all.join(","))
    });
    whole.filter(|(name, value)| variable(name) != Some(value.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_added_to_what_is_direct_where_there_is_a_proxy() {
        let here = "localhost,127.0.0.1,::1";
        /// The variables, and what the two become.
        type Case<'a> = (&'a [(&'a str, &'a str)], [Option<&'a str>; 2]);
        let table: [Case<'_>; 8] = [
            (&[], [None, None]),
            (&[("no_proxy", "a")], [None, None]),
            (&[("HTTPS_PROXY", ""), ("NO_PROXY", "a")], [None, None]),
            (&[("HTTPS_PROXY", "p")], [Some(here), Some(here)]),
            (
                &[("http_proxy", "p"), ("NO_PROXY", "a, b")],
                [Some("a, b,localhost,127.0.0.1,::1"), Some("a, b,localhost,127.0.0.1,::1")],
            ),
            (
                &[("ALL_PROXY", "p"), ("NO_PROXY", "a"), ("no_proxy", "localhost b")],
                [Some("localhost b,127.0.0.1,::1"), Some("a,localhost,127.0.0.1,::1")],
            ),
            (&[("ALL_PROXY", "p"), ("NO_PROXY", "*")], [Some("*"), None]),
            (&[("ALL_PROXY", "p"), ("NO_PROXY", here), ("no_proxy", here)], [None, None]),
        ];
        for (variables, [small, large]) in table {
            let get =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            let expected = [("no_proxy", small), ("NO_PROXY", large)];
            let expected: Vec<(&str, String)> =
                expected.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))).collect();
            assert_eq!(kept_direct(get), expected, "{variables:?}");
        }
    }
}
