//! What is drawn in place at the end of stderr, such as bars, and how lines that are printed meanwhile get above it.

use std::io::{self, Write};
use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

/// Redraws a second; more only makes a terminal busy.
const HERTZ: u8 = 10;

/// All of it: whatever prints has to take it away and put it back, or tears it.
static DRAWN: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(HERTZ)));

/// Draws a bar below those that are there. Nothing is seen of it where stderr is no terminal.
pub(crate) fn add(bar: ProgressBar) -> ProgressBar {
    DRAWN.add(bar)
}

/// The same, above one that is there.
pub(crate) fn add_above(below: &ProgressBar, bar: ProgressBar) -> ProgressBar {
    DRAWN.insert_before(below, bar)
}

/// Takes a bar away.
pub(crate) fn remove(bar: &ProgressBar) {
    bar.finish_and_clear();
    DRAWN.remove(bar);
}

/// Prints above what is drawn. `print` must not draw itself, nor come back here.
pub(crate) fn above<T>(print: impl FnOnce() -> T) -> T {
    DRAWN.suspend(print)
}

/// stderr, above what is drawn.
#[derive(Debug)]
pub(crate) struct Above;

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        above(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
