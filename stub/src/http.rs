//! HTTP/1.1 over plain or encrypted connections, one kept open per origin.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use hyper::{
    Request, Uri,
    body::{Body, Frame},
    client::conn::http1::{SendRequest, handshake},
    header::HeaderMap,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::signing::host;

/// How long a connection may have been unused to be used again. A frozen environment does not see that the other
/// side closed it, so the wall clock decides.
const IDLE_LIMIT: Duration = Duration::from_secs(20);

/// How long an answer may take on a connection that was open already, before it is asked for on a new one. The old one may be dead
/// without having said so. Long bodies take their time.
const REUSE_LIMIT: Duration = Duration::from_secs(2);

/// Longer bodies are long.
const SHORT_BODY: usize = 256 * 1024;

/// How long connecting may take, with the TLS handshake.
const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// More than the largest event or result that Lambda takes, and a bound on what is kept in memory.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

/// A connection, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The body of a request.
pub(crate) type RequestBody = UnsyncBoxBody<Bytes, Infallible>;

/// Why an exchange failed before an answer was there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// No connection.
    #[error("could not connect to {0}: {1}")]
    Connect(String, io::Error),
    /// The address is not one.
    #[error("`{0}` is not a URL")]
    Url(String),
    /// The connection broke.
    #[error("the connection to {0} broke: {1}")]
    Broken(String, String),
    /// Time ran out.
    #[error("{0} did not answer in time")]
    Slow(String),
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Whether the request was sent before, and may have arrived then.
    pub repeated: bool,
}

impl Answer {
    /// The body as text, shortened for messages.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(300).collect()
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The connections.
pub(crate) struct Client {
    tls: TlsConnector,
    idle: Mutex<HashMap<String, (SendRequest<RequestBody>, SystemTime)>>,
}

impl Client {
    /// A client that trusts the public roots and the certificates of `ca_bundle`, a PEM file's content.
    pub(crate) fn new(ca_bundle: Option<&[u8]>) -> Result<Self, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(pem) = ca_bundle {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| error.to_string())?;
                roots.add(certificate).map_err(|error| error.to_string())?;
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), idle: Mutex::new(HashMap::new()) })
    }

    /// Sends a request and reads the answer. A connection that was open already may have died unnoticed, so a
    /// failure on it is tried once more on a new one: nothing that the stub sends does harm when it arrives twice.
    pub(crate) async fn send(
        &self,
        method: &str,
        url: &Uri,
        headers: &[(String, String)],
        body: Bytes,
        limit: Option<Duration>,
    ) -> Result<Answer, HttpError> {
        let exchange = async {
            // Without a limit it is a call that waits for its event, on a connection within the machine.
            if let Some(sender) = self.take_idle(url) {
                let full = Full::new(body.clone()).boxed_unsync();
                let exchange = self.exchange(sender, method, url, headers, full);
                let answer = if limit.is_some() && body.len() <= SHORT_BODY {
                    timeout(REUSE_LIMIT, exchange).await.ok()
                } else {
                    Some(exchange.await)
                };
                if let Some(Ok(answer)) = answer {
                    return Ok(answer);
                }
                let sender = self.open(url).await?;
                let full = Full::new(body).boxed_unsync();
                let answer = self.exchange(sender, method, url, headers, full).await?;
                return Ok(Answer { repeated: true, ..answer });
            }
            let sender = self.open(url).await?;
            self.exchange(sender, method, url, headers, Full::new(body).boxed_unsync()).await
        };
        match limit {
            None => exchange.await,
            Some(limit) => timeout(limit, exchange).await.unwrap_or_else(|_| Err(HttpError::Slow(host(url)))),
        }
    }

    /// Opens the connection that the next request to this origin will take. `other` is where requests are under way: they leave theirs to
    /// whoever asks the same origin. What fails is left to that request.
    pub(crate) async fn open_ahead(&self, url: &Uri, other: &Uri) {
        if origin(url) == origin(other) {
            return;
        }
        if let Ok(mut sender) = self.open(url).await
            && sender.ready().await.is_ok()
        {
            self.keep(url, sender);
        }
    }

    /// Opens a connection of its own for one request with a body of unknown length.
    pub(crate) async fn open(&self, url: &Uri) -> Result<SendRequest<RequestBody>, HttpError> {
        let stream = self.connect(url).await?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| HttpError::Broken(host(url), error.to_string()))?;
        // The task ends with the connection. Its error shows up in the exchange that it broke.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// Opens a connection, with TLS for `https` and `wss`.
    pub(crate) async fn connect(&self, url: &Uri) -> Result<Box<dyn Stream>, HttpError> {
        let name = url.host().ok_or_else(|| HttpError::Url(url.to_string()))?.to_owned();
        let encrypted = !matches!(url.scheme_str(), Some("http" | "ws"));
        let port = url.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let connect = async {
            let stream = TcpStream::connect((name.trim_matches(['[', ']']), port)).await?;
            stream.set_nodelay(true)?;
            if !encrypted {
                return Ok(Box::new(stream) as Box<dyn Stream>);
            }
            let server = ServerName::try_from(name.clone())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            Ok(Box::new(self.tls.connect(server, stream).await?) as Box<dyn Stream>)
        };
        match timeout(CONNECT_LIMIT, connect).await {
            Ok(stream) => stream.map_err(|error| HttpError::Connect(host(url), error)),
            Err(_) => Err(HttpError::Slow(host(url))),
        }
    }

    async fn exchange(
        &self,
        mut sender: SendRequest<RequestBody>,
        method: &str,
        url: &Uri,
        headers: &[(String, String)],
        body: RequestBody,
    ) -> Result<Answer, HttpError> {
        let request = request(method, url, headers, body)?;
        let broken = |error: &dyn std::fmt::Display| HttpError::Broken(host(url), error.to_string());
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(|error| broken(&error))?.to_bytes();
        if !sender.is_closed() {
            self.keep(url, sender);
        }
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body, repeated: false })
    }

    fn keep(&self, url: &Uri, sender: SendRequest<RequestBody>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.insert(origin(url), (sender, SystemTime::now()));
    }

    fn take_idle(&self, url: &Uri) -> Option<SendRequest<RequestBody>> {
        let (sender, since) =
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).remove(&origin(url))?;
        let fresh = since.elapsed().is_ok_and(|age| age < IDLE_LIMIT);
        (fresh && !sender.is_closed() && sender.is_ready()).then_some(sender)
    }
}

