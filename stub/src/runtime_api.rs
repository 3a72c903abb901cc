//! The Lambda Runtime API, from the side of a custom runtime.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Uri, body::Frame, header::HeaderMap};
use serde_json::json;
use sst_wire::{Context, StreamError};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::http::{ChannelBody, Client, HttpError, request};

const ERROR_TYPE: &str = "Lambda-Runtime-Function-Error-Type";
const ERROR_BODY: &str = "Lambda-Runtime-Function-Error-Body";

/// How long Lambda may take to accept a response of 6 MB.
const POST_LIMIT: Duration = Duration::from_secs(30);

/// One invocation as Lambda handed it over.
pub(crate) struct Call {
    /// `Lambda-Runtime-Aws-Request-Id`.
    pub request_id: String,
    /// When Lambda ends the invocation.
    pub deadline: SystemTime,
    /// What was left when the invocation arrived, in whole seconds: the stub's timeout.
    pub timeout_seconds: u64,
    /// The other headers.
    pub context: Context,
    /// The event.
    pub event: Bytes,
}

impl Call {
    /// What is left of the invocation's time.
    pub(crate) fn remaining(&self) -> Duration {
        self.deadline.duration_since(SystemTime::now()).unwrap_or_default()
    }
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Post this to `/response`.
    Response(Bytes),
    /// Post this to `/error`.
    Error { error_type: String, body: Bytes },
    /// The response was streamed and is complete.
    Streamed,
}

/// The Runtime API.
pub(crate) struct RuntimeApi {
    base: String,
}

impl RuntimeApi {
    /// The API at `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn new(address: &str) -> Self {
        Self { base: format!("http://{address}/2018-06-01/runtime") }
    }

    /// Waits for the next invocation, for as long as it takes: the environment is frozen meanwhile.
    pub(crate) async fn next(&self, http: &Client) -> Result<Call, HttpError> {
        let url = self.url("/invocation/next")?;
        let answer = http.send("GET", &url, &[], Bytes::new(), None).await?;
        if answer.status != 200 {
            return Err(HttpError::Broken("the Runtime API".into(), format!("status {}", answer.status)));
        }
        let text = |name: &str| header(&answer.headers, name);
        let deadline = text("Lambda-Runtime-Deadline-Ms").and_then(|value| value.parse().ok()).map_or_else(
            || SystemTime::now() + Duration::from_secs(900),
            |millis| UNIX_EPOCH + Duration::from_millis(millis),
        );
        let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
        let context = Context {
            invoked_function_arn: text("Lambda-Runtime-Invoked-Function-Arn").unwrap_or_default(),
            trace_id: text("Lambda-Runtime-Trace-Id"),
            client_context: text("Lambda-Runtime-Client-Context"),
            cognito_identity: text("Lambda-Runtime-Cognito-Identity"),
            tenant_id: text("Lambda-Runtime-Aws-Tenant-Id"),
        };
        Ok(Call {
            request_id: text("Lambda-Runtime-Aws-Request-Id")
                .ok_or_else(|| HttpError::Broken("the Runtime API".into(), "no request id".into()))?,
            deadline,
            timeout_seconds: left.as_millis().div_ceil(1000).try_into().unwrap_or(900),
            context,
            event: answer.body,
        })
    }

    /// Hands the outcome over.
    pub(crate) async fn finish(
        &self,
        http: &Client,
        request_id: &str,
        ending: Ending,
    ) -> Result<(), HttpError> {
        let json = ("Content-Type".to_owned(), "application/json".to_owned());
        let (url, headers, body) = match ending {
            Ending::Streamed => return Ok(()),
            Ending::Response(body) => {
                (self.url(&format!("/invocation/{request_id}/response"))?, vec![json], body)
            }
            Ending::Error { error_type, body } => {
                let error_type = (ERROR_TYPE.to_owned(), header_text(&error_type));
                (self.url(&format!("/invocation/{request_id}/error"))?, vec![json, error_type], body)
            }
        };
        let answer = http.send("POST", &url, &headers, body, Some(POST_LIMIT)).await?;
        // A refusal means that Lambda knows the outcome better: too large, or too late. Lambda reports it itself.
        if answer.status >= 300 {
            crate::log(&format!(
                "lambda refused the outcome of {request_id}: {} {}",
                answer.status,
                answer.text()
            ));
        }
        Ok(())
    }

    /// Reports that the stub cannot start.
    pub(crate) async fn init_error(
        &self,
        http: &Client,
        error_type: &str,
        text: &str,
    ) -> Result<(), HttpError> {
        let headers = [(ERROR_TYPE.to_owned(), error_type.to_owned())];
        let body = json!({ "errorType": error_type, "errorMessage": text, "stackTrace": [] }).to_string();
        http.send("POST", &self.url("/init/error")?, &headers, body.into(), Some(POST_LIMIT)).await?;
        Ok(())
    }

    /// Begins a streamed response.
    pub(crate) async fn stream(
        &self,
        http: &Client,
        request_id: &str,
        content_type: &str,
    ) -> Result<ResponseStream, HttpError> {
        let url = self.url(&format!("/invocation/{request_id}/response"))?;
        let headers = [
            ("Content-Type".to_owned(), header_text(content_type)),
            ("Lambda-Runtime-Function-Response-Mode".to_owned(), "streaming".to_owned()),
            ("Transfer-Encoding".to_owned(), "chunked".to_owned()),
            // Trailers are written only when they were announced.
            ("Trailer".to_owned(), format!("{ERROR_TYPE}, {ERROR_BODY}")),
        ];
        let (parts, receiver) = mpsc::channel(8);
        let request = request("POST", &url, &headers, ChannelBody(receiver).boxed_unsync())?;
        let mut sender = http.open(&url).await?;
        let answer = tokio::spawn(async move {
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            // The answer is read to its end, so that the connection is not torn down under the request.
            let _ = response.into_body().collect().await;
            Ok(status)
        });
        Ok(ResponseStream { parts, answer })
    }

    fn url(&self, path: &str) -> Result<Uri, HttpError> {
        let text = format!("{}{path}", self.base);
        text.parse().map_err(|_| HttpError::Url(text))
    }
}

