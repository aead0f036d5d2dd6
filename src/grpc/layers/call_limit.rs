//! The limit on calls in flight, and on the bytes of their messages. Calls above it are refused at once.
//!
//! The only semaphore for calls. It precedes admission, which decides which key operations run and which are queued,
//! and allows all of those and some more. A call is in flight from its headers until the transport has taken its
//! response, so a client that sends half a message, or does not read its response, keeps its permit. The shared permits
//! are limited; a few calls of each connection are reserved for it, so that no client starves the others.

use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::grpc::service::MAX_QUEUED;
use crate::grpc::transport::{CallGuard, ConnectionState};
use crate::kms::{Code, KmsError};
use crate::telemetry::LogDedup;

/// Calls beside the key operations that run or are queued: Status, Version, and those whose message is incomplete.
const OTHER_CALLS: u32 = 216;
/// Bytes of messages in total, over all calls in flight.
const SHARED_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of each message that are reserved, beside the shared ones: more than a KMS client sends.
const RESERVED_BYTES: usize = 2 * 1024;

/// Returns the limit on calls in flight where `max_in_flight` key operations may run: 1,280 by default.
pub(in crate::grpc) fn max_calls(max_in_flight: NonZeroU32) -> u32 {
    max_in_flight.get().saturating_add(MAX_QUEUED + OTHER_CALLS)
}

/// The permits for calls and bytes that all connections share.
pub(in crate::grpc) struct CallLimit {
    max_calls: u32,
    permits: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    log_dedup: LogDedup<()>,
}

/// The permit of one call in flight, which is released when it is dropped.
pub(in crate::grpc) struct CallPermit {
    bytes: Arc<Semaphore>,
    received: usize,
    shared_bytes: Option<OwnedSemaphorePermit>,
    _permit: OwnedSemaphorePermit,
    _guard: CallGuard,
}

impl CallLimit {
    /// Makes a limit of `max_calls` calls in flight.
    pub(in crate::grpc) fn new(max_calls: u32) -> Self {
        Self {
            max_calls,
            permits: Arc::new(Semaphore::new(max_calls as usize)),
            bytes: Arc::new(Semaphore::new(SHARED_BYTES)),
            log_dedup: LogDedup::once(),
        }
    }

    /// Acquires the permit of a call: one of those reserved for its connection, or else a shared one.
    ///
    /// # Errors
    /// `ResourceExhausted` when too many calls are in flight.
    pub(in crate::grpc) fn acquire(&self, connection: &ConnectionState) -> Result<CallPermit, KmsError> {
        let shared = || self.permits.clone().try_acquire_owned().ok();
        let Some(permit) = connection.reserved_permit().or_else(shared) else {
            let message = format!("{} calls are open: more are refused", self.max_calls);
            if self.log_dedup.should_log(()) {
                tracing::warn!("{message}");
            }
            return Err(KmsError::new(Code::ResourceExhausted, message));
        };
        if self.permits.available_permits() > self.max_calls as usize / 2 {
            self.log_dedup.recover();
        }
        let bytes = self.bytes.clone();
        let guard = connection.track_call();
        Ok(CallPermit { bytes, received: 0, shared_bytes: None, _permit: permit, _guard: guard })
    }
}

impl CallPermit {
    /// Acquires `count` more bytes for its message.
    ///
    /// # Errors
    /// `ResourceExhausted` when the messages of all calls in flight use too many bytes.
    pub(in crate::grpc) fn acquire_bytes(&mut self, count: usize) -> Result<(), KmsError> {
        let before = self.received.saturating_sub(RESERVED_BYTES);
        self.received += count;
        let more = self.received.saturating_sub(RESERVED_BYTES) - before;
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
    use crate::grpc::transport::RESERVED_CALLS;

    #[test]
    fn all_that_admission_lets_run_and_wait_finds_a_permit_at_any_max_in_flight() {
        for max_in_flight in [1, 64, 1000, 100_000, u32::MAX - MAX_QUEUED] {
            let calls = max_calls(NonZeroU32::new(max_in_flight).unwrap());
            assert!(calls >= max_in_flight + MAX_QUEUED, "{max_in_flight}");
            drop(CallLimit::new(calls));
        }
        assert_eq!(max_calls(NonZeroU32::new(64).unwrap()), 1280);
    }

    #[test]
    fn one_connection_can_take_all_that_is_shared_and_others_still_have_their_own() {
        let (limit, greedy, modest) =
            (CallLimit::new(1280), ConnectionState::default(), ConnectionState::default());
        let held: Vec<_> = std::iter::from_fn(|| limit.acquire(&greedy).ok()).collect();
        assert_eq!(held.len(), 1280 + RESERVED_CALLS);
        let own = [limit.acquire(&modest), limit.acquire(&modest)];
        assert!(own.iter().all(Result::is_ok));
        let refused = limit.acquire(&modest).err().unwrap();
        assert_eq!(refused.code, Code::ResourceExhausted);
        assert!(refused.message.contains("calls are open"), "{}", refused.message);
        drop(held);
        assert!(limit.acquire(&modest).is_ok());
    }

    #[test]
    fn small_messages_pass_when_large_ones_have_taken_all_bytes() {
        let (limit, connection) = (CallLimit::new(1280), ConnectionState::default());
        let mut large = Vec::new();
        let full = loop {
            let mut call = limit.acquire(&connection).unwrap();
            if let Err(full) = call.acquire_bytes(128 * 1024) {
                break full;
            }
            large.push(call);
        };
        assert_eq!((large.len(), full.code), (65, Code::ResourceExhausted));
        let mut small = limit.acquire(&connection).unwrap();
        assert_eq!([small.acquire_bytes(1_024), small.acquire_bytes(1_024)], [Ok(()), Ok(())]);
        drop(large);
        assert_eq!(small.acquire_bytes(128 * 1024), Ok(()));
    }
}
