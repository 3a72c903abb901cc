//! One invocation: carried to the client, and its outcome carried back.

use std::{collections::BTreeMap, time::Duration};

use base64::Engine as _;
use bytes::Bytes;
use sst_wire::{
    ACK_TIMEOUT_MS, DecodeError, Invoke, MAX_MESSAGE, Outcome, Payload, SILENCE_TIMEOUT_MS, StreamError,
    ToClient, ToStub, VERSION, decode, encode,
};
use tokio::time::{Instant, timeout_at};

use crate::{
    cloud::{Cloud, Registered, stream_error_body},
    problem::Problem,
    runtime_api::{Call, Ending, ResponseStream, RuntimeApi},
    socket::Socket,
};

/// How long before Lambda's deadline the stub reports the timeout itself, while it still can.
const BEFORE_DEADLINE: Duration = Duration::from_millis(300);

/// How many connections one invocation may lose before it is given up.
const MAX_RECONNECTS: u32 = 5;

/// How many parts of a streamed response are kept while an earlier one is missing.
const MAX_PARTS_AHEAD: usize = 512;

/// What is kept between invocations.
pub struct Stub {
    cloud: Cloud,
    runtime_api: RuntimeApi,
    registered: Option<Registered>,
    socket: Option<Socket>,
}

/// What one invocation has come to.
struct Progress {
    event: Option<Payload>,
    attempt: u32,
    acknowledged: bool,
    /// Whether the request was sent again because nobody acknowledged it.
    repeated: bool,
    reconnects: u32,
    stream: Option<ResponseStream>,
    /// The next part to write.
    next: u64,
    /// Parts and the end, which may overtake one another.
    ahead: BTreeMap<u64, Part>,
}

enum Part {
    Data { content_type: Option<String>, data: Payload },
    End(Option<StreamError>),
}

impl Stub {
    /// A stub that has not connected yet.
    pub fn new(cloud: Cloud, runtime_api: RuntimeApi) -> Self {
        Self { cloud, runtime_api, registered: None, socket: None }
    }

    /// Waits for an invocation, runs it, and hands its outcome over.
    pub async fn turn(&mut self) -> Result<(), crate::http::HttpError> {
        let call = self.runtime_api.next(&self.cloud.http).await?;
        let ending = self.run(&call).await;
        self.runtime_api.finish(&self.cloud.http, &call.request_id, ending).await
    }

    async fn run(&mut self, call: &Call) -> Ending {
        let mut progress = Progress {
            event: None,
            attempt: 0,
            acknowledged: false,
            repeated: false,
            reconnects: 0,
            stream: None,
            next: 0,
            ahead: BTreeMap::new(),
        };
        let deadline = Instant::now() + call.remaining().saturating_sub(BEFORE_DEADLINE);
        let carried = timeout_at(deadline, self.carry(call, &mut progress, deadline)).await;
        let problem = match carried {
            Ok(Ok(ending)) => return ending,
            Ok(Err(problem)) => problem,
            Err(_) => self.out_of_time(call, &progress),
        };
        // What is wrong may be what is remembered, so the next invocation starts afresh.
        self.registered = None;
        crate::log(&format!("{}: {problem}", call.request_id));
        if let Some(stream) = progress.stream.take() {
            let error = StreamError {
                error_type: problem.error_type().to_owned(),
                error_body: base64::engine::general_purpose::STANDARD.encode(problem.error_body()),
            };
            stream.end(&call.request_id, Some(error)).await;
            return Ending::Streamed;
        }
        match problem.http_response(&call.event) {
            Some(response) => Ending::Response(response.into()),
            None => Ending::Error {
                error_type: problem.error_type().to_owned(),
                body: problem.error_body().into(),
            },
        }
    }