/// A streamed response that is being written.
pub(crate) struct ResponseStream {
    parts: mpsc::Sender<Frame<Bytes>>,
    answer: JoinHandle<Result<u16, String>>,
}

impl ResponseStream {
    /// Writes a part. `false` when Lambda closed the response.
    pub(crate) async fn write(&self, part: Bytes) -> bool {
        // An empty chunk would end a chunked body.
        part.is_empty() || self.parts.send(Frame::data(part)).await.is_ok()
    }

    /// Ends the response, with trailers when it failed half way, and waits until Lambda took it.
    pub(crate) async fn end(self, request_id: &str, error: Option<StreamError>) {
        if let Some(error) = error {
            let mut trailers = HeaderMap::new();
            for (name, value) in [(ERROR_TYPE, &error.error_type), (ERROR_BODY, &error.error_body)] {
                if let (Ok(name), Ok(value)) =
                    (name.parse::<hyper::header::HeaderName>(), header_text(value).parse())
                {
                    trailers.insert(name, value);
                }
            }
            let _ = self.parts.send(Frame::trailers(trailers)).await;
        }
        drop(self.parts);
        match tokio::time::timeout(POST_LIMIT, self.answer).await {
            Ok(Ok(Ok(status))) if status < 300 => {}
            Ok(Ok(outcome)) => {
                crate::log(&format!("lambda refused the streamed response of {request_id}: {outcome:?}"));
            }
            Ok(Err(_)) | Err(_) => {
                crate::log(&format!("lambda did not take the streamed response of {request_id}"));
            }
        }
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    (!text.is_empty()).then_some(text)
}

/// Text that may stand in a header, since error types are whatever a program threw.
fn header_text(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Accepts one request with a chunked body and returns it as it came over the wire.
    async fn one_chunked_request(listener: TcpListener) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        loop {
            let mut buffer = [0; 1024];
            let length = stream.read(&mut buffer).await.unwrap();
            assert!(length > 0, "the connection ended early: {:?}", String::from_utf8_lossy(&received));
            received.extend_from_slice(&buffer[..length]);
            let text = String::from_utf8_lossy(&received);
            if text.contains("\r\n0\r\n") && text.ends_with("\r\n\r\n") {
                break;
            }
        }
        stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(received).unwrap()
    }

    async fn streamed(error: Option<StreamError>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = RuntimeApi::new(&listener.local_addr().unwrap().to_string());
        let server = tokio::spawn(one_chunked_request(listener));
        let http = Client::new(None).unwrap();
        let stream = api.stream(&http, "r1", "text/plain").await.unwrap();
        assert!(stream.write(Bytes::from_static(b"hello")).await);
        assert!(stream.write(Bytes::new()).await);
        assert!(stream.write(Bytes::from_static(b"world")).await);
        stream.end("r1", error).await;
        server.await.unwrap()
    }

    #[tokio::test]
    async fn a_streamed_response_is_chunked() {
        let request = streamed(None).await;
        assert!(request.starts_with("POST /2018-06-01/runtime/invocation/r1/response HTTP/1.1\r\n"));
        let head = request.to_lowercase();
        assert!(head.contains("lambda-runtime-function-response-mode: streaming\r\n"), "{head}");
        assert!(
            head.contains("transfer-encoding: chunked\r\n") && head.contains("content-type: text/plain\r\n")
        );
        assert!(request.ends_with("\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"), "{request}");
    }

    #[tokio::test]
    async fn a_stream_that_fails_half_way_ends_with_trailers() {
        let error = StreamError { error_type: "Boom".into(), error_body: "e30=".into() };
        let request = streamed(Some(error)).await.to_lowercase();
        let (_, trailers) = request.split_once("\r\n0\r\n").unwrap();
        assert!(trailers.contains("lambda-runtime-function-error-type: boom\r\n"), "{trailers}");
        assert!(trailers.contains("lambda-runtime-function-error-body: e30=\r\n"), "{trailers}");
    }
}
