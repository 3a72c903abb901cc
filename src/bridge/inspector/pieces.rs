//! A WebSocket connection whose long frames are read in pieces.
//!
//! The WebSocket library makes room for a whole frame as soon as its header has said how long it is, which may be anything up to
//! 2⁶³ bytes. Here such a frame becomes several, as if the other side had sent its message in fragments, so that room is made for what
//! has really come.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};

/// The longest frame that comes out.
pub(super) const PIECE: usize = 64 * 1024;

/// The end of the handshake, after which there are frames.
const END_OF_HEAD: &[u8; 4] = b"\r\n\r\n";

/// The client's side of a connection, from the handshake on.
pub(super) struct Pieces<S> {
    inner: BufReader<S>,
    state: State,
    /// What comes out next.
    header: Vec<u8>,
}

enum State {
    /// In the answer to the handshake; so many bytes of its end have been seen.
    Handshake(usize),
    /// In the header of a frame.
    Header(Vec<u8>),
    /// In a frame: what is left of the piece and of the frame behind it, and whether the frame ends its message.
    Frame { piece: u64, rest: u64, last: bool },
}

impl<S: AsyncRead> Pieces<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { inner: BufReader::new(stream), state: State::Handshake(0), header: Vec::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Pieces<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { inner, state, header } = &mut *self;
        while buffer.remaining() > 0 {
            if !header.is_empty() {
                let length = header.len().min(buffer.remaining());
                buffer.put_slice(&header[..length]);
                header.drain(..length);
                return Poll::Ready(Ok(()));
            }
            if let State::Frame { piece: piece @ 0, rest, last } = state {
                if *rest == 0 {
                    *state = State::Header(Vec::new());
                    continue;
                }
                *piece = (*rest).min(PIECE as u64);
                *rest -= *piece;
                // A continuation, whose bits say only whether it is the last.
                *header = header_of(if *rest == 0 && *last { 0x80 } else { 0 }, *piece);
                continue;
            }
            let available = ready!(Pin::new(&mut *inner).poll_fill_buf(context))?;
            if available.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let mut length = available.len().min(buffer.remaining());
            match state {
                State::Handshake(seen) => {
                    for (index, byte) in available[..length].iter().enumerate() {
                        *seen = match *byte == END_OF_HEAD[*seen] {
                            true => *seen + 1,
                            false => usize::from(*byte == END_OF_HEAD[0]),
                        };
                        if *seen == END_OF_HEAD.len() {
                            length = index + 1;
                            break;
                        }
                    }
                    let over = *seen == END_OF_HEAD.len();
                    buffer.put_slice(&available[..length]);
                    Pin::new(&mut *inner).consume(length);
                    if over {
                        *state = State::Header(Vec::new());
                    }
                    return Poll::Ready(Ok(()));
                }
                State::Header(read) => {
                    read.push(available[0]);
                    Pin::new(&mut *inner).consume(1);
                    if let Some(length) = length_of(read)? {
                        (*state, *header) = begin(read, length);
                    }
                }
                State::Frame { piece, .. } => {
                    length = length.min(usize::try_from(*piece).unwrap_or(usize::MAX));
                    buffer.put_slice(&available[..length]);
                    *piece -= length as u64;
                    Pin::new(&mut *inner).consume(length);
                    return Poll::Ready(Ok(()));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The length that a frame's header says (RFC 6455, 5.2). None when there is more of the header.
fn length_of(header: &[u8]) -> io::Result<Option<u64>> {
    let Some(second) = header.get(1) else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a server masks its frames"));
    }
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        length => return Ok(Some(length.into())),
    };
    let Some(bytes) = header.get(2..2 + extended) else { return Ok(None) };
    Ok(Some(bytes.iter().fold(0, |length, byte| (length << 8) | u64::from(*byte))))
}

/// What follows a complete header: itself, or that of the first piece.
fn begin(header: &[u8], length: u64) -> (State, Vec<u8>) {
    let (first, last) = (header[0], header[0] & 0x80 != 0);
    let is_control = first & 0x08 != 0;
    if is_control || length <= PIECE as u64 {
        return (State::Frame { piece: length, rest: 0, last }, header.to_vec());
    }
    let piece = PIECE as u64;
    (State::Frame { piece, rest: length - piece, last }, header_of(first & 0x7f, piece))
}

/// The header of a piece, which has at most [`PIECE`] bytes.
fn header_of(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first, 127];
    header.extend_from_slice(&length.to_be_bytes());
    header
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Pieces<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use tokio::io::{AsyncWriteExt, DuplexStream};
    use tokio_tungstenite::{
        WebSocketStream, accept_async, client_async_with_config,
        tungstenite::{Message, protocol::WebSocketConfig},
    };

    use super::*;

    async fn connected() -> (WebSocketStream<DuplexStream>, WebSocketStream<Pieces<DuplexStream>>) {
        let (server, client) = tokio::io::duplex(10_000);
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(Some(PIECE));
        let client = client_async_with_config("ws://127.0.0.1/x", Pieces::new(client), Some(config));
        let (server, client) = tokio::join!(accept_async(server), client);
        (server.unwrap(), client.unwrap().0)
    }

    #[tokio::test]
    async fn messages_of_all_lengths_arrive_as_they_were_sent() {
        let (mut server, mut client) = connected().await;
        let messages: Vec<Message> = [0, 1, 125, 126, 65_535, 65_536, 65_537, 200_000, 131_072, 3]
            .into_iter()
            .flat_map(|length| [Message::text("ä".repeat(length / 2)), Message::Ping(vec![1; 7].into())])
            .collect();
        let sent = messages.clone();
        let sending = tokio::spawn(async move {
            for message in sent {
                server.send(message).await.unwrap();
            }
            server
        });
        for message in messages {
            assert_eq!(client.next().await.unwrap().unwrap(), message);
        }
        drop(sending.await.unwrap());
    }

    #[tokio::test]
    async fn a_frame_that_is_only_announced_takes_no_room() {
        let (server, mut client) = connected().await;
        let mut server = server.into_inner();
        // A text of 2⁶³ − 1 bytes.
        let header = [&[0x81, 127, 0x7f][..], &[0xff; 7], b"abc"].concat();
        server.write_all(&header).await.unwrap();
        drop(server);
        assert!(client.next().await.is_none_or(|message| message.is_err()));
    }
}
