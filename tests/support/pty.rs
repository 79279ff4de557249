//! A pseudo-terminal, and somebody who sits at it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long something may take to be seen, on a slow machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process at a terminal of its own; killed when dropped.
pub(crate) struct AtTerminal {
    child: Child,
    keys: File,
    output: Receiver<String>,
    /// All that was written to the terminal.
    seen: String,
    /// So many bytes of it were looked at.
    read: usize,
}

impl AtTerminal {
    /// Starts the command at a terminal of 24 rows and so many columns.
    pub(crate) fn start(mut command: Command, columns: u16) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        tcsetwinsize(&ours, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        // It is to be the terminal of nobody but the command.
        let mut options = File::options();
        options.read(true).write(true).custom_flags(OpenptFlags::NOCTTY.bits() as i32);
        let theirs = || OwnedFd::from(options.open(&name).unwrap());
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        let child = command.stdin(theirs()).stdout(theirs()).stderr(theirs()).spawn().unwrap();
        let (keys, mut screen) = (File::from(ours.try_clone().unwrap()), File::from(ours));
        let (send, output) = sync_channel(1024);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The terminal is gone once nobody holds its other end.
            while let Ok(count) = screen.read(&mut bytes) {
                if count == 0 || send.send(String::from_utf8_lossy(&bytes[..count]).into_owned()).is_err() {
                    break;
                }
            }
        });
        Self { child, keys, output, seen: String::new(), read: 0 }
    }

    /// Types.
    pub(crate) fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Presses Ctrl-C where the terminal would turn it into a signal.
    pub(crate) fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Waits until this is written, after what was waited for before; all that was written up to there.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen[self.read..].find(text) {
                let (from, to) = (self.read, self.read + at + text.len());
                self.read = to;
                return self.seen[from..to].to_owned();
            }
            match self.output.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(more) => self.seen.push_str(&more),
                Err(error) => panic!("no {text:?} ({error}) in\n{:?}", &self.seen[self.read..]),
            }
        }
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}
