//! The backend of both services: admission, the call to the `KeyVaultActor`, and the accounting of each request.

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

/// The longest prefix of a client's uid that is logged, in characters.
const MAX_UID_LENGTH: usize = 64;

/// The backend that both services share.
pub(crate) struct Backend {
    /// The keys in use.
    pub ring: Arc<KeyRing>,
    /// The executor of key operations.
    pub key_vault: Arc<dyn KeyOperations>,
    /// The admission of key operations.
    pub admission: Admission,
    /// The latest health report.
    pub report: watch::Receiver<HealthReport>,
    /// The policy of Status in an outage.
    pub status_policy: StatusPolicy,
    /// The passive health checks: the outcomes of clients' key operations.
    pub passive_health: Arc<PassiveHealth>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The number of requests without a uid.
    pub requests: AtomicU64,
    /// The failures of our own probes that were logged.
    pub probe_failures: LogDedup<ErrorKind>,
}

impl Backend {
    /// Encrypts with that key version, and encodes the ciphertext that Key Vault returns.
    ///
    /// # Errors
    /// `InvalidArgument` for a plaintext that is too long; the errors of admission and of the engine.
    pub(crate) async fn encrypt(
        &self,
        key: &Arc<KeyVersion>,
        algorithm: Algorithm,
        plaintext: Vec<u8>,
        context: RequestContext,
    ) -> Result<Encrypted, KmsError> {
        context.audit.set_key_id(&key.id);
        let plaintext = Plaintext::new(plaintext);
        key.check_plaintext(plaintext.expose().len(), algorithm)?;
        let (priority, deadline) = (context.priority(Priority::Encrypt), context.deadline);
        let _admitted = self.admission.admit(priority, deadline).await?;
        let job = EncryptJob { key: key.clone(), algorithm, plaintext, priority, deadline };
        let outcome = self.key_vault.encrypt(job).await;
        self.observe(&outcome, &context, PassiveHealth::encrypted);
        context.audit.set_request_id(outcome.as_ref().map(|encrypted| &*encrypted.receipt.request_id));
        let Encrypted { ciphertext, receipt } = outcome?;
        Ok(Encrypted { ciphertext: Encoding::encode(&ciphertext), receipt })
    }

    /// Decodes a stored ciphertext, and decrypts it with that key version.
    ///
    /// # Errors
    /// `InvalidArgument` for a ciphertext that neither this plugin nor Azure's wrote; the errors of admission and of
    /// the engine.
    pub(crate) async fn decrypt(
        &self,
        key: &Arc<KeyVersion>,
        algorithm: Algorithm,
        ciphertext: &[u8],
        context: RequestContext,
    ) -> Result<Vec<u8>, KmsError> {
        context.audit.set_key_id(&key.id);
        let (encoding, ciphertext) = Encoding::decode(ciphertext)?;
        let (priority, deadline) = (context.priority(Priority::Decrypt), context.deadline);
        let _admitted = self.admission.admit(priority, deadline).await?;
        let ciphertext = Arc::new(ciphertext);
        let job = DecryptJob { key: key.clone(), algorithm, ciphertext, priority, deadline };
        let outcome = self.key_vault.decrypt(job).await.and_then(|decrypted| decode(encoding, decrypted));
        self.observe(&outcome, &context, PassiveHealth::decrypted);
        context.audit.set_request_id(outcome.as_ref().map(|decrypted| &*decrypted.request_id));
        Ok(outcome?.plaintext.expose().to_vec())
    }

    /// Records a client's outcome as a sign of Key Vault's health. Skips probes, which the health report counts, and
    /// failures of calls with a short timeout, which say nothing about Key Vault.
    fn observe<T>(
        &self,
        outcome: &Result<T, KmsError>,
        context: &RequestContext,
        succeeded: fn(&PassiveHealth, Api),
    ) {
        match outcome {
            _ if context.is_probe => {}
            Ok(_) => succeeded(&self.passive_health, context.api),
            Err(error) if error.code.meaning().blame == Blame::Plugin && context.has_sufficient_timeout() => {
                self.passive_health.failed()
            }
            Err(_) => {}
        }
    }

    /// Returns the health report. Waits for the first complete one, up to the deadline.
    pub(crate) async fn health(&self, deadline: Instant) -> HealthReport {
        let mut report = self.report.clone();
        let _ = timeout_at(deadline, report.wait_for(HealthReport::is_complete)).await;
        report.borrow().clone()
    }

    /// Returns the client's uid, or a number where it sends none (v1, Status), to distinguish requests in the log.
    fn uid(&self, api: Api, uid: &str) -> String {
        match uid {
            "" => format!("{}-{}", api.as_str(), self.requests.fetch_add(1, Ordering::Relaxed)),
            uid => uid.chars().take(MAX_UID_LENGTH).collect(),
        }
    }

    /// Runs one request in its span, and counts, logs and traces it.
    ///
    /// # Errors
    /// The status of the error that `handle` returns.
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
        context.audit.set_uid(&uid);
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
        if is_probe && outcome.is_ok() && matches!(method, Method::Encrypt | Method::Decrypt) {
            self.probe_failures.recover(); // the next failure is another outage
        }
        outcome.map(Response::new).map_err(|error| status(error, is_probe))
    }

    fn log<A>(&self, outcome: &Result<A, KmsError>, start: Instant, is_probe: bool) {
        let took_ms = start.elapsed().as_secs_f64() * 1000.0;
        let Err(error) = outcome else { return tracing::debug!(took_ms, "Request served") };
        let (code, cause) = (error.code.as_str(), error.cause.as_deref().unwrap_or_default());
        let (err, request_id) = (&*error.message, error.request_id.as_deref());
        // the health report shows repeated failures of our own probes
        let should_log = !is_probe || self.probe_failures.should_log(error.kind.clone());
        log_or_debug!(should_log, error, took_ms, code, err, cause, request_id, "Request failed");
    }
}

/// Decodes the plaintext.
///
/// # Errors
/// The plaintext does not have this encoding; the error keeps Key Vault's request id.
fn decode(encoding: Encoding, Decrypted { plaintext, request_id }: Decrypted) -> Result<Decrypted, KmsError> {
    match encoding.decode_plaintext(plaintext) {
        Ok(plaintext) => Ok(Decrypted { plaintext, request_id }),
        Err(error) => Err(KmsError { request_id: Some(request_id), ..error }),
    }
}

/// Returns the gRPC status of an error, for our own probes with its kind as a header.
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
