//! Answers of a session that are read line by line, as they come.

use std::{io, pin::Pin};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http1::SendRequest};

/// The longest line, in bytes. What a function writes is split long before.
const LONGEST: usize = 8 << 20;

/// The rest of an answer. What is not read is not sent, so it takes no memory here.
pub(crate) struct Lines {
    pub status: StatusCode,
    /// The connection ends with it.
    _sender: SendRequest<http_body_util::Full<Bytes>>,
    connection: Option<Connection>,
    body: Incoming,
    read: BytesMut,
    /// How much of that has no line break in it.
    searched: usize,
}

/// Moves the bytes when it is waited for.
pub(super) type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

impl Lines {
    pub(super) fn new(
        sender: SendRequest<http_body_util::Full<Bytes>>,
        connection: Option<Connection>,
        answer: http::Response<Incoming>,
    ) -> Self {
        let status = answer.status();
        let body = answer.into_body();
        Self { status, _sender: sender, connection, body, read: BytesMut::new(), searched: 0 }
    }

    /// The next line, without its end; none when the answer has ended. What has no end yet stays for the next time when this is dropped.
    ///
    /// # Errors
    /// When the connection breaks, or a line does not end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(at) = self.read[self.searched..].iter().position(|byte| *byte == b'\n') {
                let mut line = self.read.split_to(self.searched + at + 1);
                line.truncate(line.len() - 1);
                self.searched = 0;
                return Ok(Some(line.freeze()));
            }
            self.searched = self.read.len();
            if self.searched > LONGEST {
                return Err(io::Error::other("a line does not end"));
            }
            let Some(frame) = self.frame().await else {
                self.searched = 0;
                let rest = self.read.split().freeze();
                return Ok((!rest.is_empty()).then_some(rest));
            };
            if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
                self.read.extend_from_slice(&data);
            }
        }
    }

    async fn frame(&mut self) -> Option<hyper::Result<hyper::body::Frame<Bytes>>> {
        if let Some(connection) = &mut self.connection {
            tokio::select! {
                biased;
                frame = self.body.frame() => return frame,
                ended = connection => {
                    // What was read last is still there.
                    self.connection = None;
                    if let Err(error) = ended {
                        return Some(Err(error));
                    }
                }
            }
        }
        self.body.frame().await
    }
}
