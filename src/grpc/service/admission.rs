//! Bounded admission of key operations: a limited number runs, a limited number is queued by priority, the rest is
//! refused at once.
//!
//! It precedes the mailbox of the `KeyVaultActor`, which applies no backpressure.

use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use crate::kms::{Code, KmsError};
use crate::telemetry::{GaugeGuard, Metrics};
use crate::vault::{Priority, PriorityQueue, QueuePermit};

/// The number of operations that may be queued while `--max-in-flight` run.
pub(in crate::grpc) const MAX_QUEUED: u32 = 1000;

/// The admission of key operations by priority, and in order of arrival within a priority.
pub(crate) struct Admission {
    queue: Arc<PriorityQueue>,
    max_in_flight: NonZeroU32,
    metrics: Arc<Metrics>,
}

/// The permit to run one key operation, which is released when it is dropped.
pub(crate) struct Admitted {
    _gauge: GaugeGuard, // dropped before the permit goes to the next one: never more than --max-in-flight are counted
    _permit: QueuePermit,
}

impl Admission {
    /// Makes an admission that lets `max_in_flight` operations run at a time.
    pub(crate) fn new(max_in_flight: NonZeroU32, metrics: Arc<Metrics>) -> Self {
        let queue = PriorityQueue::new(max_in_flight.get() as usize);
        Self { queue, max_in_flight, metrics }
    }

    /// Returns the number of operations that may run at a time.
    pub(in crate::grpc) fn max_in_flight(&self) -> NonZeroU32 {
        self.max_in_flight
    }

    /// Waits until the operation may run.
    ///
    /// # Errors
    /// `ResourceExhausted` at once when the queue is full; `DeadlineExceeded` when the deadline passes in the queue.
    pub(crate) async fn admit(&self, priority: Priority, deadline: Instant) -> Result<Admitted, KmsError> {
        let (queued, queued_before) = self.metrics.queued();
        if queued_before >= MAX_QUEUED {
            let message =
                format!("{} operations run and {MAX_QUEUED} wait: the queue is full", self.max_in_flight);
            return Err(KmsError::new(Code::ResourceExhausted, message).of_kind("queue-full"));
        }
        let permit = timeout_at(deadline, self.queue.acquire(priority)).await;
        drop(queued);
        let Ok(permit) = permit else {
            let ahead =
                format!("{} operations that wait for Key Vault (--max-in-flight)", self.max_in_flight);
            return Err(KmsError::deadline(&ahead));
        };
        Ok(Admitted { _gauge: self.metrics.in_flight(), _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn admission(max_in_flight: u32) -> Arc<Admission> {
        let max = NonZeroU32::new(max_in_flight).unwrap();
        Arc::new(Admission::new(max, Arc::new(Metrics::new())))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(3)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_admitted_when_another_ends() {
        let admission = admission(1);
        let first = admission.admit(Priority::Encrypt, soon()).await.unwrap();
        let waiting = tokio::spawn({
            let admission = admission.clone();
            async move { admission.admit(Priority::Encrypt, soon()).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_at_the_deadline() {
        let admission = admission(1);
        let _first = admission.admit(Priority::Encrypt, soon()).await.unwrap();
        let error = admission.admit(Priority::Encrypt, soon()).await.err().unwrap();
        assert_eq!(error.code, Code::DeadlineExceeded);
    }

    #[tokio::test(start_paused = true)]
    async fn past_the_queue_the_answer_comes_at_once() {
        let admission = admission(1);
        let _first = admission.admit(Priority::Encrypt, soon()).await.unwrap();
        for _ in 0..MAX_QUEUED {
            let admission = admission.clone();
            tokio::spawn(async move { admission.admit(Priority::Encrypt, soon()).await.map(drop) });
        }
        while admission.metrics.queued().1 < MAX_QUEUED {
            tokio::task::yield_now().await;
        }
        let start = Instant::now();
        let error = admission.admit(Priority::Encrypt, soon()).await.err().unwrap();
        assert_eq!((error.code, start.elapsed()), (Code::ResourceExhausted, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn the_gauges_return_to_zero_however_an_operation_ends() {
        let metrics = Arc::new(Metrics::new());
        let admission = Admission::new(NonZeroU32::MIN, metrics.clone());
        let first = admission.admit(Priority::Encrypt, soon()).await.unwrap();
        let mut waiting = Box::pin(admission.admit(Priority::Encrypt, soon()));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        let text = metrics.render();
        assert!(text.contains("requests_queued 1") && text.contains("requests_in_flight 1"), "{text}");
        drop((waiting, first));
        let text = metrics.render();
        assert!(text.contains("requests_queued 0") && text.contains("requests_in_flight 0"), "{text}");
    }
}
