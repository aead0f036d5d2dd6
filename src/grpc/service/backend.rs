//! What both services share: admission, the ask, and the bookkeeping of one request.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status};
use tracing::Instrument;

use super::admission::Admission;
use super::request_context::RequestContext;
use crate::actors::{HealthReport, KIND_HEADER, PassiveHealth};
use crate::config::StatusPolicy;
use crate::grpc::layers::Handled;
use crate::kms::{
    Algorithm, Api, Blame, Decrypted, Encoding, Encrypted, ErrorKind, KeyRing, KeyVersion, KmsError, Method,
    Plaintext,
};
use crate::telemetry::{LogDedup, Metrics, log_or_debug, traces};
use crate::vault::{DecryptJob, EncryptJob, KeyOperations, Priority};

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
    pub passive_health: Arc<PassiveHealth>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Numbers the requests that have no uid.
    pub requests: AtomicU64,
    /// Failures of our own probes that were logged.
    pub probe_failures: LogDedup<ErrorKind>,
}

impl Backend {
    /// Encrypts under that key version, and encodes what Key Vault returned.
    ///
    /// # Errors
    /// `InvalidArgument` for a plaintext that does not fit; else those of admission and of the engine.
    pub(crate) async fn encrypt(
        &self,
        key: &Arc<KeyVersion>,
        algorithm: Algorithm,
        plaintext: Vec<u8>,
        context: RequestContext,
    ) -> Result<Encrypted, KmsError> {
        context.audit.key(&key.id);
        let plaintext = Plaintext::new(plaintext);
        key.check_plaintext(plaintext.expose().len(), algorithm)?;
        let (priority, deadline) = (context.priority(Priority::Encrypt), context.deadline);
        let _admitted = self.admission.admit(priority, deadline).await?;
        let job = EncryptJob { key: key.clone(), algorithm, plaintext, priority, deadline };
        let outcome = self.key_vault.encrypt(job).await;
        self.observe(&outcome, &context, PassiveHealth::encrypted);
        context.audit.answered(outcome.as_ref().map(|encrypted| &*encrypted.receipt.request_id));
        let Encrypted { ciphertext, receipt } = outcome?;
        Ok(Encrypted { ciphertext: Encoding::encode(&ciphertext), receipt })
    }

    /// Decodes what a plugin of this family stored, and decrypts it with that key version.
    ///
    /// # Errors
    /// `InvalidArgument` for what no such plugin wrote; else those of admission and of the engine.
    pub(crate) async fn decrypt(
        &self,
        key: &Arc<KeyVersion>,
        algorithm: Algorithm,
        ciphertext: &[u8],
        context: RequestContext,
    ) -> Result<Vec<u8>, KmsError> {
        context.audit.key(&key.id);
        let (encoding, ciphertext) = Encoding::decode(ciphertext)?;
        let (priority, deadline) = (context.priority(Priority::Decrypt), context.deadline);
        let _admitted = self.admission.admit(priority, deadline).await?;
        let ciphertext = Arc::new(ciphertext);
        let job = DecryptJob { key: key.clone(), algorithm, ciphertext, priority, deadline };
        let outcome = self.key_vault.decrypt(job).await.and_then(|decrypted| decode(encoding, decrypted));
        self.observe(&outcome, &context, PassiveHealth::decrypted);
        context.audit.answered(outcome.as_ref().map(|decrypted| &*decrypted.request_id));
        Ok(outcome?.plaintext.expose().to_vec())
    }

    /// Learns from a client's call; a probe draws its own conclusions. The failure of a call with a short deadline says
    /// nothing of Key Vault.
    fn observe<T>(
        &self,
        outcome: &Result<T, KmsError>,
        context: &RequestContext,
        succeeded: fn(&PassiveHealth, Api),
    ) {
        match outcome {
            _ if context.is_probe => {}
            Ok(_) => succeeded(&self.passive_health, context.api),
            Err(error) if error.code.meaning().blame == Blame::Plugin && context.is_patient() => {
                self.passive_health.failed()
            }
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
        handle: impl FnOnce(Q, RequestContext) -> F,
    ) -> Result<Response<A>, Status>
    where
        F: Future<Output = Result<A, KmsError>>,
    {
        let start = Instant::now();
        let context = RequestContext::of(api, &request);
        request.extensions().get().into_iter().for_each(Handled::set);
        let is_probe = context.is_probe;
        let uid = self.uid(api, uid);
        context.audit.uid(&uid);
        let span = if is_probe {
            traces::probe(api, method, &uid)
        } else {
            traces::request(api, method, &uid, request.metadata())
        };
        let outcome = handle(request.into_inner(), context).instrument(span.clone()).await;
        let code = outcome.as_ref().err().map(|error| error.code);
        self.metrics.request(api, method, code, start.elapsed());
        traces::request_ended(&span, outcome.as_ref().err());
        span.in_scope(|| self.log(&outcome, start, is_probe));
        outcome.map(Response::new).map_err(|error| status(error, is_probe))
    }

    fn log<A>(&self, outcome: &Result<A, KmsError>, start: Instant, is_probe: bool) {
        let took_ms = start.elapsed().as_secs_f64() * 1000.0;
        let Err(error) = outcome else { return tracing::debug!(took_ms, "Request served") };
        let (code, cause) = (error.code.as_str(), error.cause.as_deref().unwrap_or_default());
        let (err, request_id) = (&*error.message, error.request_id.as_deref());
        // of our own probes the health report says that they go on failing
        let should_log = !is_probe || self.probe_failures.should_log(error.kind.clone());
        log_or_debug!(should_log, error, took_ms, code, err, cause, request_id, "Request failed");
    }
}

fn decode(encoding: Encoding, Decrypted { plaintext, request_id }: Decrypted) -> Result<Decrypted, KmsError> {
    match encoding.decode_plaintext(plaintext) {
        Ok(plaintext) => Ok(Decrypted { plaintext, request_id }),
        Err(error) => Err(KmsError { request_id: Some(request_id), ..error }),
    }
}

/// Returns the gRPC status of a failure. One of our own probes learns its kind too.
fn status(error: KmsError, is_probe: bool) -> Status {
    let kind = error.kind.as_str().parse();
    let mut status = Status::from(error);
    if is_probe && let Ok(kind) = kind {
        status.metadata_mut().insert(KIND_HEADER, kind);
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::Code;

    #[test]
    fn only_our_own_probes_learn_the_kind_of_a_failure() {
        let error = || {
            KmsError::new(Code::PermissionDenied, "refused").of_kind("forbidden/ForbiddenByRbac".to_owned())
        };
        assert_eq!(status(error(), true).metadata().get(KIND_HEADER).unwrap(), "forbidden/ForbiddenByRbac");
        assert!(!status(error(), false).metadata().contains_key(KIND_HEADER));
    }
}
