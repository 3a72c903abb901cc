//! Which protocol a debugger speaks that has connected: it says so with its first bytes.

use std::time::Duration;

use tokio::net::TcpStream;

/// How long a client may be silent before it is taken for a debug adapter's, whose messages are then waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is looked whether there is more of a message.
const PAUSE: Duration = Duration::from_millis(5);

/// A protocol for debugging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The Debug Adapter Protocol.
    Adapter,
    /// Delve's own, JSON-RPC (<https://github.com/go-delve/delve/blob/master/Documentation/api/json-rpc/README.md>); `dlv connect`, GoLand.
    Delve,
    /// gdb's remote protocol (<https://sourceware.org/gdb/current/onlinedocs/gdb.html/Remote-Protocol.html>) as gdb speaks it; CLion.
    Gdb,
    /// The same as LLDB speaks it (<https://lldb.llvm.org/resources/lldbgdbremote.html>).
    Lldb,
}

impl Dialect {
    /// Listens to the beginning of what a client says, and leaves it there to be read.
    pub async fn of(stream: &TcpStream) -> Self {
        tokio::time::timeout(PATIENCE, Self::listen(stream)).await.unwrap_or(Self::Adapter)
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adapter => "Debug Adapter Protocol",
            Self::Delve => "JSON-RPC of Delve",
            Self::Gdb | Self::Lldb => "remote protocol of gdb",
        }
    }

    async fn listen(stream: &TcpStream) -> Self {
        let mut start = [0; 16];
        loop {
            let Ok(length) = stream.peek(&mut start).await else { return Self::Adapter };
            if let Some(dialect) = Self::from_start(&start[..length]) {
                return dialect;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// None when more has to be known.
    fn from_start(start: &[u8]) -> Option<Self> {
        match start {
            [b'{', ..] => Some(Self::Delve),
            // LLDB's first wish is to have no acknowledgements; gdb asks for features first.
            [b'+', rest @ ..] => match rest {
                [] | [b'$'] => None,
                [b'+', ..] => Self::from_start(rest),
                [b'$', b'Q', ..] => Some(Self::Lldb),
                _ => Some(Self::Gdb),
            },
            [b'$'] => None,
            [b'$', b'Q', ..] => Some(Self::Lldb),
            [b'$', ..] => Some(Self::Gdb),
            _ => Some(Self::Adapter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        let of = |text: &str| Dialect::from_start(text.as_bytes());
        assert_eq!(of("Content-Length: 1"), Some(Dialect::Adapter));
        assert_eq!(of(r#"{"method":"RPCSer"#), Some(Dialect::Delve));
        assert_eq!(of("+$qSupported:mul"), Some(Dialect::Gdb));
        assert_eq!(of("$qSupported:mul"), Some(Dialect::Gdb));
        assert_eq!(of("+$QStartNoAckMo"), Some(Dialect::Lldb));
        assert_eq!([of("+"), of("+$"), of("$")], [None; 3]);
        assert_eq!(of("GET / HTTP/1.1"), Some(Dialect::Adapter), "which refuses it");
    }
}