    async fn carry(
        &mut self,
        call: &Call,
        progress: &mut Progress,
        deadline: Instant,
    ) -> Result<Ending, Problem> {
        // The registration first: without one the answer is immediate, with no connection made.
        if self.registered.is_none() {
            self.registered = Some(self.cloud.registration(call).await?);
        }
        if let Some(socket) = &mut self.socket
            && !socket.is_alive().await
        {
            self.socket = None;
        }
        self.deliver(call, progress).await?;
        let mut give_up = Instant::now() + patience(call, false);
        loop {
            let Some(socket) = &mut self.socket else {
                self.reconnect(call, progress).await?;
                give_up = Instant::now() + patience(call, progress.acknowledged);
                continue;
            };
            let text = match socket.next_text(give_up.min(deadline)).await {
                Ok(Some(text)) => text,
                Err(()) => {
                    self.socket = None;
                    continue;
                }
                Ok(None) if Instant::now() >= deadline => return Err(self.out_of_time(call, progress)),
                Ok(None) if progress.acknowledged => {
                    return Err(Problem::Silent {
                        stage: self.cloud.settings.config.stage.clone(),
                        seconds: SILENCE_TIMEOUT_MS / 1000,
                    });
                }
                Ok(None) if progress.repeated => {
                    let owner = self.registered.as_ref().map_or("someone", |found| found.owner.as_str());
                    return Err(self.not_running(format!("the one started by {owner} does not answer")));
                }
                Ok(None) => {
                    progress.repeated = true;
                    self.registered = Some(self.cloud.registration(call).await?);
                    self.deliver(call, progress).await?;
                    give_up = Instant::now() + patience(call, false);
                    continue;
                }
            };
            let frame = match decode::<ToStub>(&text) {
                Ok(frame) => frame,
                Err(DecodeError::Version { theirs }) => {
                    return Err(Problem::Version { ours: VERSION, theirs });
                }
                // API Gateway's own messages arrive here too, so an unknown text is no reason to give up.
                Err(DecodeError::Malformed(error)) => {
                    crate::log(&format!("a message was not understood: {error}"));
                    continue;
                }
            };
            // A late frame for an invocation that is over is nobody's any more.
            if request_id(&frame) != call.request_id {
                continue;
            }
            progress.acknowledged = true;
            give_up = Instant::now() + patience(call, true);
            if let Some(ending) = self.receive(call, progress, frame).await? {
                return Ok(ending);
            }
        }
    }

    /// Takes a frame for this invocation in. An ending when it was the last.
    async fn receive(
        &self,
        call: &Call,
        progress: &mut Progress,
        frame: ToStub,
    ) -> Result<Option<Ending>, Problem> {
        match frame {
            ToStub::Ack { .. } | ToStub::Working { .. } => return Ok(None),
            ToStub::Refused { reason, .. } => return Err(Problem::Refused { reason }),
            ToStub::Reply { outcome: Outcome::Returned { body }, .. } => {
                return Ok(Some(Ending::Response(self.cloud.fetch(call, &body).await?)));
            }
            ToStub::Reply { outcome: Outcome::Failed { error_type, body }, .. } => {
                let body = self.cloud.fetch(call, &body).await?;
                let Some(stream) = progress.stream.take() else {
                    return Ok(Some(Ending::Error { error_type, body }));
                };
                // What has begun as a stream can only be broken off.
                let error_body = base64::engine::general_purpose::STANDARD.encode(&body);
                stream.end(&call.request_id, Some(StreamError { error_type, error_body })).await;
                return Ok(Some(Ending::Streamed));
            }
            ToStub::Chunk { seq, content_type, data, .. } => {
                progress.keep(seq, Part::Data { content_type, data })?;
            }
            ToStub::End { seq, error, .. } => progress.keep(seq, Part::End(error))?,
        }
        while let Some(part) = progress.ahead.remove(&progress.next) {
            progress.next += 1;
            match part {
                Part::Data { content_type, data } => {
                    let bytes = self.cloud.fetch(call, &data).await?;
                    self.write(call, progress, content_type.as_deref(), bytes).await?;
                }
                Part::End(Some(error)) if progress.stream.is_none() => {
                    let body = stream_error_body(&error);
                    return Ok(Some(Ending::Error { error_type: error.error_type, body }));
                }
                Part::End(error) => {
                    // A stream without any part is still a response: an empty one.
                    self.write(call, progress, None, Bytes::new()).await?;
                    if let Some(stream) = progress.stream.take() {
                        stream.end(&call.request_id, error).await;
                    }
                    return Ok(Some(Ending::Streamed));
                }
            }
        }
        Ok(None)
    }