/// A request as it goes over the wire: the target is only the path, the host is a header.
pub(crate) fn request(
    method: &str,
    url: &Uri,
    headers: &[(String, String)],
    body: RequestBody,
) -> Result<Request<RequestBody>, HttpError> {
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    let mut builder = Request::builder().method(method).uri(target).header("host", host(url));
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(body).map_err(|error| HttpError::Broken(host(url), error.to_string()))
}

/// A body whose parts come from a channel.
pub(crate) struct ChannelBody(pub mpsc::Receiver<Frame<Bytes>>);

impl Body for ChannelBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

fn origin(url: &Uri) -> String {
    format!("{}://{}", url.scheme_str().unwrap_or_default(), host(url))
}

#[cfg(test)]
mod tests {
    use rustls::{ServerConfig, pki_types::PrivateKeyDer};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A server with a certificate of its own, which answers one request for each connection and then closes it
    /// without a word, as a server does that gave an idle connection up.
    async fn server() -> (Uri, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/x", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut buffer = [0; 4096];
                let length = stream.read(&mut buffer).await.unwrap();
                assert!(buffer[..length].starts_with(b"POST /x HTTP/1.1\r\n"));
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            }
        });
        (url.parse().unwrap(), made.cert.pem())
    }

    #[tokio::test]
    async fn certificates_of_the_bundle_are_trusted_and_no_others() {
        let (url, pem) = server().await;
        let send = async |client: &Client| {
            client.send("POST", &url, &[], Bytes::new(), Some(Duration::from_secs(10))).await
        };
        let trusting = Client::new(Some(pem.as_bytes())).unwrap();
        // The second request meets a connection that the server has closed.
        for _ in 0..3 {
            assert_eq!(send(&trusting).await.unwrap().body, "ok");
        }
        let error = send(&Client::new(None).unwrap()).await.unwrap_err();
        assert!(matches!(error, HttpError::Connect(..)), "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }

    #[tokio::test]
    async fn a_connection_that_was_opened_ahead_is_taken_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Uri = format!("http://{}/x", listener.local_addr().unwrap()).parse().unwrap();
        let client = Client::new(None).unwrap();
        client.open_ahead(&url, &url).await;
        assert!(client.take_idle(&url).is_none(), "whoever is there already leaves one");
        client.open_ahead(&url, &"http://localhost/".parse().unwrap()).await;
        let (mut stream, _) = listener.accept().await.unwrap();
        let server = async {
            let mut received = Vec::new();
            while !received.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut received).await.unwrap() > 0);
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
                .await
                .unwrap();
        };
        let (answer, ()) =
            tokio::join!(client.send("GET", &url, &[], Bytes::new(), Some(CONNECT_LIMIT)), server);
        let answer = answer.unwrap();
        assert_eq!((&answer.body[..], answer.repeated), (&b"ok"[..], false));
        assert!(client.take_idle(&url).is_none());
        // Nobody listens any more.
        drop(listener);
        client.open_ahead(&url, &"http://localhost/".parse().unwrap()).await;
        assert!(client.take_idle(&url).is_none());
    }

    #[tokio::test]
    async fn a_further_connection_takes_up_the_session_of_the_first() {
        let (url, pem) = server().await;
        let client = Client::new(Some(pem.as_bytes())).unwrap();
        client.send("POST", &url, &[], Bytes::new(), Some(CONNECT_LIMIT)).await.unwrap();
        let stream = TcpStream::connect(("localhost", url.port_u16().unwrap())).await.unwrap();
        let stream = client.tls.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    }

    #[test]
    fn a_damaged_bundle_is_an_error() {
        let damaged = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(Client::new(Some(damaged)).is_err());
    }
}
