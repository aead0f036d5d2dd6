//! Reads the files that a configuration names.

use std::path::Path;

use zeroize::Zeroizing;

/// The largest file that is read, in bytes; real ones have a few kilobytes.
const LARGEST: u64 = 1024 * 1024;

/// Reads the content, which is wiped when dropped: it may hold secrets.
///
/// # Errors
/// It is not there, not readable, not a file, empty, or larger than 1 MiB: a sentence without the file's name.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("is not a file".into());
    }
    match metadata.len() {
        0 => Err("is empty".into()),
        length if length > LARGEST => Err(format!("has {length} bytes; the limit is {LARGEST}")),
        _ => std::fs::read(path).map(Zeroizing::new).map_err(|error| error.to_string()),
    }
}
