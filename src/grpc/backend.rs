//! What both services share: admission, the ask, and the bookkeeping of one request.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status};
use tracing::Instrument;

use super::Admission;
use super::caller::Caller;
use super::refused::Handled;
use crate::actors::{Api, Evidence, HealthReport};
use crate::config::StatusPolicy;
use crate::kms::{Algorithm, Form, KeyRing, KeyVersion, KmsError, Plaintext, Sealed};
use crate::telemetry::{Method, Metrics, Repeats, tell, traces};
use crate::vault::{KeyOperations, Open, Priority, Seal};

/// The longest part of a client's uid that is logged.
const LONGEST_UID: usize = 64;

/// Behind both services.
pub(crate) struct Backend {
    /// The keys in use.
    pub ring: Arc<KeyRing>,
    /// Who makes the calls.
    pub key_vault: Arc<dyn KeyOperations>,
    /// Who lets them through.
    pub admission: Admission,
    /// What the probes found.
    pub report: watch::Receiver<HealthReport>,
    /// What Status answers in an outage.
    pub status_policy: StatusPolicy,
    /// What requests show of Key Vault.
    pub evidence: Arc<Evidence>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Numbers the requests that have no uid.
    pub requests: AtomicU64,
    /// Failures of our own probes that were told.
    pub told: Repeats,
}

impl Backend {
    /// Seals under the current key version.
    pub(crate) async fn seal(
        &self,
        key: &Arc<KeyVersion>,
        algorithm: Algorithm,
        plaintext: Vec<u8>,
        caller: Caller,
    ) -> Result<Sealed, KmsError> {
        caller.trail.key(&key.id);
        let plaintext = Plaintext::new(plaintext);
        key.check_plaintext(plaintext.expose().len(), algorithm)?;
        let (priority, deadline) = (caller.priority(Priority::Encrypt), caller.deadline);
        let _admitted = self.admission.admit(priority, deadline).await?;
        let job = Seal { key: key.clone(), algorithm, plaintext, priority, deadline };
        let sealed = self.key_vault.seal(job).await;
        self.witness(&sealed, &caller, Evidence::sealed);
        caller.trail.answered(sealed.as_ref().map(|sealed| &*sealed.receipt.request_id));
        sealed
    }

    /// Opens what a plugin of this family sealed under that key version.
    pub(crate) async fn open(
        &self,
        key: &Arc<KeyVersion>,
        algorithm: Algorithm,
        ciphertext: &[u8],
        caller: Caller,
    ) -> Result<Vec<u8>, KmsError> {
        caller.trail.key(&key.id);
        let (form, ciphertext) = Form::recognise(ciphertext)?;
        let (priority, deadline) = (caller.priority(Priority::Decrypt), caller.deadline);
        let _admitted = self.admission.admit(priority, deadline).await?;
        let ciphertext = Arc::new(ciphertext);
        let job = Open { key: key.clone(), algorithm, form, ciphertext, priority, deadline };
        let opened = self.key_vault.open(job).await;
        self.witness(&opened, &caller, Evidence::opened);
        caller.trail.answered(opened.as_ref().map(|opened| &*opened.request_id));
        Ok(opened?.plaintext.expose().to_vec())
    }

    /// What a client's call shows of Key Vault; a probe draws its own conclusions. The failure of a caller in a hurry
    /// shows nothing.
    fn witness<T>(&self, outcome: &Result<T, KmsError>, caller: &Caller, succeeded: fn(&Evidence, Api)) {
        match outcome {
            _ if caller.probes => {}
            Ok(_) => succeeded(&self.evidence, caller.api),
            Err(error) if error.code.is_ours() && caller.is_patient() => self.evidence.doubt(),
            Err(_) => {}
        }
    }

    /// The report of the probes. Waits for the first one.
    pub(crate) async fn health(&self, deadline: Instant) -> HealthReport {
        let mut report = self.report.clone();
        let _ = timeout_at(deadline, report.wait_for(HealthReport::is_complete)).await;
        report.borrow().clone()
    }

    /// The client's uid; a number where it sends none (v1, Status), so that requests can be told apart in the log.
    fn uid(&self, api: Api, uid: &str) -> String {
        match uid {
            "" => format!("{}-{}", api.as_str(), self.requests.fetch_add(1, Ordering::Relaxed)),
            uid => uid.chars().take(LONGEST_UID).collect(),
        }
    }

    /// Runs one request in its log span and before its deadline, and counts it.
    pub(crate) async fn run<Q, A, F>(
        &self,
        api: Api,
        method: Method,
        uid: &str,
        request: Request<Q>,
        handle: impl FnOnce(Q, Caller) -> F,
    ) -> Result<Response<A>, Status>
    where
        F: Future<Output = Result<A, KmsError>>,
    {
        let start = Instant::now();
        let caller = Caller::of(api, &request);
        request.extensions().get().into_iter().for_each(Handled::set);
        let probes = caller.probes;
        let (uid, api) = (self.uid(api, uid), api.as_str());
        caller.trail.uid(&uid);
        let span = match probes {
            true => traces::probe(api, method, &uid),
            false => traces::request(api, method, &uid, request.metadata()),
        };
        let outcome = handle(request.into_inner(), caller).instrument(span.clone()).await;
        let code = outcome.as_ref().err().map(|error| error.code);
        self.metrics.request(api, method, code, start.elapsed());
        traces::answered(&span, outcome.as_ref().err());
        span.in_scope(|| self.log(&outcome, start, probes));
        Ok(Response::new(outcome?))
    }

    fn log<A>(&self, outcome: &Result<A, KmsError>, start: Instant, probes: bool) {
        let took_ms = start.elapsed().as_secs_f64() * 1000.0;
        let Err(error) = outcome else { return tracing::debug!(took_ms, "Request served") };
        let (code, cause) = (error.code.as_str(), error.cause.as_deref().unwrap_or_default());
        let (err, request_id) = (&*error.message, error.request_id.as_deref());
        // of our own probes the health report says that they go on failing
        let is_news = !probes || self.told.is_news(&format!("{code} {err} {cause}"));
        tell!(is_news, error, took_ms, code, err, cause, request_id, "Request failed");
    }
}
