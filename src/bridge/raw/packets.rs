//! Packets of gdb's remote protocol, as far as one in the middle has to understand them.

use bytes::{Buf, BytesMut};

/// What comes on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// `$…#xx`; its text. Binary data in it stays escaped.
    Packet(String),
    /// ^C, which stops a process that runs.
    Interrupt,
}

/// The longest packet that is understood. Debuggers and their servers agree on some kilobytes; LLDB reads memory in larger pieces.
const MAX_PACKET: usize = 4 * 1024 * 1024;

/// Takes items out of a stream, and passes acknowledgements over.
#[derive(Debug, Default)]
pub(super) struct Packets {
    received: BytesMut,
    /// How much of it has been looked through for the end of the packet that it begins with.
    searched: usize,
}

impl Packets {
    /// Takes in bytes and returns the items that are complete.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Item> {
        self.received.extend_from_slice(bytes);
        let mut items = Vec::new();
        while let Some(first) = self.received.first() {
            match first {
                3 => {
                    items.push(Item::Interrupt);
                    self.received.advance(1);
                }
                b'$' => {
                    let rest = &self.received[self.searched..];
                    let Some(end) = rest.iter().position(|byte| *byte == b'#') else {
                        self.searched = self.received.len();
                        break;
                    };
                    let end = self.searched + end;
                    self.searched = end;
                    if self.received.len() < end + 3 {
                        break;
                    }
                    self.searched = 0;
                    let packet = self.received.split_to(end + 3);
                    items.push(Item::Packet(String::from_utf8_lossy(&packet[1..end]).into_owned()));
                }
                _ => self.received.advance(1),
            }
        }
        // What has no end is no packet. It goes on to the other side all the same.
        if self.searched > MAX_PACKET {
            self.received = BytesMut::new();
            self.searched = 0;
        }
        items
    }
}

/// A packet as it goes on the wire.
pub(super) fn packet(text: &str) -> String {
    let sum = text.bytes().fold(0_u8, u8::wrapping_add);
    format!("${text}#{sum:02x}")
}

/// What a session has done to a process, so that it can be undone.
#[derive(Debug, Default)]
pub(super) struct Traces {
    from_client: Packets,
    from_server: Packets,
    /// Breakpoints and watchpoints that are set: what follows `Z` in the request.
    set: Vec<String>,
    /// The process runs, as far as the debugger knows.
    pub running: bool,
    /// It is not attached any more, or has ended.
    pub detached: bool,
    /// Both sides name processes; the second says so in its answer.
    several: (bool, bool),
}

impl Traces {
    /// Hears the client. Whether it lets the process run.
    pub(super) fn client(&mut self, bytes: &[u8]) -> bool {
        let mut runs = false;
        for item in self.from_client.take(bytes) {
            let Item::Packet(text) = item else { continue };
            match text.as_bytes() {
                [b'Z', ..] => {
                    // A condition may follow, which is not named when it is taken back.
                    let place = text[1..].split(';').next().unwrap_or_default();
                    self.set.push(place.to_owned());
                }
                [b'z', ..] => self.set.retain(|place| *place != text[1..]),
                [b'D', ..] | [b'k'] => self.detached = true,
                [b'c' | b'C' | b's' | b'S', ..] => self.running = true,
                _ if text.starts_with("vCont;") => self.running = true,
                _ if text.starts_with("qSupported") => {
                    self.several.0 = text.contains("multiprocess+");
                    continue;
                }
                _ => continue,
            }
            runs |= !matches!(text.as_bytes(), [b'Z' | b'z', ..]);
        }
        runs
    }

    /// Hears the server.
    pub(super) fn server(&mut self, bytes: &[u8]) {
        for item in self.from_server.take(bytes) {
            let Item::Packet(text) = item else { continue };
            match text.as_bytes() {
                [b'T' | b'S', ..] => self.running = false,
                [b'W' | b'X', ..] => self.detached = true,
                _ => self.several.1 |= text.contains("multiprocess+"),
            }
        }
    }

    /// The packets after which the process `pid` runs as if nobody had been there. It has to stand for that.
    pub(super) fn undo(&mut self, pid: u32) -> Vec<String> {
        let set = self.set.drain(..).map(|place| packet(&format!("z{place}")));
        let detach = if self.several == (true, true) { format!("D;{pid:x}") } else { "D".to_owned() };
        set.chain([packet(&detach)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_whatever_their_pieces() {
        let mut packets = Packets::default();
        assert_eq!(packets.take(b"+$qSup"), []);
        assert_eq!(packets.take(b"ported#37\x03+$c#6"), [Item::Packet("qSupported".into()), Item::Interrupt]);
        assert_eq!(packets.take(b"3"), [Item::Packet("c".into())]);
        assert_eq!(packet("c"), "$c#63");
        assert_eq!(packet("g"), "$g#67");
    }

    #[test]
    fn a_packet_without_an_end_is_not_kept() {
        let mut packets = Packets::default();
        packets.take(b"$");
        for _ in 0..MAX_PACKET / 65_536 * 3 {
            assert_eq!(packets.take(&[b'a'; 65_536]), []);
            assert!(packets.received.len() <= MAX_PACKET + 65_537);
        }
        assert_eq!(packets.take(b"#00$c#63"), [Item::Packet("c".into())]);
    }

    #[test]
    fn what_was_set_is_taken_back() {
        let mut traces = Traces::default();
        assert!(!traces.client(b"$Z0,10,1#00$Z0,20,1;X1,22#00$z0,10,1#00"));
        assert!(traces.client(b"$vCont;c:p1.-1#00") && traces.running);
        traces.server(b"$T05thread:1;#00");
        assert!(!traces.running && !traces.detached);
        assert_eq!(traces.undo(17), [packet("z0,20,1"), packet("D")]);
        traces.client(b"$qSupported:multiprocess+;swbreak+#00");
        assert_eq!(traces.undo(17), [packet("D")]);
        traces.server(b"$PacketSize=47ff;multiprocess+#00");
        assert_eq!(traces.undo(17), [packet("D;11")]);
        traces.server(b"$W00#00");
        assert!(traces.detached);
    }
}
