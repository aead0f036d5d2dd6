//! The file: made for its owner only, added to, and opened again when it was renamed.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

const FOR_ITS_OWNER_ONLY: u32 = 0o600;

pub(super) struct AuditFile {
    path: PathBuf,
    file: File,
    /// The last line was not written to its end.
    torn: bool,
}

impl AuditFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        Ok(Self { path: path.to_owned(), torn: is_torn(&file)?, file })
    }

    /// A file without a name.
    #[cfg(test)]
    pub(super) fn of(file: File) -> Self {
        Self { path: PathBuf::new(), file, torn: false }
    }

    /// What it is called.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Goes on in the file that has the name now; it is made if there is none.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        *self = Self::open(&self.path)?;
        Ok(())
    }

    /// Adds the line at once, so that it does not mix with those of another process. After a part of a line it begins
    /// with a new one: only that part is unreadable.
    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        let text = format!("{}{line}\n", if self.torn { "\n" } else { "" });
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    let (written, more) = rest.split_at(count);
                    self.torn = !written.ends_with(b"\n");
                    rest = more;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether its last line was not written to its end: the disk was full, or the process was killed.
fn is_torn(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}

/// What is not a plain file is refused: who reads a pipe or a terminal could stop us. Not even its opening waits.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(FOR_ITS_OWNER_ONLY);
    let nonblocking = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
    let file = options.custom_flags(nonblocking).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("is not a plain file")),
    }
}