    async fn write(
        &self,
        call: &Call,
        progress: &mut Progress,
        content_type: Option<&str>,
        bytes: Bytes,
    ) -> Result<(), Problem> {
        let broken =
            |detail: String| Problem::Cloud { action: "stream the response to Lambda".into(), detail };
        if progress.stream.is_none() {
            let content_type = content_type.unwrap_or("application/octet-stream");
            let stream = self.runtime_api.stream(&self.cloud.http, &call.request_id, content_type).await;
            progress.stream = Some(stream.map_err(|error| broken(error.to_string()))?);
        }
        let stream = progress.stream.as_ref();
        if matches!(stream, Some(stream) if stream.write(bytes).await) {
            Ok(())
        } else {
            Err(broken("lambda closed it".into()))
        }
    }

    /// Sends the invocation to whoever is registered, looking that up again when the remembered client is gone.
    async fn deliver(&mut self, call: &Call, progress: &mut Progress) -> Result<(), Problem> {
        if self.socket.is_none() {
            self.socket = Some(Socket::open(&self.cloud, call).await?);
        }
        progress.attempt += 1;
        let text = self.invoke_text(call, progress).await?;
        for last in [false, true] {
            let Some(found) = &self.registered else { break };
            if self.cloud.post(call, &found.connection, &text).await? {
                return Ok(());
            }
            let gone = self.registered.take();
            if last {
                break;
            }
            let found = self.cloud.registration(call).await?;
            if gone.as_ref() == Some(&found) {
                break;
            }
            self.registered = Some(found);
        }
        Err(self.not_running("the one that was registered has disconnected".into()))
    }

    async fn invoke_text(&self, call: &Call, progress: &mut Progress) -> Result<String, Problem> {
        loop {
            let event = match &progress.event {
                Some(event) => event.clone(),
                None => match Payload::inline(&call.event) {
                    Some(event) => event,
                    None => self.cloud.store(call, call.event.clone()).await?,
                },
            };
            let inline = matches!(event, Payload::Inline { .. });
            progress.event = Some(event.clone());
            let frame = ToClient::Invoke(Box::new(Invoke {
                request_id: call.request_id.clone(),
                attempt: progress.attempt,
                function: self.cloud.settings.config.function.clone(),
                remaining_ms: call.remaining().as_millis().try_into().unwrap_or(u64::MAX),
                context: call.context.clone(),
                environment: self.cloud.settings.environment.clone(),
                event,
                reply_to: self.socket.as_ref().map(|socket| socket.id.clone()).unwrap_or_default(),
            }));
            let text = text_of(frame)?;
            if text.len() <= MAX_MESSAGE {
                return Ok(text);
            }
            // A large environment or client context can leave less room than a payload counts on.
            if !inline {
                return Err(Problem::Cloud {
                    action: "send the event to `sst start`".into(),
                    detail: format!("environment and context take {} bytes", text.len()),
                });
            }
            progress.event = Some(self.cloud.store(call, call.event.clone()).await?);
        }
    }

    /// Opens a new connection in the middle of an invocation, and tells the client about it.
    async fn reconnect(&mut self, call: &Call, progress: &mut Progress) -> Result<(), Problem> {
        progress.reconnects += 1;
        if progress.reconnects > MAX_RECONNECTS {
            return Err(Problem::Cloud {
                action: "keep its WebSocket connection".into(),
                detail: format!("it was closed {MAX_RECONNECTS} times during one invocation"),
            });
        }
        let socket = Socket::open(&self.cloud, call).await?;
        let moved = ToClient::Moved { request_id: call.request_id.clone(), reply_to: socket.id.clone() };
        self.socket = Some(socket);
        if !progress.acknowledged {
            return self.deliver(call, progress).await;
        }
        if self.registered.is_none() {
            self.registered = Some(self.cloud.registration(call).await?);
        }
        if let Some(found) = &self.registered
            && self.cloud.post(call, &found.connection, &text_of(moved)?).await?
        {
            return Ok(());
        }
        // The client has a new connection too. The same request again names both sides' new connections to it; a
        // client that knows the request does not run it twice.
        self.registered = Some(self.cloud.registration(call).await?);
        self.deliver(call, progress).await
    }

