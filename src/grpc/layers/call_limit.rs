//! The bound on calls in flight, and on the bytes of their messages. What is beyond is refused at once.
//!
//! The one semaphore for calls. It stands before admission, which says which key operations run and which wait, and lets
//! through what admission lets run and wait, and some more. A call is in flight from its headers until its answer was
//! handed to the transport, so a client that sends half a message, or does not take its answer, keeps its permit. What
//! all connections share is bounded; a few calls of each connection come on top, so that nobody shuts the others out.

use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::grpc::service::QUEUE;
use crate::grpc::transport::{CallMark, ConnectionState};
use crate::kms::{Code, KmsError};
use crate::telemetry::LogDedup;

/// Calls beside the key operations that run and wait: Status, Version, and those whose message is still on its way.
const OTHER_CALLS: u32 = 216;
/// Bytes of messages that all calls in flight share.
const SHARED_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of each message that come on top: more than a KMS client sends.
const OWN_BYTES: usize = 2 * 1024;

/// Returns how many calls may be in flight at a time where `max_in_flight` key operations run: 1,280 by default.
pub(in crate::grpc) fn calls_in_flight(max_in_flight: NonZeroU32) -> u32 {
    max_in_flight.get().saturating_add(QUEUE + OTHER_CALLS)
}

/// What all connections share.
pub(in crate::grpc) struct CallLimit {
    calls: u32,
    permits: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    full: LogDedup<()>,
}

/// The permit of one call in flight, which ends when it is dropped.
pub(in crate::grpc) struct CallPermit {
    bytes: Arc<Semaphore>,
    received: usize,
    shared_bytes: Option<OwnedSemaphorePermit>,
    _permit: OwnedSemaphorePermit,
    _mark: CallMark,
}

impl CallLimit {
    /// Makes the limit for so many calls in flight.
    pub(in crate::grpc) fn new(calls: u32) -> Self {
        Self {
            calls,
            permits: Arc::new(Semaphore::new(calls as usize)),
            bytes: Arc::new(Semaphore::new(SHARED_BYTES)),
            full: LogDedup::once(),
        }
    }

    /// Begins a call of that connection.
    ///
    /// # Errors
    /// `ResourceExhausted`: too many are in flight.
    pub(in crate::grpc) fn begin(&self, connection: &ConnectionState) -> Result<CallPermit, KmsError> {
        let shared = || self.permits.clone().try_acquire_owned().ok();
        let Some(permit) = connection.own_permit().or_else(shared) else {
            let message = format!("{} calls are open: more are refused", self.calls);
            if self.full.should_log(()) {
                tracing::warn!("{message}");
            }
            return Err(KmsError::new(Code::ResourceExhausted, message));
        };
        if self.permits.available_permits() > self.calls as usize / 2 {
            self.full.recover();
        }
        let bytes = self.bytes.clone();
        let mark = connection.mark_call();
        Ok(CallPermit { bytes, received: 0, shared_bytes: None, _permit: permit, _mark: mark })
    }
}

impl CallPermit {
    /// So many more bytes of its message came.
    ///
    /// # Errors
    /// `ResourceExhausted`: all open calls together hold too many.
    pub(in crate::grpc) fn receive(&mut self, count: usize) -> Result<(), KmsError> {
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
    use crate::grpc::transport::OWN_CALLS;

    #[test]
    fn all_that_admission_lets_run_and_wait_finds_a_permit_at_any_max_in_flight() {
        for max_in_flight in [1, 64, 1000, 100_000, u32::MAX - QUEUE] {
            let calls = calls_in_flight(NonZeroU32::new(max_in_flight).unwrap());
            assert!(calls >= max_in_flight + QUEUE, "{max_in_flight}");
            drop(CallLimit::new(calls));
        }
        assert_eq!(calls_in_flight(NonZeroU32::new(64).unwrap()), 1280);
    }

    #[test]
    fn one_connection_can_take_all_that_is_shared_and_others_still_have_their_own() {
        let (limit, greedy, modest) =
            (CallLimit::new(1280), ConnectionState::default(), ConnectionState::default());
        let held: Vec<_> = std::iter::from_fn(|| limit.begin(&greedy).ok()).collect();
        assert_eq!(held.len(), 1280 + OWN_CALLS);
        let own = [limit.begin(&modest), limit.begin(&modest)];
        assert!(own.iter().all(Result::is_ok));
        let refused = limit.begin(&modest).err().unwrap();
        assert_eq!(refused.code, Code::ResourceExhausted);
        assert!(refused.message.contains("calls are open"), "{}", refused.message);
        drop(held);
        assert!(limit.begin(&modest).is_ok());
    }

    #[test]
    fn small_messages_pass_when_large_ones_have_taken_all_bytes() {
        let (limit, connection) = (CallLimit::new(1280), ConnectionState::default());
        let mut large = Vec::new();
        let full = loop {
            let mut call = limit.begin(&connection).unwrap();
            if let Err(full) = call.receive(128 * 1024) {
                break full;
            }
            large.push(call);
        };
        assert_eq!((large.len(), full.code), (65, Code::ResourceExhausted));
        let mut small = limit.begin(&connection).unwrap();
        assert_eq!([small.receive(1_024), small.receive(1_024)], [Ok(()), Ok(())]);
        drop(large);
        assert_eq!(small.receive(128 * 1024), Ok(()));
    }
}
