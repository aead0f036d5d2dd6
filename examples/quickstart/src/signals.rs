//! The signals that end the quickstart.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C, SIGTERM, and the end of the terminal.
pub(crate) struct Signals([Signal; 3]);

impl Signals {
    /// Takes them over from the system.
    ///
    /// # Errors
    /// Fails if the system does not hand them over.
    pub(crate) fn listen() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    /// Waits for one of them.
    pub(crate) async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }

    /// Returns the outcome of that work.
    ///
    /// # Errors
    /// Fails if it fails, or if a signal comes before its end.
    pub(crate) async fn or<T>(&mut self, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        tokio::select! {
            outcome = work => outcome,
            () = self.next() => Err("interrupted".into()),
        }
    }
}
