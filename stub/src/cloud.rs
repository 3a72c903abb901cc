//! The signed requests: the registration, large payloads, and messages to the client.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use bytes::Bytes;
use hyper::Uri;
use serde_json::{Value, json};
use sst_wire::{Payload, Registration, VERSION, jitter, storage_patience};
use tokio::time::{Instant, sleep};

use crate::{
    clock::{Clock, epoch},
    http::{Answer, Client, HttpError},
    problem::{Maker, Problem},
    runtime_api::Call,
    settings::Settings,
    signing::{Signer, civil, encode},
};

/// How long one signed request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(8);

/// How long a denial is taken for a permission that has not spread yet, after the environment started.
const PERMISSIONS_SPREAD: Duration = Duration::from_secs(12);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Who answers for the function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registered {
    /// The client process.
    pub client: String,
    /// Its connection.
    pub connection: String,
    /// Who runs the client.
    pub owner: String,
    /// See [`Registration::HOME`].
    pub home: String,
}

/// What has become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Posted {
    /// API Gateway has taken it.
    Arrived,
    /// The connection is gone, and the message with it.
    Gone,
    /// The connection is gone now, but an earlier attempt, whose answer was lost, may have arrived.
    MaybeBefore,
}

/// What the table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// This one answers.
    Found(Registered),
    /// Nobody does; why, and who was the last, as a fragment.
    Nobody(String),
    /// Somebody did, and may come back: their machine may be waking up. Why nobody does, as a fragment.
    Lapsed(String),
}

/// The services of the debug stack.
pub(crate) struct Cloud {
    /// The connections.
    pub http: Client,
    /// The settings.
    pub settings: Settings,
    /// What time it is.
    pub clock: Clock,
    started: Instant,
}

impl Cloud {
    /// The services as the settings name them.
    pub(crate) fn new(http: Client, settings: Settings) -> Self {
        Self { http, settings, clock: Clock::default(), started: Instant::now() }
    }

