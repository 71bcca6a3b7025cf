//! Text that is bounded and escaped while it is written.

use std::fmt::{self, Write};
use std::str;

/// Passes on so many bytes, then `…`, then nothing.
pub(super) struct Bounded<'a, W> {
    out: &'a mut W,
    left: usize,
    is_cut: bool,
}

impl<'a, W: Write> Bounded<'a, W> {
    pub(super) const fn new(out: &'a mut W, left: usize) -> Self {
        Self { out, left, is_cut: false }
    }
}

impl<W: Write> Write for Bounded<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.is_cut {
            return Ok(());
        }
        let (kept, cut) = text.split_at_checked(text.floor_char_boundary(self.left)).unwrap_or((text, ""));
        self.left -= kept.len();
        self.out.write_str(kept)?;
        if cut.is_empty() {
            return Ok(());
        }
        self.is_cut = true;
        self.out.write_char('…')
    }
}

pub(super) const fn is_quoting(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\')
}

pub(super) fn escape(out: &mut impl Write, bytes: &[u8], mark: &str, shown: impl Fn(u8) -> bool) -> fmt::Result {
    // Nearly always there is nothing to be escaped.
    if bytes.iter().all(|&byte| shown(byte))
        && let Ok(text) = str::from_utf8(bytes)
    {
        return out.write_str(text);
    }
    for run in bytes.chunk_by(|&left, &right| shown(left) == shown(right)) {
        match str::from_utf8(run) {
            Ok(text) if run.iter().all(|&byte| shown(byte)) => out.write_str(text)?,
            Ok(_) | Err(_) => run.iter().try_for_each(|byte| write!(out, "{mark}{byte:02X}"))?,
        }
    }
    Ok(())
}
