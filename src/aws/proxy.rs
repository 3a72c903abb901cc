//! The proxies through which this program reaches AWS: which there are, and for what. The environment says so, as for other tools.

use std::{ffi::OsString, fmt, net::IpAddr, sync::Arc};

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;

use crate::error::{Error, Kind, Result};

/// The variables that name the proxy for HTTPS, and for HTTP. The first one that is set counts, as it does for curl, Node and Python.
const FOR_HTTPS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const FOR_HTTP: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

/// The variables that say what is reached without a proxy.
const DIRECT: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// Where machines of AWS's have their credentials, by IPv6. By IPv4 it is a link-local address.
const METADATA: &str = "fd00:ec2::254";

/// Which proxy is for what. Cheap to clone; the default has none.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies(Option<Arc<Rules>>);

#[derive(Debug)]
struct Rules {
    http: Option<Arc<Proxy>>,
    https: Option<Arc<Proxy>>,
    direct: Vec<Direct>,
}

/// One proxy.
pub(super) struct Proxy {
    /// The variable that names it.
    variable: &'static str,
    /// Its URL, with the user and the password. For nobody's eyes.
    uri: Uri,
    authorization: Option<HeaderValue>,
}

/// Hosts that are reached without a proxy.
#[derive(Debug)]
struct Direct {
    /// It takes everything for itself but these.
    hosts: Matcher,
    /// If only one port of them is meant.
    port: Option<u16>,
}

impl Proxies {
    /// Those of this process's environment.
    ///
    /// # Errors
    /// [`Kind::Usage`] when a variable holds something else than the URL of an HTTP proxy.
    pub(super) fn from_environment() -> Result<Self> {
        Self::of_variables(|name| std::env::var_os(name))
    }

    /// Those of variables.
    pub(super) fn of_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let first = |names: &[&'static str]| {
            let mut set = names.iter().filter_map(|name| Some((*name, variable(name)?)));
            // An empty one says that there is none.
            set.next().filter(|(_, value)| !value.is_empty())
        };
        let proxy = |names| first(names).map(|(name, value)| Proxy::parse(name, &value)).transpose();
        let (http, https) = (proxy(&FOR_HTTP)?, proxy(&FOR_HTTPS)?);
        if http.is_none() && https.is_none() {
            return Ok(Self::default());
        }
        let direct = first(&DIRECT).map(|(_, value)| Direct::parse(&value.to_string_lossy()));
        let rules = Rules {
            http: http.map(Arc::new),
            https: https.map(Arc::new),
            direct: direct.unwrap_or_default(),
        };
        Ok(Self(Some(Arc::new(rules))))
    }

    /// The proxy through which a URL is reached. What is on this machine, or on the link to it, is reached without one.
    pub(super) fn to(&self, uri: &Uri) -> Option<&Arc<Proxy>> {
        let rules = self.0.as_ref()?;
        let secure = is_secure(uri);
        let proxy = if secure { rules.https.as_ref() } else { rules.http.as_ref() }?;
        let (host, port) = place(uri)?;
        let is_direct = is_here(&host) || rules.direct.iter().any(|direct| direct.contains(&host, port));
        (!is_direct).then_some(proxy)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Proxy>> {
        self.0.iter().flat_map(|rules| rules.http.iter().chain(&rules.https))
    }
}

impl Proxy {
    /// What a variable names.
    fn parse(variable: &'static str, value: &OsString) -> Result<Self> {
        let text = value.to_string_lossy();
        let text = text.trim();
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let wrong = || {
            // What is before the last `@` may be a password.
            let (scheme, rest) = whole.split_once("://").unwrap_or_default();
            let place = rest.rsplit('@').next().unwrap_or_default();
            Error::new(Kind::Usage, format!("`{variable}` is not the URL of an HTTP proxy"))
                .detail(format!("it leads to `{scheme}://{place}`"))
                .hint(
                    "set it to a URL such as `http://proxy.example:3128` or `http://user:password@proxy.example:3128`, \
                     where characters such as `@`, `:` and `/` of the password are written `%40`, `%3A` and `%2F`",
                )
        };
        let uri: Uri = whole.parse().map_err(|_| wrong())?;
        let of_http = matches!(uri.scheme_str(), Some("http" | "https"));
        // Anything else comes of a password that is not encoded.
        let host = uri.host().unwrap_or_default();
        let place = uri.port_u16().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let (_, authority) = whole.trim_end_matches('/').split_once("://").unwrap_or_default();
        let bare = authority.split_once('@').map_or(authority, |(_, rest)| rest) == place;
        let matched = Matcher::builder().all(&whole).build().intercept(&Uri::from_static("https://aws"));
        match matched {
            Some(matched) if of_http && bare && !host.is_empty() => {
                Ok(Self { variable, authorization: matched.basic_auth().cloned(), uri })
            }
            _ => Err(wrong()),
        }
    }

