//! Questions on the terminal.
#![expect(clippy::print_stdout, reason = "this is one of the places that write to the terminal")]

use std::{
    io::{self, BufRead, IsTerminal, Write},
    os::fd::AsFd,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{getpgrp, tcgetpgrp},
};
use tokio::sync::mpsc;

use super::text::Text;

/// Whether standard output is read by a program, which would take a question for something else.
static IS_FOR_A_PROGRAM: AtomicBool = AtomicBool::new(false);

/// Whether somebody is there to answer.
#[must_use]
pub fn is_interactive() -> bool {
    !IS_FOR_A_PROGRAM.load(Ordering::Relaxed) && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Asks nobody from now on, as where there is no terminal.
pub(super) fn ask_nobody() {
    IS_FOR_A_PROGRAM.store(true, Ordering::Relaxed);
}

/// Explains the question that follows.
pub fn say(text: &str) {
    println!("{}", Text::new(false).block(text).as_str());
}

/// Asks for a line. Blocks its thread until there is one; the end of the input is an error.
///
/// # Errors
/// When the terminal is gone.
pub fn ask(question: &str) -> io::Result<String> {
    print!("{} ", Text::new(false).line(question).as_str());
    io::stdout().flush()?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim().to_owned())
}

/// Reports each line that comes in, until the input ends. The receiver ends then.
///
/// A program in the background of a terminal must not read from it: the system would stop the whole program. So this waits until it is
/// in the foreground.
#[must_use]
pub fn lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let read = move || {
        let stdin = io::stdin();
        loop {
            match poll(&mut [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(_) => return,
            }
            if stdin.is_terminal() && tcgetpgrp(&stdin).is_ok_and(|group| group != getpgrp()) {
                std::thread::sleep(BACKGROUND);
                continue;
            }
            let mut line = String::new();
            match stdin.lock().read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if sender.send(line).is_err() => return,
                Ok(_) => {}
            }
        }
    };
    // Without the thread nobody can press anything, which the end of the channel says.
    let _ = std::thread::Builder::new().name("keyboard".to_owned()).spawn(read);
    receiver
}

/// How long until a program in the background looks again whether it has come to the foreground.
const BACKGROUND: Duration = Duration::from_millis(250);
