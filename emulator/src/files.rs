//! Reading and writing the files of the emulator's folder.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::Error;

/// Reads the file; `None` only when there is no such file.
///
/// # Errors
/// The file exists and cannot be read; names the file.
pub(crate) fn read_if_exists(file: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(file, error)),
    }
}

/// Replaces the file atomically, readable by its owner only (mode 0600): readers see the old content or the new.
///
/// # Errors
/// The file or its temporary neighbour (`*.new`) cannot be written; names the file.
pub(crate) fn write_private(file: &Path, content: &[u8]) -> Result<(), Error> {
    let new = file.with_extension("new");
    let written = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new);
    let written = written.and_then(|mut out| out.write_all(content)).and_then(|()| fs::rename(&new, file));
    written.map_err(|error| file_error(file, error))
}

/// Prefixes the error with the path of the file.
pub(crate) fn file_error(file: &Path, error: impl std::fmt::Display) -> Error {
    Error(format!("{}: {error}", file.display()))
}
