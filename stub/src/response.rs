//! What the frames of one invocation add up to, and how it is handed to Lambda.

use std::collections::BTreeMap;

use base64::Engine as _;
use bytes::Bytes;
use sst_wire::{Outcome, Payload, StreamError, ToStub};

use crate::{
    cloud::{Cloud, stream_error_body},
    problem::Problem,
    runtime_api::{Call, Ending, ResponseStream, RuntimeApi},
};

/// How many parts of a streamed response are kept while an earlier one is missing, and how many bytes. The others are asked for again.
const MAX_PARTS_AHEAD: usize = 512;
const MAX_BYTES_AHEAD: usize = 4 * 1024 * 1024;

/// A response that is not complete.
pub(crate) struct Response<'a> {
    cloud: &'a Cloud,
    runtime_api: &'a RuntimeApi,
    call: &'a Call,
    stream: Option<ResponseStream>,
    /// The next part to write.
    next: u64,
    /// Parts and the end, which may overtake one another.
    ahead: BTreeMap<u64, Part>,
    /// How many bytes they take.
    bytes: usize,
}

enum Part {
    Data { content_type: Option<String>, data: Payload },
    End(Option<StreamError>),
}

impl<'a> Response<'a> {
    /// Nothing of it has come.
    pub(crate) fn new(cloud: &'a Cloud, runtime_api: &'a RuntimeApi, call: &'a Call) -> Self {
        Self { cloud, runtime_api, call, stream: None, next: 0, ahead: BTreeMap::new(), bytes: 0 }
    }

