//! The files from which an access is loaded, read when they have changed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Access, AccessSource, Contents};

/// The files of an access, after they were read.
pub(super) struct FilesRead {
    /// Files that were replaced outside of their mount.
    pub(super) stale_mounts: Vec<PathBuf>,
    pub(super) outcome: LoadOutcome,
}

/// The outcome of reading the files.
pub(super) enum LoadOutcome {
    /// The contents are in use, or their reload has failed before.
    Unchanged,
    /// A valid access.
    Loaded(Arc<Access>),
    /// Contents that are no valid access, and every problem of them.
    Invalid(Contents, String),
}

/// Reads the files if their contents are neither in use nor failed, or if the reload is forced.
pub(super) fn load(
    source: &AccessSource,
    in_use: &Access,
    failed: Option<&Contents>,
    is_forced: bool,
) -> FilesRead {
    let contents = source.contents(in_use);
    let stale_mounts = source.files(in_use).into_iter().filter(|file| is_unlinked(file)).collect();
    let is_known = contents == in_use.contents || Some(&contents) == failed;
    if is_known && !is_forced {
        return FilesRead { stale_mounts, outcome: LoadOutcome::Unchanged };
    }
    let outcome = match source.load() {
        Ok(access) => LoadOutcome::Loaded(Arc::new(access)),
        Err(problems) => LoadOutcome::Invalid(contents, problems.0.join("; ")),
    };
    FilesRead { stale_mounts, outcome }
}

fn is_unlinked(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| metadata.nlink() == 0)
}
