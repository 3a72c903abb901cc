//! Connections that are made here, not by the SDK: directly or by a tunnel through a proxy, with or without TLS.

use std::{io, pin::pin, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    Aws,
    proxy::{Proxies, Proxy, is_secure, place},
};

/// What can be read from and written to.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Why there is no way through a proxy.
#[derive(Debug, thiserror::Error)]
#[error("{proxy} {why}")]
pub(super) struct Refusal {
    proxy: Arc<Proxy>,
    why: String,
    /// Whether it has said so itself, and will say the same again.
    pub said: bool,
}

impl Aws {
    /// A connection to where a URL leads (`https`, `wss`, or one without TLS).
    ///
    /// # Errors
    /// Why there is none.
    pub async fn open(&self, uri: &Uri) -> io::Result<Box<dyn Stream>> {
        let (host, port) = place(uri).ok_or_else(|| io::Error::other("there is no host in the URL"))?;
        let stream = match self.network.proxies.to(uri) {
            Some(proxy) => through(proxy, &self.network.tls, &host, port).await.map_err(io::Error::other)?,
            None => directly(&host, port).await?,
        };
        if is_secure(uri) { secure(&self.network.tls, host, stream).await } else { Ok(stream) }
    }

    /// What is in the way to where a URL leads, as a fragment for people: nothing, or ` through the proxy …`.
    #[must_use]
    pub fn by_way_of(&self, uri: &Uri) -> String {
        by_way_of(&self.network.proxies, uri)
    }
}

pub(super) fn by_way_of(proxies: &Proxies, uri: &Uri) -> String {
    proxies.to(uri).map(|proxy| format!(" through {proxy}")).unwrap_or_default()
}

/// A connection to a host through a proxy.
///
/// # Errors
/// Why there is none.
pub(super) async fn through(
    proxy: &Arc<Proxy>,
    tls: &Arc<rustls::ClientConfig>,
    host: &str,
    port: u16,
) -> Result<Box<dyn Stream>, Refusal> {
    let stream = reach(proxy, tls).await?;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let target = format!("{host}:{port}");
    let lost =
        |error: hyper::Error| refusal(proxy, format!("makes no connection to `{target}`: {error}"), false);
    let mut asked = Request::builder().method(Method::CONNECT).uri(&target).header(header::HOST, &target);
    if let Some(authorization) = proxy.authorization() {
        asked = asked.header(header::PROXY_AUTHORIZATION, authorization);
    }
    let asked = asked.body(Empty::<Bytes>::new());
    let asked =
        asked.map_err(|error| refusal(proxy, format!("cannot be asked for `{target}`: {error}"), true))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let connection = async {
        // Why it has ended is said by the answer that does not come.
        let _ = connection.with_upgrades().await;
        std::future::pending::<()>().await;
    };
    let mut connection = pin!(connection);
    let answer = tokio::select! {
        answer = sender.send_request(asked) => answer.map_err(lost)?,
        () = &mut connection => return Err(refusal(proxy, "has gone".to_owned(), false)),
    };
    if !answer.status().is_success() {
        let why = refused(proxy, answer.status(), answer.headers(), &target);
        return Err(refusal(proxy, why, true));
    }
    let stream = tokio::select! {
        stream = hyper::upgrade::on(answer) => stream.map_err(lost)?,
        () = &mut connection => return Err(refusal(proxy, "has gone".to_owned(), false)),
    };
    Ok(Box::new(TokioIo::new(stream)))
}

/// A connection to a proxy.
///
/// # Errors
/// Why there is none.
pub(super) async fn reach(
    proxy: &Arc<Proxy>,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Box<dyn Stream>, Refusal> {
    let connect = async {
        let (host, port) = place(proxy.uri()).ok_or_else(|| io::Error::other("it has no host"))?;
        let stream = directly(&host, port).await?;
        if is_secure(proxy.uri()) { secure(tls, host, stream).await } else { Ok(stream) }
    };
    connect.await.map_err(|error: io::Error| refusal(proxy, format!("cannot be reached: {error}"), false))
}

/// What it means that a proxy has answered a request with this status.
pub(super) fn answered(
    proxy: &Arc<Proxy>,
    status: StatusCode,
    headers: &http::HeaderMap,
    target: &str,
) -> Refusal {
    refusal(proxy, refused(proxy, status, headers, target), true)
}

fn refusal(proxy: &Arc<Proxy>, why: String, said: bool) -> Refusal {
    Refusal { proxy: proxy.clone(), why, said }
}

fn refused(proxy: &Proxy, status: StatusCode, headers: &http::HeaderMap, target: &str) -> String {
    if status != StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return format!("refuses a connection to `{target}`: {status}");
    }
    let wanted: Vec<&str> = headers
        .get_all(header::PROXY_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok()?.split_whitespace().next())
        .collect();
    if !wanted.is_empty() && !wanted.iter().any(|scheme| scheme.eq_ignore_ascii_case("basic")) {
        let wanted = wanted.join("`, `");
        return format!(
            "wants another authentication than by a password (`{wanted}`), which has to be done by a proxy on this machine"
        );
    }
    match proxy.authorization() {
        Some(_) => "does not take the user and the password that the variable has for it".to_owned(),
        None => format!(
            "wants a user and a password: set the variable to `http://user:password@{}`, where characters such as `@`, `:` and \
             `/` of the password are written `%40`, `%3A` and `%2F`",
            proxy.place()
        ),
    }
}

