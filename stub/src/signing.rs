//! AWS Signature Version 4, for the four kinds of request that the stub makes.

use std::{
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use hmac::{Hmac, KeyInit, Mac};
use hyper::Uri;
use sha2::Sha256;
use sst_wire::sha256_hex;

/// The credentials of the function's role. No `Debug`, so that they cannot end up in a log.
#[derive(Clone)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_key: String,
    /// `AWS_SESSION_TOKEN`; absent only in a local cloud.
    pub session_token: Option<String>,
}

/// Signs requests for one service in one region.
pub struct Signer<'a> {
    /// Who signs.
    pub credentials: &'a Credentials,
    /// The region of the service.
    pub region: &'a str,
    /// The signing name of the service, e.g. `execute-api`.
    pub service: &'a str,
    /// The time of the signature.
    pub time: SystemTime,
}

impl Signer<'_> {
    /// The headers that authorise a request, `host` excluded, because every request has it anyway. `headers` are
    /// further headers to sign, with lowercase names; they are not repeated in the result.
    pub fn headers(
        &self,
        method: &str,
        url: &Uri,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Vec<(String, String)> {
        let stamp = timestamp(self.time);
        let hash = sha256_hex(body);
        let mut added = vec![("x-amz-date".to_owned(), stamp.clone())];
        if let Some(token) = &self.credentials.session_token {
            added.push(("x-amz-security-token".to_owned(), token.clone()));
        }
        if self.service == "s3" {
            added.push(("x-amz-content-sha256".to_owned(), hash.clone()));
        }
        let mut all: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        all.push(("host".to_owned(), host(url)));
        all.extend(added.iter().cloned());
        all.sort();
        let names = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let query = canonical_query(url.query().unwrap_or_default());
        let signature = self.signature(&stamp, method, url, &query, &all, &names, &hash);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={names}, Signature={signature}",
            self.credentials.access_key,
            self.scope(&stamp),
        );
        added.push(("authorization".to_owned(), authorization));
        added
    }

    /// The query that authorises a GET of `url`. The session token is part of what is signed, as API Gateway
    /// wants it. `hash` is the SHA-256 of the body or `UNSIGNED-PAYLOAD`.
    pub fn presigned_query(&self, url: &Uri, expires: u32, hash: &str) -> String {
        let stamp = timestamp(self.time);
        let credential = format!("{}/{}", self.credentials.access_key, self.scope(&stamp));
        let mut query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={stamp}&X-Amz-Expires={expires}",
            encode(&credential, false),
        );
        if let Some(token) = &self.credentials.session_token {
            let _ = write!(query, "&X-Amz-Security-Token={}", encode(token, false));
        }
        query.push_str("&X-Amz-SignedHeaders=host");
        let headers = [("host".to_owned(), host(url))];
        let signature = self.signature(&stamp, "GET", url, &query, &headers, "host", hash);
        format!("{query}&X-Amz-Signature={signature}")
    }

    #[expect(clippy::too_many_arguments, reason = "they are the lines of the canonical request, in order")]
    fn signature(
        &self,
        stamp: &str,
        method: &str,
        url: &Uri,
        query: &str,
        headers: &[(String, String)],
        names: &str,
        hash: &str,
    ) -> String {
        // Every service but S3 encodes the path that is sent once more.
        let path = if self.service == "s3" { url.path().to_owned() } else { encode(url.path(), true) };
        let mut canonical = format!("{method}\n{path}\n{query}\n");
        for (name, value) in headers {
            let _ = writeln!(canonical, "{name}:{}", value.trim());
        }
        let _ = write!(canonical, "\n{names}\n{hash}");
        let to_sign =
            format!("AWS4-HMAC-SHA256\n{stamp}\n{}\n{}", self.scope(stamp), sha256_hex(canonical.as_bytes()));
        let secret = format!("AWS4{}", self.credentials.secret_key);
        let key = [&stamp[..8], self.region, self.service, "aws4_request", &to_sign]
            .iter()
            .fold(secret.into_bytes(), |key, text| hmac(&key, text.as_bytes()));
        key.iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    fn scope(&self, stamp: &str) -> String {
        format!("{}/{}/{}/aws4_request", &stamp[..8], self.region, self.service)
    }
}

/// The `Host` header of a URL: without the port when it is the scheme's own.
pub fn host(url: &Uri) -> String {
    let name = url.host().unwrap_or_default();
    let usual = if url.scheme_str() == Some("http") { 80 } else { 443 };
    match url.port_u16() {
        Some(port) if port != usual => format!("{name}:{port}"),
        _ => name.to_owned(),
    }
}

/// Percent-encodes all but the unreserved characters, and `/` when `keep_slash`.
pub fn encode(text: &str, keep_slash: bool) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slash && byte == b'/') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
        .collect();
    pairs.sort();
    pairs.join("&")
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length; the error exists only because the trait is shared with other algorithms.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// `YYYYMMDDTHHMMSSZ`.
fn timestamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days are counted in years that begin in March, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn signature(headers: &[(String, String)]) -> &str {
        headers.last().unwrap().1.rsplit_once("Signature=").unwrap().1
    }

    #[test]
    fn time_is_written_as_aws_wants_it() {
        assert_eq!(timestamp(at(1_440_938_160)), "20150830T123600Z");
        assert_eq!(timestamp(at(1_709_210_096)), "20240229T123456Z");
        assert_eq!(timestamp(at(1_735_689_599)), "20241231T235959Z");
        assert_eq!(timestamp(at(0)), "19700101T000000Z");
    }

    /// `get-vanilla` and `get-vanilla-query-order-key-case` of the SigV4 test suite that AWS publishes.
    #[test]
    fn the_published_test_suite_is_met() {
        let credentials = Credentials {
            access_key: "AKIDEXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
        };
        let signer = Signer {
            credentials: &credentials,
            region: "us-east-1",
            service: "service",
            time: at(1_440_938_160),
        };
        let url = Uri::from_static("https://example.amazonaws.com/");
        assert_eq!(
            signature(&signer.headers("GET", &url, &[], b"")),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        let url = Uri::from_static("https://example.amazonaws.com/?Param2=value2&Param1=value1");
        assert_eq!(
            signature(&signer.headers("GET", &url, &[], b"")),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
        );
    }

    /// The examples of the pages "Authenticating Requests" of the S3 API reference.
    #[test]
    fn the_published_s3_examples_are_met() {
        let credentials = Credentials {
            access_key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
        };
        let signer =
            Signer { credentials: &credentials, region: "us-east-1", service: "s3", time: at(1_369_353_600) };
        let url = Uri::from_static("https://examplebucket.s3.amazonaws.com/test.txt");
        assert_eq!(
            signature(&signer.headers("GET", &url, &[("range", "bytes=0-9")], b"")),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let query = signer.presigned_query(&url, 86_400, "UNSIGNED-PAYLOAD");
        assert!(
            query.ends_with(
                "X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
            )
        );
    }

    #[test]
    fn the_port_is_part_of_the_host_only_when_it_is_unusual() {
        assert_eq!(host(&Uri::from_static("http://127.0.0.1:4566/x")), "127.0.0.1:4566");
        assert_eq!(host(&Uri::from_static("https://a.example:443/x")), "a.example");
    }
}
