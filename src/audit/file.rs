//! The file: created for its owner only, appended to, and opened again after it was renamed.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::geteuid;

const OWNER_READ_WRITE: u32 = 0o600;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const SYMBOLIC_LINK: &str = "is a symbolic link: name the file itself";

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

/// Opens or creates a plain file, without blocking and without following a symbolic link: whoever can create files in the
/// folder could name any file with one.
///
/// # Errors
/// The path is a symbolic link, or something else that [`check`] refuses, or a system call fails.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(OWNER_READ_WRITE);
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let opened = options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default()).open(path);
    let file = opened.map_err(|error| {
        let is_link = error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
        if is_link { io::Error::other(SYMBOLIC_LINK) } else { error }
    })?;
    check(&file.metadata()?, geteuid().as_raw()).map_err(io::Error::other)?;
    Ok(file)
}

/// Checks what is at the path now, without opening it. Nothing is fine too.
///
/// # Errors
/// The daemon would refuse it; says why.
pub(crate) fn check_path(path: &Path) -> Result<(), String> {
    match std::fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(metadata) if metadata.is_symlink() => Err(SYMBOLIC_LINK.into()),
        Ok(metadata) => check(&metadata, geteuid().as_raw()),
    }
}

/// Checks that only the user of this process can write to the file.
///
/// # Errors
/// It is not a plain file, as the reader of a pipe or a terminal could block the writer; it belongs to another user; or
/// others may write to it.
fn check(metadata: &Metadata, user: u32) -> Result<(), String> {
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if !metadata.is_file() {
        return Err("is not a plain file".into());
    }
    if owner != user {
        return Err(format!("belongs to user {owner}, and not to user {user}, who writes it: chown {user}"));
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(format!("can be written by others (mode {mode:04o}): chmod go-w"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn problem(path: &Path) -> String {
        AuditFile::open(path).err().unwrap().to_string()
    }

    #[test]
    fn a_symbolic_link_is_refused_and_what_it_names_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("audit.log"), folder.path().join("precious"));
        std::fs::write(&target, "precious").unwrap();
        symlink(&target, &link).unwrap();
        assert!(problem(&link).contains("symbolic link"));
        assert_eq!(check_path(&link), Err(SYMBOLIC_LINK.into()));
        symlink(folder.path().join("absent"), folder.path().join("dangling")).unwrap();
        assert!(problem(&folder.path().join("dangling")).contains("symbolic link"));
        assert!(!folder.path().join("absent").exists());
        assert_eq!(std::fs::read_to_string(target).unwrap(), "precious");
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_and_one_that_they_may_read_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        std::fs::write(&path, "").unwrap();
        for (mode, is_refused) in
            [(0o666, true), (0o620, true), (0o602, true), (0o644, false), (0o600, false)]
        {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(AuditFile::open(&path).is_err(), is_refused, "{mode:o}");
        }
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let file = tempfile::tempfile().unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!(check(&metadata, metadata.uid()), Ok(()));
        assert!(check(&metadata, metadata.uid() + 1).unwrap_err().contains("belongs to user"));
    }

    #[test]
    fn when_the_new_file_is_refused_the_old_one_stays_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let (path, renamed) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
        let mut file = AuditFile::open(&path).unwrap();
        std::fs::rename(&path, &renamed).unwrap();
        symlink("/dev/null", &path).unwrap();
        assert!(file.reopen().is_err());
        file.write("a line").unwrap();
        assert_eq!(std::fs::read_to_string(renamed).unwrap(), "a line\n");
    }
}
