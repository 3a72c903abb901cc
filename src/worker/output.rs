//! What a worker writes to its standard output and standard error, line by line.
//!
//! Lines have to be shown between the request and the response that they belong to. A worker writes before it answers, but a reader
//! task of its own could be scheduled after the answer was. So there is no reader task that forwards lines: a task only says that
//! there is something to read, and the loop reads what is there before it handles the worker's next event.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
};

use nix::{errno::Errno, fcntl::OFlag};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
};

use crate::{core::event::Exit, ids::WorkerId};

/// The most that is read at once, so that a worker which never stops writing cannot hold everything else up.
const MAX_AT_ONCE: usize = 256 * 1024;

/// How a process is called that Lambda ends for want of memory.
const KILLED: &str = "killed";

/// A process that has had so much of what its function declares may have ended for want of more.
const NEAR_PERCENT: u64 = 80;

/// A longer line is shown in pieces.
const MAX_LINE: usize = 64 * 1024;

/// Both outputs of one worker. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    streams: Arc<Mutex<[Stream; 2]>>,
}

#[derive(Debug)]
struct Stream {
    descriptor: Option<OwnedFd>,
    partial: Vec<u8>,
    /// Standard error, on which Node speaks of its inspector; a Java virtual machine speaks of its debugger on the other.
    is_stderr: bool,
    /// Where the process listens for debuggers, once it has said so and until somebody asks.
    listening: Option<Listening>,
    /// What Node has said of its heap, once it says its last words for want of memory.
    last_words: Option<LastWords>,
    /// How much memory the function declares, in MB.
    declared_mb: Option<u64>,
    /// What is said of it when it has ended, after all that it has said itself.
    epilogue: Option<String>,
}

/// What Node writes when its heap is full: some thirty lines, most of them of its own code. They become one, which comes at its end,
/// when it is known how much memory it has had.
#[derive(Debug, Default)]
struct LastWords {
    /// They have said that it is the heap.
    is_full: bool,
}

impl LastWords {
    /// With what they begin.
    const BEGINNING: &str = "<--- Last few GCs --->";

    /// Whether a line is one of them. It may have been a child of the function that has ended, and something else that goes on.
    fn hear(&mut self, line: &str) -> bool {
        if line.starts_with("FATAL ERROR: ") {
            self.is_full = true;
            return true;
        }
        let is_frame =
            line.trim_start().split_once(": 0x").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        let is_heading = line.starts_with("<---") || line.starts_with("-----") || line.starts_with('[');
        is_frame || is_heading || line.is_empty()
    }
}

/// Where a process listens for debuggers, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listening {
    /// Node's inspector, at this address.
    Inspector(String),
    /// A Java virtual machine, at this port.
    Machine(u16),
}

/// The ends of the pipes that the child gets.
pub(crate) struct ChildEnds {
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

impl Output {
    /// Makes the pipes.
    pub(super) fn new() -> io::Result<(Self, ChildEnds)> {
        let (stdout, child_stdout) = pipe()?;
        let (stderr, child_stderr) = pipe()?;
        let stream = |descriptor, is_stderr| Stream {
            descriptor: Some(descriptor),
            partial: Vec::new(),
            is_stderr,
            listening: None,
            last_words: None,
            declared_mb: None,
            epilogue: None,
        };
        let streams = Arc::new(Mutex::new([stream(stdout, false), stream(stderr, true)]));
        Ok((Self { streams }, ChildEnds { stdout: child_stdout, stderr: child_stderr }))
    }

    /// Names the memory that the function declares, in MB, where it has too little.
    pub(super) fn declare(&self, memory_mb: Option<u64>) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.iter_mut().for_each(|stream| stream.declared_mb = memory_mb);
    }

