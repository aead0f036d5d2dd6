//! How many calls may be open at a time, and how much they may have sent. What is beyond is refused at once.
//!
//! Stands before admission, which counts key operations only. A call is open from its headers until its answer was
//! handed to the transport, so a client that sends half a message, or does not take its answer, keeps its place. What
//! all connections share is bounded; a few calls of each connection come on top, so that nobody shuts the others out.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::{CallMark, ConnectionState};
use super::episode::Episode;
use crate::kms::{Code, KmsError};

/// Open calls that all connections share: more than admission lets run and wait.
const SHARED_CALLS: usize = 1280;
/// Bytes of messages that all open calls share.
const SHARED_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of each message that come on top: more than a KMS client sends.
const OWN_BYTES: usize = 2 * 1024;

/// What all connections share.
pub(super) struct OpenCalls {
    places: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    full: Episode,
}

/// One open call; ends when dropped.
pub(super) struct OpenCall {
    bytes: Arc<Semaphore>,
    received: usize,
    shared_bytes: Option<OwnedSemaphorePermit>,
    _place: OwnedSemaphorePermit,
    _mark: CallMark,
}

impl Default for OpenCalls {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(SHARED_CALLS)),
            bytes: Arc::new(Semaphore::new(SHARED_BYTES)),
            full: Episode::default(),
        }
    }
}

impl OpenCalls {
    /// Opens a call of that connection.
    ///
    /// # Errors
    /// `ResourceExhausted`: too many are open.
    pub(super) fn open(&self, connection: &ConnectionState) -> Result<OpenCall, KmsError> {
        let Some(place) = connection.own_place().or_else(|| self.places.clone().try_acquire_owned().ok())
        else {
            let message = format!("{SHARED_CALLS} calls are open: more are refused");
            if self.full.begins() {
                tracing::warn!("{message}");
            }
            return Err(KmsError::new(Code::ResourceExhausted, message));
        };
        if self.places.available_permits() > SHARED_CALLS / 2 {
            self.full.ends();
        }
        let bytes = self.bytes.clone();
        Ok(OpenCall { bytes, received: 0, shared_bytes: None, _place: place, _mark: connection.mark_call() })
    }
}

impl OpenCall {
    /// So many more bytes of its message came.
    ///
    /// # Errors
    /// `ResourceExhausted`: all open calls together hold too many.
    pub(super) fn receive(&mut self, count: usize) -> Result<(), KmsError> {
        let before = self.received.saturating_sub(OWN_BYTES);
        self.received += count;
        let more = self.received.saturating_sub(OWN_BYTES) - before;
        let permits = u32::try_from(more).unwrap_or(u32::MAX);
        let Ok(more) = self.bytes.clone().try_acquire_many_owned(permits) else {
            let message = format!("the calls that are open hold {SHARED_BYTES} bytes: more are refused");
            return Err(KmsError::new(Code::ResourceExhausted, message));
        };
        match &mut self.shared_bytes {
            None => self.shared_bytes = Some(more),
            Some(held) => held.merge(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_can_take_all_that_is_shared_and_others_still_have_their_own() {
        let (calls, greedy, modest) = <(OpenCalls, ConnectionState, ConnectionState)>::default();
        let held: Vec<_> = std::iter::from_fn(|| calls.open(&greedy).ok()).collect();
        assert_eq!(held.len(), SHARED_CALLS + 2);
        let own = [calls.open(&modest), calls.open(&modest)];
        assert!(own.iter().all(Result::is_ok));
        let refused = calls.open(&modest).err().unwrap();
        assert_eq!(refused.code, Code::ResourceExhausted);
        assert!(refused.message.contains("calls are open"), "{}", refused.message);
        drop(held);
        assert!(calls.open(&modest).is_ok());
    }

    #[test]
    fn small_messages_pass_when_large_ones_have_taken_all_bytes() {
        let (calls, connection) = <(OpenCalls, ConnectionState)>::default();
        let mut large = Vec::new();
        let full = loop {
            let mut call = calls.open(&connection).unwrap();
            if let Err(full) = call.receive(128 * 1024) {
                break full;
            }
            large.push(call);
        };
        assert_eq!((large.len(), full.code), (65, Code::ResourceExhausted));
        let mut small = calls.open(&connection).unwrap();
        assert_eq!([small.receive(1_024), small.receive(1_024)], [Ok(()), Ok(())]);
        drop(large);
        assert_eq!(small.receive(128 * 1024), Ok(()));
    }
}