    /// The first part of a stream that has not come.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Whether later parts have come.
    pub(crate) fn has_others(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Takes a frame in. An ending when it was the last.
    pub(crate) async fn receive(&mut self, frame: ToStub) -> Result<Option<Ending>, Problem> {
        let (cloud, call) = (self.cloud, self.call);
        match frame {
            ToStub::Reply { outcome: Outcome::Returned { body }, .. } => {
                return Ok(Some(Ending::Response(cloud.fetch(call, &body).await?)));
            }
            ToStub::Reply { outcome: Outcome::Failed { error_type, body }, .. } => {
                let body = cloud.fetch(call, &body).await?;
                let Some(stream) = self.stream.take() else {
                    return Ok(Some(Ending::Error { error_type, body }));
                };
                // What has begun as a stream can only be broken off.
                let error_body = base64::engine::general_purpose::STANDARD.encode(&body);
                stream.end(&call.request_id, Some(StreamError { error_type, error_body })).await;
                return Ok(Some(Ending::Streamed));
            }
            ToStub::Chunk { seq, content_type, data, .. } => {
                self.keep(seq, Part::Data { content_type, data });
            }
            ToStub::End { seq, error, .. } => self.keep(seq, Part::End(error)),
            // The others are said to the conversation.
            _ => return Ok(None),
        }
        while let Some(part) = self.ahead.remove(&self.next) {
            self.next += 1;
            self.bytes -= part.size();
            match part {
                Part::Data { content_type, data } => {
                    let bytes = cloud.fetch(call, &data).await?;
                    self.write(content_type.as_deref(), bytes).await?;
                }
                Part::End(Some(error)) if self.stream.is_none() => {
                    let body = stream_error_body(&error);
                    return Ok(Some(Ending::Error { error_type: error.error_type, body }));
                }
                Part::End(error) => {
                    // A stream without any part is still a response: an empty one.
                    self.write(None, Bytes::new()).await?;
                    if let Some(stream) = self.stream.take() {
                        stream.end(&call.request_id, error).await;
                    }
                    return Ok(Some(Ending::Streamed));
                }
            }
        }
        Ok(None)
    }

    /// Ends it with a problem.
    pub(crate) async fn fail(&mut self, problem: &Problem) -> Ending {
        if let Some(stream) = self.stream.take() {
            let error = StreamError {
                error_type: problem.error_type().to_owned(),
                error_body: base64::engine::general_purpose::STANDARD.encode(problem.error_body()),
            };
            stream.end(&self.call.request_id, Some(error)).await;
            return Ending::Streamed;
        }
        match problem.http_response(&self.call.event) {
            Some(response) => Ending::Response(response.into()),
            None => Ending::Error {
                error_type: problem.error_type().to_owned(),
                body: problem.error_body().into(),
            },
        }
    }

    async fn write(&mut self, content_type: Option<&str>, bytes: Bytes) -> Result<(), Problem> {
        let broken =
            |detail: String| Problem::Cloud { action: "stream the response to Lambda".into(), detail };
        if self.stream.is_none() {
            let content_type = content_type.unwrap_or("application/octet-stream");
            let stream = self.runtime_api.stream(&self.cloud.http, &self.call.request_id, content_type).await;
            self.stream = Some(stream.map_err(|error| broken(error.to_string()))?);
        }
        let stream = self.stream.as_ref();
        if matches!(stream, Some(stream) if stream.write(bytes).await) {
            Ok(())
        } else {
            Err(broken("lambda closed it".into()))
        }
    }

    fn keep(&mut self, seq: u64, part: Part) {
        if seq < self.next || self.ahead.contains_key(&seq) {
            return;
        }
        self.bytes += part.size();
        self.ahead.insert(seq, part);
        // The one that is awaited is never among these.
        while self.ahead.len() > MAX_PARTS_AHEAD || (self.bytes > MAX_BYTES_AHEAD && self.ahead.len() > 1) {
            let Some((_, last)) = self.ahead.pop_last() else { return };
            self.bytes -= last.size();
        }
    }
}

impl Part {
    /// How many bytes it takes.
    fn size(&self) -> usize {
        match self {
            Self::Data { data: Payload::Inline { data, .. }, .. } => data.len(),
            Self::Data { .. } => 0,
            Self::End(error) => error.as_ref().map_or(0, |error| error.error_body.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use sst_wire::Context;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::{http::Client, settings::Settings};

    fn cloud() -> Cloud {
        let config = r#"{"v":2,"f":"F","s":"dev","e":"wss://a","m":"https://a","t":"T","b":"B","r":"x"}"#;
        let environment = [("SST_STUB", config), ("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "S")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Cloud::new(Client::new(None).unwrap(), Settings::read(environment).ok().unwrap())
    }

    fn call() -> Call {
        Call {
            request_id: "r1".into(),
            deadline: SystemTime::now() + Duration::from_secs(10),
            timeout_seconds: 10,
            context: Context::default(),
            event: Bytes::new(),
        }
    }

    #[tokio::test]
    async fn what_is_kept_while_a_part_is_missing_has_bounds_and_the_first_parts_are_kept() {
        let (cloud, runtime_api, call) = (cloud(), RuntimeApi::new("127.0.0.1:9"), call());
        let chunk = |seq, data| ToStub::Chunk { request_id: "r1".into(), seq, content_type: None, data };
        let large = Payload::Inline { data: "x".repeat(90_000), length: 1 };
        let small = Payload::object("payloads/x".into(), b"");
        for (data, most) in [(large, MAX_BYTES_AHEAD / 90_000), (small, MAX_PARTS_AHEAD)] {
            let mut response = Response::new(&cloud, &runtime_api, &call);
            for seq in (1..2_000).rev().chain(1..10) {
                assert!(response.receive(chunk(seq, data.clone())).await.unwrap().is_none());
            }
            assert_eq!(
                response.ahead.keys().copied().collect::<Vec<u64>>(),
                (1..=most as u64).collect::<Vec<_>>()
            );
            assert!(response.bytes <= MAX_BYTES_AHEAD && response.next() == 0 && response.has_others());
        }
    }

    #[tokio::test]
    async fn a_failure_breaks_off_a_stream_that_has_begun() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (cloud, runtime_api) = (cloud(), RuntimeApi::new(&listener.local_addr().unwrap().to_string()));
        let lambda = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut received = Vec::new();
            while !received.ends_with(b"\r\n\r\n") || !received.windows(5).any(|five| five == b"\r\n0\r\n") {
                assert!(stream.read_buf(&mut received).await.unwrap() > 0, "it ends in order");
            }
            stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            String::from_utf8(received).unwrap()
        });
        let call = call();
        let mut response = Response::new(&cloud, &runtime_api, &call);
        let payload = |text: &str| Payload::inline(text.as_bytes()).unwrap();
        let request_id = || "r1".to_owned();
        let chunk =
            ToStub::Chunk { request_id: request_id(), seq: 0, content_type: None, data: payload("abc") };
        assert!(response.receive(chunk).await.unwrap().is_none());
        let outcome = Outcome::Failed { error_type: "Boom".into(), body: payload("{}") };
        let reply = ToStub::Reply { request_id: request_id(), outcome };
        let ending = response.receive(reply).await.unwrap();
        assert!(matches!(ending, Some(Ending::Streamed)));
        let request = lambda.await.unwrap().to_lowercase();
        assert!(request.contains("\r\n3\r\nabc\r\n0\r\n"), "{request}");
        assert!(request.contains("lambda-runtime-function-error-type: boom\r\n"), "{request}");
        assert!(request.contains("lambda-runtime-function-error-body: e30=\r\n"), "{request}");
    }
}