    /// The process has ended, and has had so much memory at most. With `exit` it had no more than its function declares, and has ended in
    /// this way by itself, of which too little memory may be the reason.
    pub(super) fn has_ended(&self, exit: Option<&Exit>, peak_mb: Option<u32>) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in streams.iter_mut().filter(|stream| stream.is_stderr) {
            let is_full = stream.last_words.take().is_some_and(|words| words.is_full);
            let was_near = peak_mb
                .zip(stream.declared_mb)
                .is_some_and(|(peak_mb, declared_mb)| u64::from(peak_mb) * 100 >= declared_mb * NEAR_PERCENT);
            let for_want_of_it = match exit {
                // A runner ends so that is told of it by its language.
                Some(Exit::Signal(signal)) => signal == KILLED || was_near,
                Some(Exit::Code(code)) => *code != 0 && was_near,
                _ => false,
            };
            if is_full || for_want_of_it {
                stream.epilogue = Some(out_of_memory(peak_mb, stream.declared_mb));
            }
        }
    }

    /// Says through `ready` whenever there is something to read, until both pipes are closed.
    pub(super) async fn watch(&self, worker: WorkerId, ready: mpsc::UnboundedSender<WorkerId>) {
        let duplicates = {
            let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
            streams.each_ref().map(|stream| stream.descriptor.as_ref().and_then(|fd| fd.try_clone().ok()))
        };
        let [stdout, stderr] = duplicates;
        tokio::join!(watch_one(stdout, worker, &ready), watch_one(stderr, worker, &ready));
    }

    /// Where the process listens for debuggers: once, after the line that says so was read.
    pub(super) fn take_listening(&self) -> Option<Listening> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.iter_mut().find_map(|stream| stream.listening.take())
    }

    /// The lines that have begun and not ended: whoever has written them has ended what they belong to.
    pub(super) fn end_lines(&self) -> Vec<String> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        for stream in streams.iter_mut() {
            stream.end_line(&mut lines);
        }
        lines
    }

    /// Reads what is there. The second value says whether there may be more.
    pub(super) fn drain(&self) -> (Vec<String>, bool) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        let mut more = false;
        for stream in streams.iter_mut() {
            more |= stream.read(&mut lines);
        }
        // What both have said comes first.
        if !more {
            lines.extend(streams.iter_mut().filter_map(|stream| stream.epilogue.take()));
        }
        (lines, more)
    }
}

async fn watch_one(descriptor: Option<OwnedFd>, worker: WorkerId, ready: &mpsc::UnboundedSender<WorkerId>) {
    let Some(descriptor) = descriptor else { return };
    // SAFETY: the registration owns the descriptor, which therefore stays open and the same until it is gone.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    let Ok(descriptor) = registered else { return };
    loop {
        let Ok(mut guard) = descriptor.readable().await else { return };
        // The end of a pipe is never cleared: whoever waits for more after it would be woken for ever.
        let closed = guard.ready().is_read_closed();
        // New bytes raise the readiness again, so clearing it before they are read loses nothing.
        guard.clear_ready();
        if ready.send(worker).is_err() || closed {
            return;
        }
    }
}

impl Stream {
    fn read(&mut self, lines: &mut Vec<String>) -> bool {
        let mut buffer = [0; 16 * 1024];
        let mut total = 0;
        while total < MAX_AT_ONCE {
            let Some(descriptor) = &self.descriptor else { return false };
            match nix::unistd::read(descriptor.as_fd(), &mut buffer) {
                Ok(0) => {
                    self.descriptor = None;
                    self.end_line(lines);
                    return false;
                }
                Ok(count) => {
                    total += count;
                    self.take(&buffer[..count], lines);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return false,
                Err(_) => {
                    self.descriptor = None;
                    return false;
                }
            }
        }
        true
    }

    fn take(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            self.push(lines);
        }
        self.partial.extend_from_slice(rest);
        if self.partial.len() >= MAX_LINE {
            // The rest of its last character belongs to the next piece.
            let begun = self.partial.split_off(self.partial.len() - begun_character(&self.partial));
            self.push(lines);
            self.partial = begun;
        }
    }

    fn end_line(&mut self, lines: &mut Vec<String>) {
        if !self.partial.is_empty() {
            self.push(lines);
        }
    }

    fn push(&mut self, lines: &mut Vec<String>) {
        let line = String::from_utf8_lossy(&self.partial).trim_end_matches('\r').to_owned();
        self.partial.clear();
        if self.is_stderr {
            if line == LastWords::BEGINNING {
                self.last_words = Some(LastWords::default());
                // With an empty line before it.
                lines.pop_if(|line| line.is_empty());
            }
            if let Some(last_words) = &mut self.last_words {
                if last_words.hear(&line) {
                    return;
                }
                if last_words.is_full {
                    lines.push(out_of_memory(None, self.declared_mb));
                }
                self.last_words = None;
            }
            if let Some(url) = line.strip_prefix("Debugger listening on ")
                && url.starts_with("ws://127.0.0.1:")
            {
                self.listening = Some(Listening::Inspector(url.to_owned()));
            }
        } else if let Some(port) = machine_s_port(&line) {
            self.listening = Some(Listening::Machine(port));
            return;
        }
        if !(self.is_stderr && is_of_the_inspector(&line)) {
            lines.push(line);
        }
    }
}

/// The one line that is said of too little memory.
fn out_of_memory(peak_mb: Option<u32>, declared_mb: Option<u64>) -> String {
    let peak = peak_mb.map(|peak| format!(": {peak} MB were in use at most")).unwrap_or_default();
    let mark = if peak.is_empty() { ": " } else { "; " };
    let declared = declared_mb.map(|size| format!("{mark}the function declares {size} MB"));
    format!("out of memory{peak}{}", declared.unwrap_or_default())
}

