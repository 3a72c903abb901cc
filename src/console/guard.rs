//! Who is answered: programs of this machine that know the token, and the session's own page.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::web_pages::{SEC_FETCH_SITE, local_port};

/// What a browser is told with every answer: to keep none of it, to take it for nothing else than what it is, to tell nobody where a link
/// was, and to let no page of others have it.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];

/// No page of another origin is answered, whatever it asks for.
pub(super) async fn from_here(request: Request, next: Next) -> Response {
    let mut response = match is_from_here(request.uri(), request.headers()) {
        true => next.run(request).await,
        false => (StatusCode::FORBIDDEN, "not for pages of others\n").into_response(),
    };
    response.headers_mut().extend(HEADERS);
    response
}

/// Whoever does not know the token learns nothing, not even what there is.
pub(super) async fn with_token(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    if !knows(&token, request.headers()) {
        return (StatusCode::UNAUTHORIZED, "the token of .sst/session.json is missing\n").into_response();
    }
    next.run(request).await
}

/// Whether a request is sent to this machine by its name, and not by a page of another origin than this one.
fn is_from_here(uri: &Uri, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let own = format!("http://{host}");
    let is_own = |origin: &HeaderValue| origin.as_bytes() == own.as_bytes();
    let is_same = |site: &HeaderValue| site == "same-origin" || site == "none";
    // All that older browsers say when a page of others wants an image or a script. Our own page has them say nothing.
    let is_below_own = |referer: &HeaderValue| {
        referer.as_bytes().strip_prefix(own.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
    };
    local_port(uri, headers).is_some()
        && headers.get_all(header::ORIGIN).iter().all(is_own)
        && headers.get_all(SEC_FETCH_SITE).iter().all(is_same)
        && headers.get_all(header::REFERER).iter().all(is_below_own)
}

fn knows(token: &str, headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return false };
    let Some(shown) = value.as_bytes().strip_prefix(b"Bearer ") else { return false };
    // How long it takes says nothing of how much of it is right.
    shown.len() == token.len()
        && shown.iter().zip(token.as_bytes()).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_origins_and_sites() {
        let table: &[(&[(&str, &str)], bool)] = &[
            (&[("host", "127.0.0.1:13557")], true),
            (
                &[
                    ("host", "localhost:13557"),
                    ("origin", "http://localhost:13557"),
                    ("sec-fetch-site", "same-origin"),
                ],
                true,
            ),
            (&[("host", "127.0.0.1:13557"), ("sec-fetch-site", "none")], true),
            (&[("host", "127.0.0.1:13557"), ("referer", "http://127.0.0.1:13557/")], true),
            (&[("host", "127.0.0.1:13557"), ("referer", "http://evil.example/")], false),
            (&[("host", "127.0.0.1:13557"), ("referer", "http://127.0.0.1:13557.evil.example/")], false),
            (&[], false),
            (&[("host", "evil.example:13557")], false),
            (&[("host", "localhost"), ("host", "localhost")], false),
            // A page of another port of this machine is of another origin.
            (&[("host", "127.0.0.1:13557"), ("origin", "http://127.0.0.1:3000")], false),
            (&[("host", "127.0.0.1:13557"), ("origin", "http://localhost:13557")], false),
            (&[("host", "127.0.0.1:13557"), ("sec-fetch-site", "same-site")], false),
            (&[("host", "127.0.0.1:13557"), ("sec-fetch-site", "cross-site")], false),
            (&[("host", "127.0.0.1:13557"), ("origin", "null")], false),
            (
                &[
                    ("host", "127.0.0.1:13557"),
                    ("origin", "http://127.0.0.1:13557"),
                    ("origin", "http://evil.example"),
                ],
                false,
            ),
        ];
        for (headers, allowed) in table {
            let map = map_of(headers);
            assert_eq!(is_from_here(&Uri::from_static("/api/v1/state"), &map), *allowed, "{headers:?}");
        }
    }

    #[test]
    fn only_the_token_is_it() {
        let table: &[(&[&str], bool)] = &[
            (&["Bearer abc"], true),
            (&["Bearer abd"], false),
            (&["Bearer ab"], false),
            (&["Bearer abcd"], false),
            (&["bearer abc"], false),
            (&["Basic abc"], false),
            (&["Bearer abc", "Bearer abc"], false),
            (&[], false),
        ];
        for (values, right) in table {
            let headers: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
            assert_eq!(knows("abc", &map_of(&headers)), *right, "{values:?}");
        }
    }

    fn map_of(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }
}
