//! Bounded admission of key operations: so many run, so many more wait, the most urgent first, the rest is refused at
//! once.
//!
//! Stands before the mailbox of the `KeyVaultActor`, which has no back-pressure of its own.

use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use crate::kms::{Code, KmsError};
use crate::telemetry::{GaugeGuard, Metrics};
use crate::vault::{Priority, PriorityQueue, QueuePermit};

/// How many operations may wait while `--max-in-flight` run.
pub(in crate::grpc) const QUEUE: u32 = 1000;

/// Admits key operations by their priority, and in the order they came within one.
pub(crate) struct Admission {
    running: Arc<PriorityQueue>,
    max_in_flight: NonZeroU32,
    metrics: Arc<Metrics>,
}

/// The right to run one key operation; ends when dropped.
pub(crate) struct Admitted {
    _counted: GaugeGuard, // before the permit goes to the next one: never more than --max-in-flight are counted
    _permit: QueuePermit,
}

impl Admission {
    /// Lets `max_in_flight` operations run at a time.
    pub(crate) fn new(max_in_flight: NonZeroU32, metrics: Arc<Metrics>) -> Self {
        let running = max_in_flight.get() as usize;
        Self { running: PriorityQueue::new(running), max_in_flight, metrics }
    }

    /// Returns how many operations may run at a time.
    pub(in crate::grpc) fn max_in_flight(&self) -> NonZeroU32 {
        self.max_in_flight
    }

    /// Waits for this operation's turn.
    ///
    /// # Errors
    /// `ResourceExhausted` at once when the queue is full; `DeadlineExceeded` when the turn does not come in time.
    pub(crate) async fn admit(&self, priority: Priority, deadline: Instant) -> Result<Admitted, KmsError> {
        let (queued, waiting) = self.metrics.queued();
        if waiting >= QUEUE {
            let message =
                format!("{} operations run and {QUEUE} wait: the queue is full", self.max_in_flight);
            return Err(KmsError::new(Code::ResourceExhausted, message).of_kind("queue-full"));
        }
        let permit = timeout_at(deadline, self.running.enter(priority)).await;
        drop(queued);
        let Ok(permit) = permit else {
            let ahead =
                format!("{} operations that wait for Key Vault (--max-in-flight)", self.max_in_flight);
            return Err(KmsError::deadline(&ahead));
        };
        Ok(Admitted { _counted: self.metrics.in_flight(), _permit: permit })
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
        for _ in 0..QUEUE {
            let admission = admission.clone();
            tokio::spawn(async move { admission.admit(Priority::Encrypt, soon()).await.map(drop) });
        }
        while admission.metrics.queued().1 < QUEUE {
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
