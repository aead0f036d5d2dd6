//! The file: created for its owner only, appended to, and opened again after it was renamed.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

const OWNER_READ_WRITE: u32 = 0o600;

/// The file, open for appending.
pub(super) struct AuditFile {
    path: PathBuf,
    file: File,
    /// The last line is incomplete.
    is_torn: bool,
}

impl AuditFile {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    /// The path is not a plain file, or a system call fails.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        Ok(Self { path: path.to_owned(), is_torn: has_torn_line(&file)?, file })
    }

    /// Wraps a file that has no path.
    #[cfg(test)]
    pub(super) fn of(file: File) -> Self {
        Self { path: PathBuf::new(), file, is_torn: false }
    }

    /// Returns the path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Continues in the file that is at the path now, or creates one.
    ///
    /// # Errors
    /// The new file cannot be opened; the old one stays in use.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        *self = Self::open(&self.path)?;
        Ok(())
    }

    /// Appends the line as a whole, so that it does not interleave with those of another process. After an incomplete
    /// line it starts a new one, so that only that one is unreadable.
    ///
    /// # Errors
    /// The write fails, perhaps after a part of the line.
    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        let text = format!("{}{line}\n", if self.is_torn { "\n" } else { "" });
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    let (written, more) = rest.split_at(count);
                    self.is_torn = !written.ends_with(b"\n");
                    rest = more;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Returns whether the last line of the file is incomplete: the disk was full, or the process was killed.
///
/// # Errors
/// The file cannot be read.
fn has_torn_line(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

/// Opens or creates a plain file, without blocking. The reader of a pipe or a terminal could block the writer.
///
/// # Errors
/// The path is not a plain file, or a system call fails.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(OWNER_READ_WRITE);
    let nonblocking = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
    let file = options.custom_flags(nonblocking).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("is not a plain file")) }
}