    /// A timeout is the function's only when the request was taken; else it is the client's absence.
    fn out_of_time(&self, call: &Call, progress: &Progress) -> Problem {
        if progress.acknowledged {
            return Problem::TimedOut { request_id: call.request_id.clone(), seconds: call.timeout_seconds };
        }
        self.not_running(format!("nobody took the request within the function's {} s", call.timeout_seconds))
    }

    fn not_running(&self, why: String) -> Problem {
        Problem::NotRunning { stage: self.cloud.settings.config.stage.clone(), why }
    }
}

impl Progress {
    fn keep(&mut self, seq: u64, part: Part) -> Result<(), Problem> {
        if seq >= self.next {
            self.ahead.entry(seq).or_insert(part);
        }
        if self.ahead.len() > MAX_PARTS_AHEAD {
            return Err(Problem::Cloud {
                action: "put the streamed response together".into(),
                detail: format!("part {} never arrived", self.next),
            });
        }
        Ok(())
    }
}

/// How long silence is borne. A function with little time still gets its request sent twice within it.
fn patience(call: &Call, acknowledged: bool) -> Duration {
    if acknowledged {
        Duration::from_millis(SILENCE_TIMEOUT_MS)
    } else {
        Duration::from_millis(ACK_TIMEOUT_MS).min(call.remaining() / 3)
    }
}

fn text_of(frame: ToClient) -> Result<String, Problem> {
    encode(frame)
        .map_err(|error| Problem::Cloud { action: "write a message".into(), detail: error.to_string() })
}

fn request_id(frame: &ToStub) -> &str {
    match frame {
        ToStub::Ack { request_id }
        | ToStub::Working { request_id, .. }
        | ToStub::Reply { request_id, .. }
        | ToStub::Refused { request_id, .. }
        | ToStub::Chunk { request_id, .. }
        | ToStub::End { request_id, .. } => request_id,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use sst_wire::Context;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::{http::Client, settings::Settings};

    fn stub(address: &str) -> Stub {
        let config = r#"{"v":1,"f":"F","s":"dev","e":"wss://a","m":"https://a","t":"T","b":"B","r":"x"}"#;
        let environment = [("SST_STUB", config), ("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "S")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let cloud = Cloud::new(Client::new(None).unwrap(), Settings::read(environment).ok().unwrap());
        Stub::new(cloud, RuntimeApi::new(address))
    }

    #[tokio::test]
    async fn a_failure_breaks_off_a_stream_that_has_begun() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = stub(&listener.local_addr().unwrap().to_string());
        let lambda = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut received = Vec::new();
            while !received.ends_with(b"\r\n\r\n") || !received.windows(5).any(|five| five == b"\r\n0\r\n") {
                assert!(stream.read_buf(&mut received).await.unwrap() > 0, "it ends in order");
            }
            stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            String::from_utf8(received).unwrap()
        });
        let call = Call {
            request_id: "r1".into(),
            deadline: SystemTime::now() + Duration::from_secs(10),
            timeout_seconds: 10,
            context: Context::default(),
            event: Bytes::new(),
        };
        let mut progress = Progress {
            event: None,
            attempt: 1,
            acknowledged: true,
            repeated: false,
            reconnects: 0,
            stream: None,
            next: 0,
            ahead: BTreeMap::new(),
        };
        let payload = |text: &str| Payload::inline(text.as_bytes()).unwrap();
        let request_id = || "r1".to_owned();
        let chunk =
            ToStub::Chunk { request_id: request_id(), seq: 0, content_type: None, data: payload("abc") };
        assert!(stub.receive(&call, &mut progress, chunk).await.unwrap().is_none());
        let outcome = Outcome::Failed { error_type: "Boom".into(), body: payload("{}") };
        let reply = ToStub::Reply { request_id: request_id(), outcome };
        let ending = stub.receive(&call, &mut progress, reply).await.unwrap();
        assert!(matches!(ending, Some(Ending::Streamed)));
        let request = lambda.await.unwrap().to_lowercase();
        assert!(request.contains("\r\n3\r\nabc\r\n0\r\n"), "{request}");
        assert!(request.contains("lambda-runtime-function-error-type: boom\r\n"), "{request}");
        assert!(request.contains("lambda-runtime-function-error-body: e30=\r\n"), "{request}");
    }
}
