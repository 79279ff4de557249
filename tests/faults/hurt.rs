//! What happens to a process for real.

use std::{os::fd::OwnedFd, time::Duration};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::task::JoinHandle;

use crate::{cell::Fault, support::Process};

/// A process runs this long out of ten.
const RUNS: Duration = Duration::from_millis(10);

/// Something that was done to a process; a slow one is let go when this is dropped.
pub(crate) struct Hurt(Option<JoinHandle<()>>);

impl Drop for Hurt {
    fn drop(&mut self) {
        if let Some(slowing) = self.0.take() {
            slowing.abort();
        }
    }
}

/// Does it now.
pub(crate) fn hurt(process: &mut Process, fault: Fault) -> Hurt {
    match fault {
        Fault::Kill => process.kill(),
        Fault::Stop => signal(&open(process), Signal::STOP),
        Fault::Slow => return Hurt(Some(tokio::spawn(slow(open(process))))),
        other => panic!("{other:?} takes a script"),
    }
    Hurt(None)
}

async fn slow(process: OwnedFd) {
    loop {
        signal(&process, Signal::STOP);
        tokio::time::sleep(RUNS * 9).await;
        signal(&process, Signal::CONT);
        tokio::time::sleep(RUNS).await;
    }
}

/// A descriptor is of this process for ever, where its number may be another's by and by.
fn open(process: &Process) -> OwnedFd {
    let pid = Pid::from_raw(i32::try_from(process.pid()).unwrap()).unwrap();
    pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

fn signal(process: &OwnedFd, signal: Signal) {
    // It may have ended by now.
    let _ = pidfd_send_signal(process, signal);
}
