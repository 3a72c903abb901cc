//! What tells a web page's request from that of a program on this machine. A page can send requests to 127.0.0.1, under any name
//! that resolves to it.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

/// Where a page is from that a browser sends a request for, as seen from where it is sent to.
pub(crate) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a page sent it. Browsers add these headers, and a page cannot take them away. `Sec-Fetch-Site: none` is an address that
/// somebody has typed.
#[must_use]
pub(crate) fn is_of_page(headers: &HeaderMap) -> bool {
    let sites = headers.get_all(SEC_FETCH_SITE);
    headers.contains_key(header::ORIGIN)
        || headers.contains_key(header::REFERER)
        || sites.iter().any(|site| site != "none")
}

/// Whether a browser sent it, for whomever. The mode says nothing by itself: Node's own `fetch` sends this one as well.
#[must_use]
pub(crate) fn is_of_browser(headers: &HeaderMap) -> bool {
    let tells = |(name, value): (&HeaderName, &HeaderValue)| {
        name.as_str().starts_with("sec-fetch-") && (name.as_str() != "sec-fetch-mode" || value != "cors")
    };
    is_of_page(headers) || headers.iter().any(tells)
}

/// The port on this machine that a request was sent to, by name; none in it is 80. `None` unless the request names exactly one
/// place, and that is this machine under a name that nobody else can have point here.
#[must_use]
pub(crate) fn local_port(uri: &Uri, headers: &HeaderMap) -> Option<u16> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, None) = (hosts.next()?.to_str().ok()?, hosts.next()) else { return None };
    // A request may name a place in its first line as well, which then has to be the same.
    if uri.authority().is_some_and(|authority| authority.as_str() != host) {
        return None;
    }
    let (name, rest) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_local = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let port = match rest.strip_prefix(':') {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok()?,
        None if rest.is_empty() => 80,
        _ => return None,
    };
    is_local.then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_plain_local_name_is_one() {
        let table: &[(&[&str], Option<u16>)] = &[
            (&["127.0.0.1:9229"], Some(9229)),
            (&["LOCALHOST:9229"], Some(9229)),
            (&["[::1]:9229"], Some(9229)),
            (&["localhost"], Some(80)),
            (&["127.8.8.8"], Some(80)),
            (&[], None),
            (&[""], None),
            (&["evil.example:9229"], None),
            (&["localhost.evil.example"], None),
            (&["127.0.0.1.evil.example"], None),
            (&["192.168.1.2:9229"], None),
            (&["0.0.0.0:9229"], None),
            (&["localhost:80@evil.example"], None),
            (&["user@localhost"], None),
            (&["localhost:"], None),
            (&["localhost:+80"], None),
            (&["localhost:70000"], None),
            (&["localhost:80:80"], None),
            (&["[::1"], None),
            (&["[::1]80"], None),
            (&["localhost, evil.example"], None),
            (&["localhost", "localhost"], None),
            (&["localhost", "evil.example"], None),
            (&["evil.example", "localhost"], None),
        ];
        for (hosts, port) in table {
            let mut headers = HeaderMap::new();
            for host in *hosts {
                headers.append(header::HOST, host.parse().unwrap());
            }
            assert_eq!(local_port(&Uri::from_static("/a"), &headers), *port, "{hosts:?}");
        }
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost:1"))]);
        assert_eq!(local_port(&Uri::from_static("http://localhost:1/a"), &headers), Some(1));
        assert_eq!(local_port(&Uri::from_static("http://evil.example/a"), &headers), None);
    }

    type Headers = &'static [(&'static str, &'static str)];

    #[test]
    fn pages_and_browsers_say_what_they_are() {
        // The headers, and whether they are a page's, and a browser's.
        let table: &[(Headers, bool, bool)] = &[
            (&[], false, false),
            (&[("origin", "http://localhost")], true, true),
            (&[("origin", "null")], true, true),
            (&[("referer", "http://localhost/a")], true, true),
            (&[("sec-fetch-site", "cross-site")], true, true),
            (&[("sec-fetch-site", "same-origin")], true, true),
            (&[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")], true, true),
            (&[("sec-fetch-site", "none")], false, true),
            (&[("sec-fetch-dest", "image")], false, true),
            (&[("sec-fetch-user", "?1")], false, true),
            (&[("sec-fetch-mode", "no-cors")], false, true),
            (&[("sec-fetch-mode", "cors")], false, false),
        ];
        for (given, page, browser) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in *given {
                headers.append(HeaderName::from_static(name), value.parse().unwrap());
            }
            assert_eq!((is_of_page(&headers), is_of_browser(&headers)), (*page, *browser), "{given:?}");
        }
    }
}
