//! Which protocol a debugger speaks that has connected: it says so with its first bytes.

use std::time::Duration;

use tokio::net::TcpStream;

/// How long a client may be silent. Debuggers speak first, and at once; browsers open connections that they may never use.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked whether there is more of a message.
const PAUSE: Duration = Duration::from_millis(5);

/// A protocol for debugging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bridge) enum Dialect {
    /// The Debug Adapter Protocol.
    Adapter,
    /// Delve's own, JSON-RPC (<https://github.com/go-delve/delve/blob/master/Documentation/api/json-rpc/README.md>); `dlv connect`, GoLand.
    Delve,
    /// gdb's remote protocol (<https://sourceware.org/gdb/current/onlinedocs/gdb.html/Remote-Protocol.html>) as gdb speaks it; CLion.
    Gdb,
    /// The same as LLDB speaks it (<https://lldb.llvm.org/resources/lldbgdbremote.html>).
    Lldb,
    /// Java's (<https://docs.oracle.com/en/java/javase/17/docs/specs/jdwp/jdwp-spec.html>); `jdb`, IntelliJ, VS Code.
    Jdwp,
}

impl Dialect {
    /// Listens to the beginning of what a client says, and leaves it there to be read. None if it is no debugger: a web page can
    /// connect as well.
    pub(crate) async fn of(stream: &TcpStream) -> Option<Self> {
        tokio::time::timeout(PATIENCE, Self::listen(stream)).await.ok().flatten()
    }

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Adapter => "Debug Adapter Protocol",
            Self::Delve => "JSON-RPC of Delve",
            Self::Gdb | Self::Lldb => "remote protocol of gdb",
            Self::Jdwp => "Java Debug Wire Protocol",
        }
    }

    async fn listen(stream: &TcpStream) -> Option<Self> {
        let mut start = [0; 16];
        loop {
            let length = stream.peek(&mut start).await.ok()?;
            match Self::from_start(&start[..length]) {
                Heard::Dialect(dialect) => return Some(dialect),
                Heard::Stranger => return None,
                Heard::TooLittle => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn from_start(start: &[u8]) -> Heard {
        match start {
            [b'{', ..] => Heard::Dialect(Self::Delve),
            // LLDB's first wish is to have no acknowledgements; gdb asks for features first.
            [b'+', rest @ ..] => match rest {
                [] | [b'$'] => Heard::TooLittle,
                [b'+', ..] => Self::from_start(rest),
                [b'$', b'Q', ..] => Heard::Dialect(Self::Lldb),
                _ => Heard::Dialect(Self::Gdb),
            },
            [b'$'] => Heard::TooLittle,
            [b'$', b'Q', ..] => Heard::Dialect(Self::Lldb),
            [b'$', ..] => Heard::Dialect(Self::Gdb),
            // `Content-Length` or `Content-Type`, which the messages' reader looks at.
            [b'C' | b'c', ..] => Heard::Dialect(Self::Adapter),
            _ if start.starts_with(b"JDWP-") => Heard::Dialect(Self::Jdwp),
            _ if !start.is_empty() && b"JDWP-".starts_with(start) => Heard::TooLittle,
            _ => Heard::Stranger,
        }
    }
}

/// What the first bytes tell.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Dialect(Dialect),
    TooLittle,
    Stranger,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        let of = |text: &str| Dialect::from_start(text.as_bytes());
        assert_eq!(of("Content-Length: 1"), Heard::Dialect(Dialect::Adapter));
        assert_eq!(of(r#"{"method":"RPCSer"#), Heard::Dialect(Dialect::Delve));
        assert_eq!(of("+$qSupported:mul"), Heard::Dialect(Dialect::Gdb));
        assert_eq!(of("$qSupported:mul"), Heard::Dialect(Dialect::Gdb));
        assert_eq!(of("+$QStartNoAckMo"), Heard::Dialect(Dialect::Lldb));
        assert_eq!([of("JDWP-Handshake"), of("JDWP")], [Heard::Dialect(Dialect::Jdwp), Heard::TooLittle]);
        assert_eq!([of("+"), of("+$"), of("$")], [Heard::TooLittle, Heard::TooLittle, Heard::TooLittle]);
    }

    #[test]
    fn a_web_page_is_no_debugger() {
        // Any method that a page may choose; the beginning of TLS; the end of a connection that was never used.
        for start in [
            "GET / HTTP/1.1",
            "POST / HTTP/1.1",
            "OPTIONS / HTTP",
            "HEAD / HTTP",
            "PUT / HTTP",
            "\x16\x03\x01",
            "",
        ] {
            assert_eq!(Dialect::from_start(start.as_bytes()), Heard::Stranger, "{start}");
        }
    }
}