    /// Its URL, with the user and the password.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// What a request says of who makes it.
    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Its host and port, and nothing else.
    pub(super) fn place(&self) -> String {
        let host = self.uri.host().unwrap_or_default();
        place(&self.uri).map_or_else(|| host.to_owned(), |(_, port)| format!("{host}:{port}"))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the proxy `{}` of `{}`", self.place(), self.variable)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Direct {
    /// What a variable lists, by commas or blanks: names with all that are below them, with or without a dot or `*.` in front, addresses,
    /// networks such as `10.0.0.0/8`, each with a port or without, or `*` for all.
    fn parse(list: &str) -> Vec<Self> {
        let entries = list.split([',', ' ', '\t', '\n']).filter(|entry| !entry.is_empty());
        entries.map(Self::entry).collect()
    }

    fn entry(entry: &str) -> Self {
        let port = entry.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
        let port = port.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = port.map_or((entry, None), |(host, port)| (host, Some(port)));
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        let host = if host.starts_with("*.") { &host[1..] } else { host };
        Self { hosts: Matcher::builder().all("http://proxy").no(host).build(), port }
    }

    fn contains(&self, host: &str, port: u16) -> bool {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let uri = format!("https://{host}/").parse::<Uri>();
        self.port.is_none_or(|own| own == port) && uri.is_ok_and(|uri| self.hosts.intercept(&uri).is_none())
    }
}

/// Whether a URL is one of TLS.
pub(super) fn is_secure(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("https" | "wss"))
}

/// The host of a URL, without brackets, and its port.
pub(super) fn place(uri: &Uri) -> Option<(String, u16)> {
    let host = uri.host()?.trim_matches(['[', ']']).trim_end_matches('.');
    Some((host.to_owned(), uri.port_u16().unwrap_or(if is_secure(uri) { 443 } else { 80 })))
}

