//! The terminal that commands are typed at: its settings, which outlive a process that does not put them back, and widths.

use std::io::{self, IsTerminal};

use console::Term;
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// A terminal's settings as they were, put back when dropped.
pub(crate) struct Kept {
    settings: Option<Termios>,
}

impl Kept {
    /// The settings of the terminal on standard input; nothing where it is none.
    pub(crate) fn here() -> Self {
        Self { settings: io::stdin().is_terminal().then(|| tcgetattr(io::stdin()).ok()).flatten() }
    }

    /// The same; until it is dropped what is typed is not shown, `^C` included. It would tear what is drawn in place.
    pub(crate) fn hushed() -> Self {
        let kept = Self::here();
        if let Some(mut settings) = kept.settings.clone() {
            settings.local_modes.remove(LocalModes::ECHO);
            set(&settings);
        }
        kept
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(settings) = &self.settings {
            set(settings);
        }
    }
}

fn set(settings: &Termios) {
    // Setting somebody else's terminal would stop this process.
    if is_ours() {
        // A terminal that is gone needs no settings.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, settings);
    }
}

/// Whether the terminal that stderr is belongs to this process now, and not to a shell that it runs behind.
pub(crate) fn is_ours() -> bool {
    tcgetpgrp(io::stderr()).is_ok_and(|group| group == getpgrp())
}

/// Rows and columns of the terminal that stderr is; 24 and 80 where it is none.
pub(crate) fn size() -> (usize, usize) {
    Term::stderr().size_checked().map_or((24, 80), |(rows, columns)| (rows.into(), columns.into()))
}

/// Its columns.
pub(crate) fn columns() -> usize {
    size().1
}

/// The text cut to so many columns, with a mark where it was.
pub(crate) fn head(text: &str, columns: usize) -> String {
    console::truncate_str(text, columns, "…").into_owned()
}

/// The last of a text, in one line of so many columns.
pub(crate) fn tail(text: &str, columns: usize) -> String {
    let mut room = columns;
    let mut kept: Vec<char> = Vec::new();
    for c in text.chars().rev().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !c.is_control()) {
        if c == ' ' && kept.last().is_none_or(|after| *after == ' ') {
            continue;
        }
        let width = console::measure_text_width(c.encode_utf8(&mut [0; 4]));
        let Some(left) = room.checked_sub(width) else { break };
        room = left;
        kept.push(c);
    }
    kept.iter().rev().collect::<String>().trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{head, tail};

    #[test]
    fn a_tail_is_one_line_of_the_last_that_fits() {
        for (text, columns, expected) in [
            ("one two\n\n three ", 80, "one two three"),
            ("one two three", 5, "three"),
            ("one two three", 6, "three"),
            ("a\u{1b}[2Jb", 80, "a[2Jb"),
            ("漢字仮名", 5, "仮名"),
            ("anything", 0, ""),
        ] {
            assert_eq!(tail(text, columns), expected, "{text:?} in {columns}");
        }
    }

    #[test]
    fn a_head_counts_columns_and_not_colours() {
        assert_eq!(head("\u{1b}[31mred\u{1b}[0m", 3), "\u{1b}[31mred\u{1b}[0m");
        assert_eq!(head("one two", 4), "one…");
    }
}
