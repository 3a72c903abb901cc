//! Where a subscriber listens, which is always in the execution environment, and so on this machine.

use std::{net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// How long a subscriber may take for what it is sent.
const PATIENCE: Duration = Duration::from_secs(2);

/// The names by which the execution environment knows itself.
const HERE: [&str; 4] = ["sandbox.localdomain", "sandbox", "localhost", "127.0.0.1"];

/// Where records are sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "protocol", rename_all = "UPPERCASE")]
pub(super) enum Destination {
    /// As a JSON array, by a request for each batch.
    Http {
        #[serde(rename = "URI")]
        uri: String,
        /// `POST`, if not said otherwise. Only the older Logs API lets it be chosen.
        #[serde(default)]
        method: Option<String>,
        #[serde(skip)]
        port: u16,
    },
    /// As lines of JSON.
    Tcp { port: u16 },
}

impl Destination {
    /// The same, checked: nobody else is sent anything.
    pub(super) fn resolved(self) -> Result<Self, String> {
        let Self::Http { uri, method, .. } = self else { return Ok(self) };
        let parsed: Uri = uri.parse().map_err(|error| format!("`{uri}` is no URI: {error}"))?;
        let is_here = parsed.host().is_some_and(|host| HERE.contains(&host));
        match parsed.port_u16().filter(|_| is_here && parsed.scheme_str() == Some("http")) {
            Some(port) => Ok(Self::Http { uri, method, port }),
            None => Err(format!("`{uri}` is not of the form `http://sandbox.localdomain:PORT`")),
        }
    }

    /// Sends records, each of which is a text in JSON.
    pub(super) async fn send(&self, records: &[String]) -> Result<(), String> {
        match tokio::time::timeout(PATIENCE, self.try_to_send(records)).await {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err(format!("it takes longer than {} s", PATIENCE.as_secs())),
        }
    }

    async fn try_to_send(&self, records: &[String]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (Self::Http { port, .. } | Self::Tcp { port }) = self;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).await?;
        let Self::Http { uri, method, .. } = self else {
            stream.write_all(format!("{}\n", records.join("\n")).as_bytes()).await?;
            return Ok(stream.shutdown().await?);
        };
        let uri: Uri = uri.parse()?;
        let method = if method.as_deref() == Some("PUT") { Method::PUT } else { Method::POST };
        let request = Request::builder()
            .method(method)
            .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header(header::HOST, uri.authority().map_or("", |authority| authority.as_str()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(format!("[{}]", records.join(",")))))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
        let response = sender.send_request(request).await?;
        drop(connection);
        if response.status().is_success() { Ok(()) } else { Err(response.status().to_string().into()) }
    }
}
