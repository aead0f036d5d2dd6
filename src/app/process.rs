//! Signals, panics, and the limits of the process.

use std::io;
use std::panic::PanicHookInfo;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::audit::AuditLog;
use crate::telemetry::LIFECYCLE;

/// SIGTERM and SIGINT, which end the process, and SIGHUP, which reloads.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Held so that a write beyond RLIMIT_FSIZE returns an error, and does not end the process.
    _file_size: Signal,
}

impl Signals {
    /// Installs the handlers of all of them.
    ///
    /// # Errors
    /// The system refuses one of the handlers.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            _file_size: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    /// Waits for a signal that ends the process, and calls `reload` for each SIGHUP until then.
    pub(super) async fn wait_for_end(&mut self, reload: impl Fn()) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload(),
            }
        }
    }

    /// Waits for a second signal that ends the process, and then exits with code 1 without waiting for the drain.
    pub(super) async fn exit_on_the_next(mut self, audit: AuditLog) {
        self.wait_for_end(|| audit.reopen()).await;
        tracing::warn!(target: LIFECYCLE, "Second signal: exiting at once");
        audit.finish();
        std::process::exit(1);
    }
}

/// Logs the place of each panic, and its text if that is a literal: a formatted one could hold a secret.
pub(super) fn log_panics() {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(text withheld)");
        tracing::error!(target: LIFECYCLE, place, err = text, "Panic");
    }));
}

/// Disables core dumps, which would hold plaintexts, tokens and the client secret. A handler that the kernel pipes them to
/// gets them whatever the limit is (`core(5)`), unless the process is not dumpable; then other processes of its user
/// cannot trace it either (`PR_SET_DUMPABLE`, `prctl(2)`).
///
/// # Errors
/// The system refuses one of both; the other is done.
pub(super) fn forbid_core_dumps() -> io::Result<()> {
    let undumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(undumpable?)
}

/// Raises the limit on open files as far as the system allows: each client's connection takes one.
pub(super) fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(err = %error, "The limit on open files could not be raised");
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::dumpable_behavior;

    use super::*;

    #[test]
    fn neither_a_file_nor_a_handler_gets_a_core_dump() {
        forbid_core_dumps().unwrap();
        assert!(matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable)));
        assert_eq!(getrlimit(Resource::Core), Rlimit { current: Some(0), maximum: Some(0) });
    }
}
