//! How other commands ask a running `sst start`.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::lines::{Connection, Lines};
use crate::{local::Answer, lock::Holder};

/// How long a session may take to note something.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest head of an answer, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// Asks a session at an address, with its token.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: String,
    token: String,
}

impl Client {
    /// Nothing is asked yet.
    pub(crate) fn new(address: &str, token: &str) -> Self {
        Self { address: address.to_owned(), token: token.to_owned() }
    }

    /// Has a function called.
    ///
    /// # Errors
    /// When nobody listens there, or hangs up without an answer.
    pub(crate) async fn invoke(&self, function: &str, event: Vec<u8>) -> io::Result<Answer> {
        let path = format!("/api/v1/functions/{}/invoke", encoded(function));
        self.answer(Method::POST, &path, event).await
    }

    /// Has a call's event called once more, or another one in its place. If it `stops`, debuggers stop at the handler's first line.
    ///
    /// # Errors
    /// As [`Client::invoke`].
    pub(crate) async fn replay(&self, id: &str, event: Option<Vec<u8>>, stops: bool) -> io::Result<Answer> {
        let path = format!("/api/v1/invocations/{}/replay?break={stops}", encoded(id));
        self.answer(Method::POST, &path, event.unwrap_or_default()).await
    }

    /// A function's variables, with its role's credentials.
    ///
    /// # Errors
    /// As [`Client::invoke`].
    pub(crate) async fn environment(&self, function: &str) -> io::Result<Answer> {
        let path = format!("/api/v1/functions/{}/environment", encoded(function));
        self.answer(Method::GET, &path, Vec::new()).await
    }

    async fn answer(&self, method: Method, path: &str, body: Vec<u8>) -> io::Result<Answer> {
        let (status, body) = self.ask(method, path, body).await?;
        if status != StatusCode::OK {
            let message = serde_json::from_slice::<serde_json::Value>(&body).ok();
            let message = message.as_ref().and_then(|value| value["error"].as_str());
            let message = message.map_or_else(|| format!("it answers {status}"), str::to_owned);
            return Ok(Answer::Refused { message, hint: None });
        }
        Ok(serde_json::from_slice(&body)?)
    }

    /// Any request, and all of its answer.
    ///
    /// # Errors
    /// As [`Client::invoke`].
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> io::Result<(StatusCode, Bytes)> {
        let (mut sender, connection) = self.connect().await?;
        let request = self.request(method, path, body)?;
        let asking = async {
            let answer = sender.send_request(request).await.map_err(io::Error::other)?;
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(io::Error::other)?;
            Ok((status, body.to_bytes()))
        };
        tokio::pin!(asking);
        tokio::select! {
            answer = &mut asking => answer,
            ended = connection => match ended {
                // The last of an answer may come with the end.
                Ok(()) => asking.await,
                Err(error) => Err(io::Error::other(error)),
            },
        }
    }

    /// What is asked for, to be read line by line as it comes.
    ///
    /// # Errors
    /// As [`Client::invoke`].
    pub(crate) async fn lines(&self, path: &str) -> io::Result<Lines> {
        let (mut sender, mut connection) = self.connect().await?;
        let request = self.request(Method::GET, path, Vec::new())?;
        let (answer, connection) = {
            let asking = sender.send_request(request);
            tokio::pin!(asking);
            tokio::select! {
                answer = &mut asking => (answer, Some(connection)),
                ended = &mut connection => {
                    ended.map_err(io::Error::other)?;
                    (asking.await, None)
                }
            }
        };
        Ok(Lines::new(sender, connection, answer.map_err(io::Error::other)?))
    }

    async fn connect(&self) -> io::Result<(SendRequest<Full<Bytes>>, Connection)> {
        let stream = TcpStream::connect(&self.address).await?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        Ok((sender, Box::pin(connection)))
    }

    fn request(&self, method: Method, path: &str, body: Vec<u8>) -> io::Result<Request<Full<Bytes>>> {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.address)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .body(Full::new(Bytes::from(body)))
            .map_err(io::Error::other)
    }
}

/// Tells the session at an address that `this` changes what is deployed, until the connection is closed that is the result.
///
/// # Errors
/// When nobody listens there, or notes it in time.
pub(crate) async fn announce(address: &str, token: &str, this: &Holder) -> io::Result<TcpStream> {
    let announcing = async {
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        let mut stream = TcpStream::connect(address).await?;
        let body = serde_json::to_string(this)?;
        // By hand, since the connection may outlast this program.
        let request = format!(
            "POST /api/v1/changes HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        while !has_line(&answer) {
            if answer.len() > LONGEST_HEAD || stream.read_buf(&mut answer).await? == 0 {
                let said = String::from_utf8_lossy(&answer);
                return Err(io::Error::other(format!(
                    "it answers {}",
                    said.lines().next().unwrap_or("nothing")
                )));
            }
        }
        Ok(stream)
    };
    tokio::time::timeout(PATIENCE, announcing).await?
}

/// Whether an answer is a good one, and has begun.
fn has_line(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    text.starts_with("HTTP/1.1 200 ")
        && text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.contains("noted"))
}

/// A text as one segment of a path, or as a value behind it.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
