//! The session's page: files that are part of the program, so that a browser loads nothing from anywhere else.
//!
//! They hold no secrets, so they need no token. What they ask the API for needs it.

use std::path::PathBuf;

use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

/// A directory whose files are served instead of those in the program, for whoever works on the page.
const DIRECTORY: &str = "SST_CONSOLE_DIR";

/// What the page may load, and who may show it: itself only, and nobody. No form is sent anywhere, and no other base makes its addresses mean
/// something else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../console/", $name)))),*]
    };
}

/// Name → content, in the order in which a browser needs them.
const FILES: &[(&str, &[u8])] = files![
    "index.html",
    "console.css",
    "icon.svg",
    "main.mjs",
    "api.mjs",
    "call.mjs",
    "calls.mjs",
    "copies.mjs",
    "decode.mjs",
    "diff.mjs",
    "document.mjs",
    "editor.mjs",
    "events.mjs",
    "format.mjs",
    "functions.mjs",
    "html.mjs",
    "links.mjs",
    "overview.mjs",
    "parts.mjs",
    "store.mjs",
    "vendor/preact.mjs",
    "vendor/hooks.mjs",
    "vendor/htm.mjs",
    "vendor/signals-core.mjs",
    "vendor/signals.mjs",
];

/// Answers for each of the files; `/` is the first one.
pub(super) fn router() -> Router {
    let directory = std::env::var_os(DIRECTORY).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut router = Router::new();
    for &(name, content) in FILES {
        let directory = directory.clone();
        let address = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
        let answer = async move || match directory {
            None => file(name, content.into_response()),
            Some(directory) => match tokio::fs::read(directory.join(name)).await {
                Ok(content) => file(name, content.into_response()),
                Err(error) => (StatusCode::NOT_FOUND, format!("{name}: {error}\n")).into_response(),
            },
        };
        router = router.route(&address, get(answer));
    }
    router
}

fn file(name: &str, mut content: Response) -> Response {
    let kind = match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    };
    let headers = content.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    content
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
        let mut there = BTreeSet::new();
        for directory in [root.clone(), root.join("vendor")] {
            for path in directory.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                // What is beside the vendored files tells where they are from.
                if path.is_file() && !name.ends_with(".json") && !name.ends_with(".txt") {
                    there.insert(name);
                }
            }
        }
        let served: BTreeSet<String> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(served, there);
    }
}