/// How many bytes at the end are a character whose other bytes have not come yet.
fn begun_character(bytes: &[u8]) -> usize {
    let continues = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
    let Some(start) = bytes.iter().rposition(|byte| !continues(byte)) else { return 0 };
    match std::str::from_utf8(&bytes[start..]) {
        Err(error) if error.error_len().is_none() => bytes.len() - start,
        _ => 0,
    }
}

/// The port in the line that a Java virtual machine writes whenever it waits for a debugger, also when one has left.
fn machine_s_port(line: &str) -> Option<u16> {
    line.strip_prefix("Listening for transport dt_socket at address: ")?.parse().ok()
}

/// Node's own lines about its inspector, which a developer who asked for no port need not read.
fn is_of_the_inspector(line: &str) -> bool {
    line.starts_with("Debugger listening on ws://")
        || line.starts_with("Debugger ending on ws://")
        || line.starts_with("For help, see: https://nodejs.org/")
        || line == "Debugger attached."
        || line == "Waiting for the debugger to disconnect..."
}

/// A pipe whose reading end does not block. Neither end is inherited by accident.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = std::io::pipe()?;
    let read = OwnedFd::from(read);
    let flags = OFlag::from_bits_retain(nix::fcntl::fcntl(&read, nix::fcntl::FcntlArg::F_GETFL)?);
    nix::fcntl::fcntl(&read, nix::fcntl::FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok((read, OwnedFd::from(write)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn the_watch_ends_with_the_pipes_even_if_nobody_reads() {
        let (output, ends) = Output::new().unwrap();
        let (sender, mut ready) = mpsc::unbounded_channel();
        let mut stdout = std::fs::File::from(ends.stdout);
        stdout.write_all(b"one").unwrap();
        drop((stdout, ends.stderr));
        output.watch(WorkerId(1), sender).await;
        let mut count = 0;
        while ready.recv().await.is_some() {
            count += 1;
        }
        assert!((1..=4).contains(&count), "it says so once or twice for each pipe, not for ever: {count}");
        assert_eq!(output.drain().0, ["one"]);
    }

    #[test]
    fn the_last_words_of_a_full_heap_are_one_line() {
        let (output, ends) = Output::new().unwrap();
        output.declare(Some(128));
        let mut stderr = std::fs::File::from(ends.stderr);
        let words = "\n<--- Last few GCs --->\n\n\
            [32690:0x42b35670]     5656 ms: Mark-Compact 4102.5 (4110.9) -> 4102.5 (4114.9) MB, 10.48 / 0.00 ms\n\n\n\
            <--- JS stacktrace --->\n\n\
            FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n\
            ----- Native stack trace -----\n\n 1: 0xb78db3 node::OOMErrorHandler(char const*) [/usr/bin/node]\n\
            16: 0x195e476  [/usr/bin/node]\n";
        stderr.write_all(words.as_bytes()).unwrap();
        assert!(output.drain().0.is_empty(), "it is not known yet how much memory it has had");
        // It was a child of the function's.
        stderr.write_all(b"and on it goes\n\n1: 0x2\n").unwrap();
        let shown = ["out of memory: the function declares 128 MB", "and on it goes", "", "1: 0x2"];
        assert_eq!(output.drain().0, shown);
        stderr.write_all(words.as_bytes()).unwrap();
        assert!(output.drain().0.is_empty());
        output.has_ended(None, Some(4150));
        let shown = ["out of memory: 4150 MB were in use at most; the function declares 128 MB"];
        assert_eq!(output.drain().0, shown);
    }

    /// What this machine's Node itself says.
    #[test]
    fn a_full_heap_of_node_is_one_line() {
        let (output, ends) = Output::new().unwrap();
        output.declare(Some(128));
        let status = std::process::Command::new("node")
            .args([
                "--max-old-space-size=16",
                "-e",
                "const all = []; for (;;) all.push(new Array(1e5).fill(1.5))",
            ])
            .stdout(ends.stdout)
            .stderr(ends.stderr)
            .status()
            .unwrap();
        assert!(!status.success());
        assert!(output.drain().0.is_empty());
        output.has_ended(None, Some(70));
        assert_eq!(
            output.drain().0,
            ["out of memory: 70 MB were in use at most; the function declares 128 MB"]
        );
    }

    #[test]
    fn what_a_limited_process_ends_of_is_its_memory_if_it_had_most_of_that() {
        let (killed, aborted) = (Exit::Signal("killed".to_owned()), Exit::Signal("aborted".to_owned()));
        for (exit, peak, expected) in [
            (Some(&killed), 30, true),
            (Some(&aborted), 125, true),
            (Some(&aborted), 30, false),
            (Some(&Exit::Code(2)), 125, true),
            (Some(&Exit::Code(0)), 125, false),
            (None, 125, false),
        ] {
            let (output, _ends) = Output::new().unwrap();
            output.declare(Some(128));
            output.has_ended(exit, Some(peak));
            assert_eq!(!output.drain().0.is_empty(), expected, "{exit:?} {peak}");
        }
    }

    #[test]
    fn lines_are_whole_whatever_the_writes_were() {
        let (output, ends) = Output::new().unwrap();
        let mut stdout = std::fs::File::from(ends.stdout);
        let mut stderr = std::fs::File::from(ends.stderr);
        stdout.write_all(b"one\ntw").unwrap();
        assert_eq!(output.drain().0, ["one"]);
        stdout.write_all(b"o\r\n\nlast").unwrap();
        stderr.write_all(b"Debugger attached.\nwarning\n").unwrap();
        assert_eq!(output.drain().0, ["two", "", "warning"]);
        drop(stdout);
        assert_eq!(output.drain(), (vec!["last".to_owned()], false));
        // Exactly what a pipe holds, so that the write does not wait for a reader.
        stderr.write_all(&vec![b'x'; MAX_LINE]).unwrap();
        assert_eq!(output.drain().0.len(), 1, "an endless line is shown in pieces");
    }

    #[test]
    fn a_line_that_has_not_ended_can_be_ended() {
        let (output, ends) = Output::new().unwrap();
        let mut stdout = std::fs::File::from(ends.stdout);
        let mut stderr = std::fs::File::from(ends.stderr);
        stdout.write_all(b"one\ntwo").unwrap();
        stderr.write_all(b"three").unwrap();
        assert_eq!(output.drain().0, ["one"]);
        assert_eq!(output.end_lines(), ["two", "three"]);
        assert_eq!(output.end_lines(), [""; 0]);
        stdout.write_all(b"four\n").unwrap();
        assert_eq!(output.drain().0, ["four"]);
    }

    #[test]
    fn what_processes_say_about_debuggers_is_not_shown() {
        let (output, ends) = Output::new().unwrap();
        let mut stdout = std::fs::File::from(ends.stdout);
        let mut stderr = std::fs::File::from(ends.stderr);
        stderr.write_all(b"Debugger listening on ws://127.0.0.1:9/x\n").unwrap();
        // What they refer to is another page from version to version of Node.
        stderr.write_all(b"For help, see: https://nodejs.org/en/docs/inspector\n").unwrap();
        stderr.write_all(b"For help, see: https://nodejs.org/learn/getting-started/debugging\n").unwrap();
        assert_eq!(output.drain().0, [""; 0]);
        assert_eq!(output.take_listening(), Some(Listening::Inspector("ws://127.0.0.1:9/x".to_owned())));
        stdout.write_all(b"Listening for transport dt_socket at address: 7\nListening for it\n").unwrap();
        assert_eq!(output.drain().0, ["Listening for it"]);
        assert_eq!((output.take_listening(), output.take_listening()), (Some(Listening::Machine(7)), None));
    }

    #[test]
    fn no_piece_of_a_line_ends_within_a_character() {
        for text in ["ä", "漢", "👩", "aä漢👩"] {
            for offset in 0..4 {
                let (output, ends) = Output::new().unwrap();
                let mut stdout = std::fs::File::from(ends.stdout);
                let line = "x".repeat(offset) + &text.repeat(3 * MAX_LINE / text.len());
                let mut pieces = Vec::new();
                for part in line.as_bytes().chunks(10_007) {
                    stdout.write_all(part).unwrap();
                    pieces.extend(output.drain().0);
                }
                drop((stdout, ends.stderr));
                // A process that another test has just begun to start may hold the pipe open for a moment more.
                while pieces.iter().map(String::len).sum::<usize>() < line.len() {
                    pieces.extend(output.drain().0);
                    std::thread::yield_now();
                }
                assert!(pieces.len() > 2 && pieces.iter().all(|piece| piece.len() < 2 * MAX_LINE));
                assert_eq!(pieces.concat(), line, "{text}, {offset}");
            }
        }
        // What is no text at all is not waited for.
        let table =
            [(&b"a\xff\xff"[..], 0), (b"\x80\x80\x80\x80", 0), (b"a\xe6\xbc", 2), (b"\xf0", 1), (b"", 0)];
        for (bytes, begun) in table {
            assert_eq!(begun_character(bytes), begun, "{bytes:?}");
        }
    }
}
