//! gRPC's transparent retry: a call that the server has not seen, because its connection ended, is made again.

use std::error::Error;
use std::future::Future;
use std::io;
use std::iter::successors;

use tonic::{Response, Status};

/// Makes the call, and if `retries` repeats it for as long as its connection ends.
///
/// # Errors
/// The call fails for another reason, or `retries` is false.
pub(crate) async fn with_retries<M, F: Future<Output = Result<Response<M>, Status>>>(
    retries: bool,
    call: impl Fn() -> F,
) -> Result<Response<M>, Status> {
    loop {
        match call().await {
            Err(status) if retries && lost_its_connection(&status) => {}
            outcome => return outcome,
        }
    }
}

/// Reports whether the connection was made, and ended. tonic does not say what the server saw of the call: a test that
/// needs to know has to count there.
fn lost_its_connection(status: &Status) -> bool {
    let unreachable = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
    };
    let not_made = causes(status).any(|cause| cause.downcast_ref().is_some_and(unreachable));
    causes(status).any(|cause| cause.is::<tonic::transport::Error>()) && !not_made
}

/// Iterates over the sources of the status.
fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    successors(status.source(), |&error| error.source())
}