    /// Looks up who answers for the function, trying until `until`.
    pub(crate) async fn registration(&self, until: Instant) -> Result<Lookup, Problem> {
        let config = &self.settings.config;
        let body = json!({
            "TableName": config.table,
            "Key": { (Registration::KEY): { "S": config.function } },
            "ConsistentRead": true,
        });
        let headers =
            [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "DynamoDB_20120810.GetItem")];
        let action = "read who runs `sst start` from DynamoDB";
        let answer = self
            .send(
                until,
                action,
                "dynamodb",
                "POST",
                &self.settings.dynamodb,
                &headers,
                body.to_string().into(),
            )
            .await?;
        if answer.status == 400 && answer.text().contains("ResourceNotFoundException") {
            return Err(Problem::Removed { maker: Maker::of(config) });
        }
        if answer.status != 200 {
            return Err(self.failed(action, &answer));
        }
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        registered(&value["Item"], epoch(self.clock.now()))
    }

    /// Sends a message to a client, trying until `until`.
    pub(crate) async fn post(&self, until: Instant, connection: &str, text: &str) -> Result<Posted, Problem> {
        let url = self.connection(connection)?;
        let action = "send the event to `sst start`";
        let body = Bytes::copy_from_slice(text.as_bytes());
        let answer = self.send(until, action, "execute-api", "POST", &url, &[], body).await?;
        match answer.status {
            200..300 => Ok(Posted::Arrived),
            410 if answer.repeated => Ok(Posted::MaybeBefore),
            410 => Ok(Posted::Gone),
            _ => Err(self.failed(action, &answer)),
        }
    }

    /// Does what takes more than one way to API Gateway and back, and meanwhile opens the connection for the posts that come after it. What
    /// fails there is left to them.
    pub(crate) async fn with_way_for_posts<T>(&self, work: impl Future<Output = T>) -> T {
        let open = async {
            if let Ok(url) = self.connection("") {
                self.http.open_ahead(&url, &self.settings.dynamodb).await;
            }
        };
        tokio::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => done,
            () = open => work.await,
        }
    }

    /// Stores an event that does not fit one message, trying until `until` at most.
    pub(crate) async fn store(&self, call: &Call, until: Instant, bytes: Bytes) -> Result<Payload, Problem> {
        let key = format!("payloads/{}/event", call.request_id);
        let payload = Payload::object(key.clone(), &bytes);
        let action = "store the event in the bucket";
        let (url, until) =
            (self.object(&key)?, until.min(Instant::now() + storage_patience(call.remaining())));
        let answer = self.send(until, action, "s3", "PUT", &url, &[], bytes).await?;
        if answer.status == 200 { Ok(payload) } else { Err(self.failed(action, &answer)) }
    }

    /// The bytes of a payload, wherever they are.
    pub(crate) async fn fetch(&self, call: &Call, payload: &Payload) -> Result<Bytes, Problem> {
        let action = "read the result from the bucket";
        let damaged = |error: sst_wire::PayloadError| Problem::Cloud {
            action: action.into(),
            detail: error.to_string(),
        };
        let Payload::Object { key, .. } = payload else {
            return payload.bytes().map(Bytes::from).map_err(damaged);
        };
        let (url, until) = (self.object(key)?, Instant::now() + storage_patience(call.remaining()));
        let answer = self.send(until, action, "s3", "GET", &url, &[], Bytes::new()).await?;
        if answer.status != 200 {
            return Err(self.failed(action, &answer));
        }
        payload.check_object(&answer.body).map_err(damaged)?;
        Ok(answer.body)
    }

    /// A WebSocket address that is good for one handshake.
    pub(crate) fn handshake_url(&self) -> Result<Uri, Problem> {
        let endpoint = self.settings.config.endpoint.trim_end_matches('/');
        let signed = parse(&endpoint.replacen("ws", "http", 1))?;
        let query = self.signer("execute-api").presigned_query(&signed, 120, &sst_wire::sha256_hex(b""));
        parse(&format!("{endpoint}?{query}"))
    }

    /// Whether a denial may pass by itself, because the role was changed a moment ago.
    pub(crate) fn may_still_spread(&self) -> bool {
        self.started.elapsed() < PERMISSIONS_SPREAD
    }

    /// What may be shown of an answer. A refused signature is answered with what was signed, the session token
    /// included, and the caller of an HTTP API may be anybody.
    pub(crate) fn shown(&self, text: &str) -> String {
        let credentials = &self.settings.credentials;
        let token = credentials.session_token.clone().unwrap_or_default();
        let shown = [&credentials.access_key, &encode(&token, false), &token]
            .into_iter()
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "…"));
        shown.chars().take(300).collect()
    }

    fn failed(&self, action: &str, answer: &Answer) -> Problem {
        let code = answer.header("x-amzn-errortype").unwrap_or_default();
        let body = self.shown(&String::from_utf8_lossy(&answer.body));
        let detail = format!("status {} {code} {body}", answer.status);
        let action = action.to_owned();
        match denied(answer) {
            true => Problem::Denied { maker: Maker::of(&self.settings.config), action, detail },
            false => Problem::Cloud { action, detail },
        }
    }

    /// Sends a request until it is answered with something that another attempt would not change, or until `until`.
    #[expect(clippy::too_many_arguments, reason = "a request has this many parts")]
    async fn send(
        &self,
        until: Instant,
        action: &str,
        service: &str,
        method: &str,
        url: &Uri,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, Problem> {
        let mut pause = Duration::from_millis(100);
        // Whether an attempt may have done what it should without having said so.
        let mut repeated = false;
        loop {
            // Every attempt is signed anew: a signature is good for five minutes, and a freeze can be longer.
            let mut all: Vec<(String, String)> =
                headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let then = self.clock.moment();
            all.extend(self.signer(service).headers(method, url, headers, &body));
            let limit = REQUEST_LIMIT.min(until.saturating_duration_since(Instant::now()));
            let outcome = self.http.send(method, url, &all, body.clone(), Some(limit)).await;
            let again = match &outcome {
                Ok(answer) if self.clock.hear(answer.header("date"), &then) && refused(answer) => true,
                Ok(answer) if denied(answer) => self.may_still_spread(),
                Ok(answer) => answer.status == 429 || answer.status >= 500 || throttled(answer),
                Err(_) => true,
            };
            let wait = match outcome.as_ref().ok().and_then(retry_after) {
                // Whoever has waited for long is as quick to come again as one that is new, or it would never get its turn.
                Some(asked) => asked + jitter(asked),
                None => pause / 2 + jitter(pause / 2),
            };
            let limited = service == "execute-api" && matches!(&outcome, Ok(answer) if answer.status == 429);
            if !again || Instant::now() + wait >= until {
                return match outcome {
                    Ok(answer) if limited && !repeated && !answer.repeated => {
                        let detail =
                            format!("status 429 {}", self.shown(&String::from_utf8_lossy(&answer.body)));
                        Err(Problem::Throttled { action: action.to_owned(), detail, wait })
                    }
                    Ok(answer) => Ok(Answer { repeated: answer.repeated || repeated, ..answer }),
                    Err(error) => {
                        Err(Problem::Cloud { action: action.to_owned(), detail: error.to_string() })
                    }
                };
            }
            repeated |= match &outcome {
                Ok(answer) => answer.status >= 500 || answer.repeated,
                Err(HttpError::Connect(..) | HttpError::Url(_)) => false,
                Err(_) => true,
            };
            sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn signer<'a>(&'a self, service: &'a str) -> Signer<'a> {
        Signer {
            credentials: &self.settings.credentials,
            region: &self.settings.config.region,
            service,
            time: self.clock.now(),
        }
    }

    fn connection(&self, id: &str) -> Result<Uri, Problem> {
        let management = self.settings.config.management.trim_end_matches('/');
        parse(&format!("{management}/@connections/{}", encode(id, false)))
    }

    fn object(&self, key: &str) -> Result<Uri, Problem> {
        parse(&format!("{}/{}", self.settings.bucket, encode(key, true)))
    }
}

/// How long a service asks to be left alone.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let seconds: u64 = answer.header("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.max(1)))
}

/// Reads an item of the table.
fn registered(item: &Value, now: u64) -> Result<Lookup, Problem> {
    let text = |name: &str| item[name]["S"].as_str().map(str::to_owned);
    let number = |name: &str| item[name]["N"].as_str().and_then(|text| text.parse::<u64>().ok());
    let owner = text(Registration::OWNER);
    let ttl = number(Registration::TTL);
    let until = ttl.and_then(|ttl| UNIX_EPOCH.checked_add(Duration::from_secs(ttl))).map(readable);
    let Some(connection) = text(Registration::CONNECTION) else {
        // Whoever ends in order leaves its name.
        let last = owner.zip(until).map(|(owner, until)| format!("; the last was {owner}, until {until}"));
        let last = last.unwrap_or_default();
        return Ok(Lookup::Nobody(format!("nobody is registered for the function{last}")));
    };
    let owner = owner.unwrap_or_else(|| "someone".into());
    // DynamoDB removes expired items hours later, so the time is looked at here as well.
    if ttl.is_some_and(|ttl| ttl < now) {
        let until = until.unwrap_or_default();
        return Ok(Lookup::Lapsed(format!(
            "the one that was registered last, {owner}, has not been heard of for a while; its registration ended at {until}"
        )));
    }
    if let Some(theirs) = number(Registration::VERSION).and_then(|version| u32::try_from(version).ok())
        && theirs != VERSION
    {
        return Err(Problem::Version { ours: VERSION, theirs });
    }
    Ok(Lookup::Found(Registered {
        client: text(Registration::CLIENT).unwrap_or_default(),
        connection,
        owner,
        home: text(Registration::HOME).unwrap_or_default(),
    }))
}

/// Whether an answer may mean that what was sent was signed at another time.
fn refused(answer: &Answer) -> bool {
    matches!(answer.status, 400 | 401 | 403)
}

/// `2026-01-31 12:34:56 UTC`.
fn readable(time: SystemTime) -> String {
    let [year, month, day, hour, minute, second] = civil(time);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

fn denied(answer: &Answer) -> bool {
    answer.status == 403 || (answer.status == 400 && answer.text().contains("AccessDenied"))
}

fn throttled(answer: &Answer) -> bool {
    answer.status == 400
        && ["Throttling", "ProvisionedThroughputExceeded"].iter().any(|code| answer.text().contains(code))
}

fn parse(text: &str) -> Result<Uri, Problem> {
    // The query holds a signature and a token, which must not end up in a log.
    let shown = text.split('?').next().unwrap_or_default();
    text.parse().map_err(|_| Problem::Cloud {
        action: "use the debug stack".into(),
        detail: format!("`{shown}` is not a URL"),
    })
}

/// The body of a stream's error, as it is posted when nothing was streamed before it.
pub(crate) fn stream_error_body(error: &sst_wire::StreamError) -> Bytes {
    let decoded = base64::engine::general_purpose::STANDARD.decode(&error.error_body);
    let body = decoded.unwrap_or_else(|_| {
        json!({ "errorType": error.error_type, "errorMessage": error.error_body }).to_string().into_bytes()
    });
    Bytes::from(body)
}

#[cfg(test)]
mod signatures;

#[cfg(test)]
mod tests {
    use super::*;

    fn item(version: u32, ttl: u64) -> Value {
        json!({
            "pk": { "S": "F" }, "connection": { "S": "abc=" }, "owner": { "S": "alice@laptop" },
            "client": { "S": "c1" }, "home": { "S": "h1" },
            "version": { "N": version.to_string() }, "ttl": { "N": ttl.to_string() },
        })
    }

    /// Answers one post after the other with these, and notes when they came.
    async fn posts(answers: &'static [&str], patience: Duration) -> (Result<Posted, Problem>, Vec<Instant>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let management = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let mut came = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut received = Vec::new();
                while !received.ends_with(b"\r\n\r\ntext") {
                    assert!(stream.read_buf(&mut received).await.unwrap() > 0);
                }
                came.push(Instant::now());
                let head = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
            }
            came
        });
        let config = json!({
            "v": VERSION, "f": "F", "s": "dev", "e": "wss://a", "m": management, "t": "T", "b": "B", "r": "x",
        });
        let environment = [("SST_STUB", config.to_string()), ("AWS_ACCESS_KEY_ID", "A".into())];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
        let cloud = Cloud::new(Client::new(None).unwrap(), Settings::read(environment).ok().unwrap());
        let sent = cloud.post(Instant::now() + patience, "c1", "text").await;
        (sent, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_post_that_is_throttled_is_sent_again_as_soon_as_it_may_be() {
        let patience = Duration::from_secs(10);
        let (sent, came) = posts(&["429 T\r\nRetry-After: 1", "500 E", "200 OK"], patience).await;
        assert_eq!(sent, Ok(Posted::Arrived));
        let pauses: Vec<Duration> = came.windows(2).map(|two| two[1] - two[0]).collect();
        let second = Duration::from_secs(1);
        assert!(pauses[0] >= second && pauses[0] < second * 5 / 2 && pauses[1] < second, "{pauses:?}");
    }

    #[tokio::test]
    async fn a_post_that_cannot_be_sent_in_time_is_told_from_one_that_may_have_been() {
        let patience = Duration::from_secs(1);
        let (sent, _) = posts(&["429 T\r\nRetry-After: 3"], patience).await;
        let Err(Problem::Throttled { wait, .. }) = sent else { panic!("{sent:?}") };
        assert!(wait >= Duration::from_secs(3), "{wait:?}");
        let (sent, _) = posts(&["500 E", "429 T\r\nRetry-After: 3"], patience).await;
        assert!(matches!(sent, Err(Problem::Cloud { .. })), "{sent:?}");
    }

    #[tokio::test]
    async fn a_connection_that_is_gone_may_have_taken_what_was_sent_before() {
        let patience = Duration::from_secs(5);
        for (answers, expected) in [
            (&["410 Gone"][..], Posted::Gone),
            (&["429 T", "410 Gone"], Posted::Gone),
            (&["500 E", "410 Gone"], Posted::MaybeBefore),
        ] {
            let (sent, _) = posts(answers, patience).await;
            assert_eq!(sent, Ok(expected), "{answers:?}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let config = r#"{"v":2,"f":"F","s":"dev","e":"wss://a","m":"https://a","t":"T","b":"B","r":"x"}"#;
        let environment = [
            ("SST_STUB", config),
            ("AWS_ACCESS_KEY_ID", "ASIAKEY"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_SESSION_TOKEN", "to/ken="),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let cloud = Cloud::new(Client::new(None).unwrap(), Settings::read(environment).ok().unwrap());
        let text = "Forbidden: Credential=ASIAKEY/2026&X-Amz-Security-Token=to%2Fken%3D or to/ken=";
        assert_eq!(cloud.shown(text), "Forbidden: Credential=…/2026&X-Amz-Security-Token=… or …");
    }

    #[test]
    fn a_registration_is_read() {
        let registered = registered(&item(VERSION, u64::MAX), 2).unwrap();
        let [client, connection, owner, home] = ["c1", "abc=", "alice@laptop", "h1"].map(str::to_owned);
        assert_eq!(registered, Lookup::Found(Registered { client, connection, owner, home }));
    }

    #[test]
    fn a_missing_or_expired_registration_means_that_nobody_is_there() {
        let nobody = |item: &Value| match registered(item, 1_800_000_000) {
            Ok(Lookup::Nobody(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(nobody(&Value::Null), "nobody is registered for the function");
        let lapsed = "the one that was registered last, alice@laptop, has not been heard of for a while; its registration \
                      ended at 2024-02-29 12:34:56 UTC";
        assert_eq!(
            registered(&item(VERSION, 1_709_210_096), 1_800_000_000),
            Ok(Lookup::Lapsed(lapsed.to_owned()))
        );
        // One that has ended in order, whatever the time of that.
        let left = |ttl: u64| json!({ "owner": { "S": "alice@laptop" }, "ttl": { "N": ttl.to_string() } });
        assert_eq!(
            nobody(&left(1_709_210_096)),
            "nobody is registered for the function; the last was alice@laptop, until 2024-02-29 12:34:56 UTC"
        );
        assert_eq!(nobody(&left(u64::MAX)), "nobody is registered for the function");
        assert_eq!(
            registered(&item(VERSION + 1, u64::MAX), 2),
            Err(Problem::Version { ours: VERSION, theirs: VERSION + 1 })
        );
    }
}