/// Whether a host is this machine, or one that only this machine reaches.
fn is_here(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            address.is_loopback() || address.is_unspecified() || address.is_link_local()
        }
        Ok(IpAddr::V6(address)) => {
            let mapped = address.to_ipv4_mapped().is_some_and(|address| address.is_loopback());
            mapped
                || address.is_loopback()
                || address.is_unspecified()
                || address.is_unicast_link_local()
                || host == METADATA
        }
        Err(_) => {
            let host = host.to_ascii_lowercase();
            host == "localhost" || host.ends_with(".localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies> {
        Proxies::of_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    fn way(variables: &[(&str, &str)], url: &str) -> Option<String> {
        proxies(variables).unwrap().to(&url.parse().unwrap()).map(ToString::to_string)
    }

    #[test]
    fn a_proxy_is_for_its_scheme_by_whatever_variable() {
        let [one, other] = ["http://one:1", "http://other:2"];
        let named = |place: &str, variable: &str| Some(format!("the proxy `{place}` of `{variable}`"));
        let table = [
            (vec![], "https://a.example", None),
            (vec![("HTTPS_PROXY", one)], "https://a.example", named("one:1", "HTTPS_PROXY")),
            (vec![("HTTPS_PROXY", one)], "wss://a.example", named("one:1", "HTTPS_PROXY")),
            (vec![("HTTPS_PROXY", one)], "http://a.example", None),
            (vec![("HTTP_PROXY", one)], "https://a.example", None),
            (vec![("HTTP_PROXY", one)], "ws://a.example", named("one:1", "HTTP_PROXY")),
            (vec![("http_proxy", one)], "http://a.example", named("one:1", "http_proxy")),
            (
                vec![("https_proxy", one), ("HTTPS_PROXY", other)],
                "https://a.example",
                named("one:1", "https_proxy"),
            ),
            (vec![("https_proxy", ""), ("HTTPS_PROXY", other)], "https://a.example", None),
            (
                vec![("ALL_PROXY", one), ("HTTPS_PROXY", other)],
                "https://a.example",
                named("other:2", "HTTPS_PROXY"),
            ),
            (vec![("ALL_PROXY", one)], "http://a.example", named("one:1", "ALL_PROXY")),
            (vec![("HTTPS_PROXY", "one:1")], "https://a.example", named("one:1", "HTTPS_PROXY")),
            (vec![("HTTPS_PROXY", " http://one/ ")], "https://a.example", named("one:80", "HTTPS_PROXY")),
            (vec![("HTTPS_PROXY", "https://one")], "https://a.example", named("one:443", "HTTPS_PROXY")),
            (
                vec![("HTTPS_PROXY", "http://[fd00::1]:1")],
                "https://a.example",
                named("[fd00::1]:1", "HTTPS_PROXY"),
            ),
        ];
        for (variables, url, expected) in table {
            assert_eq!(way(&variables, url), expected, "{variables:?} {url}");
        }
    }

    #[test]
    fn what_no_proxy_names_is_reached_directly() {
        let table = [
            ("", "https://a.example", false),
            ("*", "https://a.example", true),
            ("a.example", "https://a.example", true),
            ("A.Example", "https://a.eXample", true),
            ("a.example.", "https://a.example", true),
            ("a.example", "https://a.example.", true),
            ("a.example", "https://b.a.example", true),
            (".a.example", "https://b.a.example", true),
            (".a.example", "https://a.example", true),
            ("*.a.example", "https://b.a.example", true),
            ("a.example", "https://ba.example", false),
            ("example", "https://example.org", false),
            ("b.example, a.example", "https://a.example", true),
            ("b.example a.example", "https://a.example", true),
            (",, ,", "https://a.example", false),
            ("a.example:443", "https://a.example", true),
            ("a.example:443", "https://a.example:8443", false),
            ("a.example:8443", "wss://a.example:8443", true),
            (".example:80", "https://a.example", false),
            ("*:8443", "https://a.example:8443", true),
            ("10.0.0.0/8", "https://10.1.2.3", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("10.1.2.3", "https://10.1.2.3:444", true),
            ("10.1.2.3:443", "https://10.1.2.3:444", false),
            ("10.1.2.0/24:443", "https://10.1.2.3", true),
            ("fd00::/8", "https://[fd00::1]", true),
            ("fd00::1", "https://[fd00::1]:444", true),
            ("[fd00::1]", "https://[fd00::1]:444", true),
            ("[fd00::1]:443", "https://[fd00::1]:444", false),
            ("[fd00::1]:443", "https://[fd00::1]", true),
            ("169.254.1.1", "https://169.253.1.1", false),
        ];
        for (list, url, expected) in table {
            for name in DIRECT {
                let way = way(&[("HTTPS_PROXY", "http://proxy"), (name, list)], url);
                assert_eq!(way.is_none(), expected, "{name}={list} {url}");
            }
        }
    }

    #[test]
    fn this_machine_is_reached_directly_whatever_the_variables_say() {
        for host in [
            "localhost",
            "LOCALHOST:4566",
            "a.localhost",
            "127.0.0.1:4566",
            "127.1.2.3",
            "[::1]:80",
            "[::ffff:127.0.0.1]",
            "0.0.0.0:1",
            "169.254.169.254",
            "169.254.170.2",
            "[fd00:ec2::254]",
            "[fe80::1]",
        ] {
            for scheme in ["http", "https", "ws", "wss"] {
                assert_eq!(way(&[("ALL_PROXY", "http://proxy")], &format!("{scheme}://{host}/")), None);
            }
        }
    }

    #[test]
    fn users_and_passwords_are_decoded_and_not_shown() {
        let value = "http://de%3Av%40company:p%40ss%2Fw%3Ard%25%23@proxy:3128";
        let proxies = proxies(&[("HTTPS_PROXY", value)]).unwrap();
        let proxy = proxies.to(&"https://a.example".parse().unwrap()).unwrap();
        // `de:v@company:p@ss/w:rd%#`
        assert_eq!(proxy.authorization().unwrap(), "Basic ZGU6dkBjb21wYW55OnBAc3MvdzpyZCUj");
        assert_eq!(proxy.uri(), value);
        assert_eq!(
            format!("{proxy:?} {proxy}"),
            [["the proxy `proxy:3128` of `HTTPS_PROXY`"; 2]].concat().join(" ")
        );
        assert!(!format!("{proxies:?}").contains("p%40ss"));
    }

    #[test]
    fn what_is_no_url_of_a_proxy_is_refused_without_its_password() {
        for value in [
            "http://user:secret@",
            "http://user:sec@ret@proxy:1",
            "http://user:sec/ret@proxy:1",
            "http://user:sec#ret@proxy:1",
            "http://user:sec ret@proxy:1",
            "socks5://user:secret@proxy:1",
            "ftp://proxy",
            "http://",
            "://",
            "http://proxy:port",
            "http://proxy/path",
        ] {
            let error = proxies(&[("https_proxy", value)]).unwrap_err();
            assert_eq!(error.message, "`https_proxy` is not the URL of an HTTP proxy", "{value}");
            assert_eq!(error.kind, Kind::Usage);
            let said = format!("{error:?}");
            assert!(!said.contains("sec") && !said.contains("user:s"), "{said}");
        }
    }
}