async fn directly(host: &str, port: u16) -> io::Result<Box<dyn Stream>> {
    let tcp = TcpStream::connect((host, port)).await?;
    tcp.set_nodelay(true)?;
    Ok(Box::new(tcp))
}

async fn secure(
    tls: &Arc<rustls::ClientConfig>,
    host: String,
    stream: Box<dyn Stream>,
) -> io::Result<Box<dyn Stream>> {
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    Ok(Box::new(tokio_rustls::TlsConnector::from(tls.clone()).connect(name, stream).await?))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use aws_smithy_http_client::tls::{TlsContext, TrustStore};
    use aws_types::sdk_config::RetryConfig;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::aws::{Clock, Network, Options};

    const IDENTITY: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::1:user/a</Arn>\
        <Account>1</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";

    type Asked = Arc<Mutex<Vec<String>>>;

    /// A proxy that answers all requests with the same, and after that sends back what it gets. Returns its place, and what it was asked.
    async fn proxy(answer: String) -> (String, Asked) {
        listening(answer, None).await
    }

    async fn listening(answer: String, tls: Option<tokio_rustls::TlsAcceptor>) -> (String, Asked) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let asked = Asked::default();
        let heard = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let stream: Box<dyn Stream> = match &tls {
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => Box::new(stream),
                        Err(_) => continue,
                    },
                    None => Box::new(stream),
                };
                tokio::spawn(serve(stream, answer.clone(), heard.clone()));
            }
        });
        (place, asked)
    }

    async fn serve(mut stream: Box<dyn Stream>, answer: String, heard: Asked) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        heard.lock().unwrap().push(String::from_utf8(head).unwrap().to_lowercase());
        let (mut reader, mut writer) = tokio::io::split(stream);
        writer.write_all(answer.as_bytes()).await.unwrap();
        writer.flush().await.unwrap();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    }

    fn network(value: &str) -> Network {
        let value = value.to_owned();
        let variable = |name: &str| (name == "http_proxy").then(|| value.clone().into());
        Network::new(Proxies::of_variables(variable).unwrap()).unwrap()
    }

    async fn connect(network: Network) -> crate::error::Result<Aws> {
        let endpoint = Some("http://aws.counterpart.test:81".to_owned());
        let options = Options { endpoint, local: true, ..Options::default() };
        Aws::connect_by(options, Clock::default(), network).await
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    }

    fn refusing(status: u16, challenge: &str) -> String {
        format!("HTTP/1.1 {status} No\r\n{challenge}Content-Length: 0\r\nConnection: close\r\n\r\n")
    }

    #[tokio::test]
    async fn requests_without_tls_go_through_the_proxy_for_them() {
        let (place, asked) = proxy(ok(IDENTITY)).await;
        let aws = connect(network(&format!("http://user:secret@{place}"))).await.unwrap();
        assert_eq!(aws.account, "1");
        let asked = asked.lock().unwrap().clone();
        assert!(asked[0].starts_with("post http://aws.counterpart.test:81/ http/1.1\r\n"), "{asked:?}");
        // `user:secret`
        assert!(asked[0].contains("\r\nproxy-authorization: basic dxnlcjpzzwnyzxq=\r\n"), "{asked:?}");
    }

    #[tokio::test]
    async fn a_connection_of_our_own_is_a_tunnel() {
        let (place, _) = proxy(ok(IDENTITY)).await;
        let mut aws = connect(network(&place)).await.unwrap();
        let (place, asked) = proxy("HTTP/1.1 200 Connection established\r\n\r\nEarly".to_owned()).await;
        aws.network = network(&format!("http://user:secret@{place}"));
        let mut stream = aws.open(&"ws://[fd00::1]/dev".parse().unwrap()).await.unwrap();
        stream.write_all(b"Late").await.unwrap();
        let mut heard = [0; 9];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"EarlyLate");
        let asked = asked.lock().unwrap().clone();
        assert!(asked[0].starts_with("connect [fd00::1]:80 http/1.1\r\nhost: [fd00::1]:80\r\n"), "{asked:?}");
        assert!(asked[0].contains("\r\nproxy-authorization: basic dxnlcjpzzwnyzxq=\r\n"), "{asked:?}");
    }

    #[tokio::test]
    async fn a_proxy_may_be_reached_by_tls() {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let ring = || Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(ring());
        let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let server = server.with_single_cert(vec![made.cert.der().clone()], key.into()).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client = rustls::ClientConfig::builder_with_provider(ring());
        let client = client.with_safe_default_protocol_versions().unwrap();
        let trust = TrustStore::empty().with_pem_certificate(made.cert.pem().as_bytes());
        let trusting = |place: &str| Network {
            trust: TlsContext::builder().with_trust_store(trust.clone()).build().unwrap(),
            tls: Arc::new(client.clone().with_root_certificates(roots.clone()).with_no_client_auth()),
            ..network(&format!("https://user:secret@{place}"))
        };
        let (place, asked) = listening(ok(IDENTITY), Some(acceptor.clone())).await;
        let mut aws = connect(trusting(&place)).await.unwrap();
        assert!(asked.lock().unwrap()[0].starts_with("post http://aws.counterpart.test:81/ http/1.1\r\n"));
        let (place, asked) = listening("HTTP/1.1 200 OK\r\n\r\n".to_owned(), Some(acceptor)).await;
        aws.network = trusting(&place);
        let mut stream = aws.open(&"ws://a.example/".parse().unwrap()).await.unwrap();
        stream.write_all(b"Late").await.unwrap();
        stream.flush().await.unwrap();
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"Late");
        assert!(asked.lock().unwrap()[0].starts_with("connect a.example:80 http/1.1\r\n"));

        // One that nobody trusts is named with what is wrong.
        aws.network = network(&format!("https://{place}"));
        let error = aws.open(&"ws://a.example/".parse().unwrap()).await.err().unwrap().to_string();
        assert!(
            error
                .starts_with(&format!("the proxy `{place}` of `http_proxy` cannot be reached: invalid peer")),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_proxy_that_says_nothing_is_not_awaited_for_long() {
        // Connections come into being, and nobody takes them.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = silent.local_addr().unwrap().to_string();
        let value = place.clone();
        let variable = |name: &str| (name == "HTTPS_PROXY").then(|| value.clone().into());
        let (answering, _) = proxy(ok(IDENTITY)).await;
        let mut aws = connect(network(&answering)).await.unwrap();
        aws.network = Network::new(Proxies::of_variables(variable).unwrap()).unwrap();
        let url = "https://aws.counterpart.test";
        let sdk = aws.sdk.to_builder().retry_config(RetryConfig::disabled()).endpoint_url(url).build();
        let aws = Aws { sdk, ..aws }.fresh();
        let began = std::time::Instant::now();
        let error = crate::aws::explain(&aws.sts().get_caller_identity().send().await.unwrap_err());
        assert_eq!(
            error,
            format!(
                "`aws.counterpart.test` has not answered in time through the proxy `{place}` of `HTTPS_PROXY`"
            )
        );
        assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_a_proxy_has_against_it_is_said_by_its_name() {
        let basic = "Proxy-Authenticate: Basic realm=\"x\"\r\n";
        let table = [
            (
                "user:secret@",
                refusing(407, basic),
                "does not take the user and the password that the variable has",
            ),
            (
                "",
                refusing(407, basic),
                "wants a user and a password: set the variable to `http://user:password@127.0.0.1",
            ),
            ("", refusing(407, ""), "wants a user and a password"),
            (
                "user:secret@",
                refusing(407, "Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n"),
                "wants another authentication than by a password (`Negotiate`, `NTLM`)",
            ),
            ("user:secret@", refusing(403, ""), "refuses a connection to `a.example:80`: 403 Forbidden"),
            (
                "user:secret@",
                refusing(503, ""),
                "refuses a connection to `a.example:80`: 503 Service Unavailable",
            ),
            ("user:secret@", "SSH-2.0-x\r\n\r\n".to_owned(), "makes no connection to `a.example:80`: "),
        ];
        let (place, _) = proxy(ok(IDENTITY)).await;
        let mut aws = connect(network(&place)).await.unwrap();
        for (user, answer, expected) in table {
            let (place, _) = proxy(answer.clone()).await;
            aws.network = network(&format!("http://{user}{place}"));
            let error = aws.open(&"ws://a.example/".parse().unwrap()).await.err().unwrap().to_string();
            assert!(
                error.starts_with(&format!("the proxy `{place}` of `http_proxy` {expected}")),
                "{answer}: {error}"
            );
            assert!(!error.contains("secret"), "{error}");

            // The SDK's clients say the same, where the answer can be no service's.
            if answer.contains(" 407 ") {
                let sdk = aws.sdk.to_builder().retry_config(RetryConfig::standard()).build();
                let fresh = Aws { sdk, ..aws.clone() }.fresh();
                let error = crate::aws::explain(&fresh.sts().get_caller_identity().send().await.unwrap_err());
                assert!(
                    error.contains(&format!("the proxy `{place}` of `http_proxy` {expected}")),
                    "{error}"
                );
            }
        }
    }
}
