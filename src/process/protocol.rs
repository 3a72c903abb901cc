//! What this program and a guard say to one another, through a socket between the two. Its end says that one of them is gone.

use std::{
    io::{self, IoSlice, Write},
    os::{
        fd::{AsRawFd, BorrowedFd, RawFd},
        unix::net::UnixStream,
    },
};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::command::Order;

/// The order to ask the child to end.
pub(super) const TERMINATE: u8 = b'T';

/// The order to end everything.
pub(super) const KILL: u8 = b'K';

/// With how many descriptors an order can come: the standard streams, a lock, and what else the child inherits.
pub(super) const MOST_DESCRIPTORS: usize = 16;

/// What a guard says of its child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// It runs, and this is its process id.
    Started(i32),
    /// It does not, because of this error (see errno(3)).
    NotStarted(i32),
    /// It has ended with this status (see waitpid(2)), and everything that it started is gone. The second number is the most memory
    /// that it has had, in megabytes, as far as that is known.
    Ended(i32, u32),
}

impl Report {
    /// How long each is.
    pub(super) const LENGTH: usize = 9;

    /// As it is sent.
    pub(super) fn encode(self) -> [u8; Self::LENGTH] {
        let (kind, number, peak_mb) = match self {
            Self::Started(number) => (b'S', number, 0),
            Self::NotStarted(number) => (b'N', number, 0),
            Self::Ended(number, peak_mb) => (b'E', number, peak_mb),
        };
        let ([a, b, c, d], [e, f, g, h]) = (number.to_le_bytes(), peak_mb.to_le_bytes());
        [kind, a, b, c, d, e, f, g, h]
    }

    /// The reverse. None for what is no report.
    pub(super) fn decode([kind, a, b, c, d, e, f, g, h]: [u8; Self::LENGTH]) -> Option<Self> {
        let (number, peak_mb) = (i32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        match kind {
            b'S' => Some(Self::Started(number)),
            b'N' => Some(Self::NotStarted(number)),
            b'E' => Some(Self::Ended(number, peak_mb)),
            _ => None,
        }
    }
}

/// Sends an order with descriptors.
pub(super) fn send(socket: &UnixStream, order: Order, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = order.encode()?;
    let too_large = || io::Error::from(io::ErrorKind::ArgumentListTooLong);
    if descriptors.len() > MOST_DESCRIPTORS {
        return Err(too_large());
    }
    let length = u32::try_from(bytes.len()).map_err(|_| too_large())?.to_le_bytes();
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    // They come with the first bytes, which are few enough to be sent at once.
    let rights = [ControlMessage::ScmRights(&numbers)];
    let sent = sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&length)], &rights, MsgFlags::empty(), None)?;
    let mut socket = socket;
    socket.write_all(&length[sent..])?;
    socket.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_arrives_as_it_was_sent() {
        for report in [Report::Started(i32::MAX), Report::NotStarted(2), Report::Ended(-1, u32::MAX)] {
            assert_eq!(Report::decode(report.encode()), Some(report));
        }
        assert_eq!(Report::decode(*b"?00000000"), None);
    }
}
