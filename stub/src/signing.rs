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
pub(crate) struct Credentials {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_key: String,
    /// `AWS_SESSION_TOKEN`; absent only in a local cloud.
    pub session_token: Option<String>,
}

/// Signs requests for one service in one region.
pub(crate) struct Signer<'a> {
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
    pub(crate) fn headers(
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
    pub(crate) fn presigned_query(&self, url: &Uri, expires: u32, hash: &str) -> String {
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
            let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            let _ = writeln!(canonical, "{name}:{value}");
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
pub(crate) fn host(url: &Uri) -> String {
    let name = url.host().unwrap_or_default();
    let usual = if url.scheme_str() == Some("http") { 80 } else { 443 };
    match url.port_u16() {
        Some(port) if port != usual => format!("{name}:{port}"),
        _ => name.to_owned(),
    }
}

/// Percent-encodes all but the unreserved characters, and `/` when `keep_slash`.
pub(crate) fn encode(text: &str, keep_slash: bool) -> String {
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
    let [year, month, day, hour, minute, second] = civil(time);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Year, month, day, hour, minute, and second of a time, in UTC.
pub(crate) fn civil(time: SystemTime) -> [u64; 6] {
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
    [year, month, day, rest / 3600, rest / 60 % 60, rest % 60]
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

    fn signer<'a>(credentials: &'a Credentials, service: &'a str) -> Signer<'a> {
        Signer { credentials, region: "eu-central-1", service, time: at(1_795_955_696) }
    }

    /// What botocore, which is the AWS CLI's, signs such requests with. All at the same time, with the same credentials.
    #[test]
    fn odd_values_are_signed_as_botocore_signs_them() {
        let credentials = |token: Option<&str>| Credentials {
            access_key: "ASIAEXAMPLE0000001".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: token.map(str::to_owned),
        };
        let odd = credentials(Some("IQoJb3JpZ2luX2Vj//a+b/+=="));
        let connections = [
            ("R0o+XA/fD0kwCH6w=", "8b970415d65e358389bed685ebe9848ab6747876ba5001cffc67f1b69f65c144"),
            ("a b~\u{fc}", "d6369bc06a99f5200fed27d3dea11ba2a5a6b70edea192e2affb8f51db2aba6e"),
        ];
        for (connection, expected) in connections {
            let management = "https://abc123.execute-api.eu-central-1.amazonaws.com/live/@connections";
            let url: Uri = format!("{management}/{}", encode(connection, false)).parse().unwrap();
            let signed = signer(&odd, "execute-api").headers("POST", &url, &[], br#"{"a":1}"#);
            assert_eq!(signature(&signed), expected, "{connection}");
        }

        let keys = [
            ("payloads/a b+c/event", "0a0f6e70ffed694789d591f7128a8cb6698cbeea26e4242db5974ab860264d03"),
            (
                "payloads/\u{fc}!*'()/part-1",
                "1cc864334f42b610cb50464c83018b8532abc38efc1603b82bcbc9053c5f5867",
            ),
            ("payloads/a/b~c_d.e", "f6667e662a59e9dd547a47f7a21841452179fcc2dc4361272fdfa39a96d1b488"),
        ];
        for (key, expected) in keys {
            let url: Uri =
                format!("https://b.s3.eu-central-1.amazonaws.com/{}", encode(key, true)).parse().unwrap();
            assert_eq!(signature(&signer(&odd, "s3").headers("PUT", &url, &[], b"abc")), expected, "{key}");
        }

        let url = Uri::from_static("https://dynamodb.eu-central-1.amazonaws.com/");
        let body = "{\"Key\":{\"pk\":{\"S\":\"a b/\u{dc}n\u{ef} \u{4e2d}\"}}}";
        let lookup = |credentials: &Credentials, content_type| {
            let headers = [("content-type", content_type), ("x-amz-target", "DynamoDB_20120810.GetItem")];
            let signed = signer(credentials, "dynamodb").headers("POST", &url, &headers, body.as_bytes());
            signature(&signed).to_owned()
        };
        let json = "application/x-amz-json-1.0";
        assert_eq!(lookup(&odd, json), "06ca32e10b36b7bd1b8c1b227ddd07c3cb869efaac1196171214c223526f7179");
        assert_eq!(
            lookup(&odd, "  application/x-amz-json-1.0;   a = b   c "),
            "799fd526c477a5089111ca5947eb91f5e2d843bdea803780043a083545ab2de4"
        );
        assert_eq!(
            lookup(&credentials(None), json),
            "1e109fa49402400334af1e45e4443ca4f703ac63572cd7265f52da98c8a68cc7"
        );

        let url = Uri::from_static("https://abc123.execute-api.eu-central-1.amazonaws.com/live");
        let query = signer(&odd, "execute-api").presigned_query(&url, 120, &sha256_hex(b""));
        assert!(
            query.ends_with(
                "&X-Amz-Signature=49dabf2e18704dda54e2dbf3da29defe4290cbd94f70368da9ad5e6a0e9b3a28"
            ),
            "{query}"
        );
    }

    #[test]
    fn the_port_is_part_of_the_host_only_when_it_is_unusual() {
        assert_eq!(host(&Uri::from_static("http://127.0.0.1:4566/x")), "127.0.0.1:4566");
        assert_eq!(host(&Uri::from_static("https://a.example:443/x")), "a.example");
    }
}
