//! Signals, panics, and the limits of the process.

use std::io;
use std::panic::PanicHookInfo;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::audit::AuditLog;
use crate::telemetry::LIFECYCLE;

/// SIGTERM and SIGINT, which end the process, and SIGHUP, which reloads.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Held so that a file at its limit (RLIMIT_FSIZE) is an error to who writes to it, and not the end of the process.
    _file_size: Signal,
}

impl Signals {
    /// Takes them over from the system.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            _file_size: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    /// Waits for one that ends the process, and calls `reload` for each of the others until then.
    pub(super) async fn end(&mut self, reload: impl Fn()) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload(),
            }
        }
    }

    /// Whoever sends a second signal does not want to wait for the drain.
    pub(super) async fn exit_at_the_next(mut self, audit: AuditLog) {
        self.end(|| audit.reopen()).await;
        tracing::warn!(target: LIFECYCLE, "Second signal: exiting at once");
        audit.finish();
        std::process::exit(1);
    }
}

/// Logs where a panic happened. Its text only when it is fixed in the source: others might hold anything.
pub(super) fn log_panics() {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(text withheld)");
        tracing::error!(target: LIFECYCLE, place, err = text, "Panic");
    }));
}

/// A core dump would hold plaintexts, tokens and the client secret.
pub(super) fn forbid_core_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(err = %error, "Core dumps could not be switched off");
    }
}

/// As many file descriptors as the system allows: each client's connection takes one.
pub(super) fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(err = %error, "The limit on open files could not be raised");
    }
}
