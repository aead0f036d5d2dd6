//! gRPC's transparent retry: a call that the server has not seen, because it was ending the connection, is made again.

use std::error::Error;
use std::future::Future;
use std::io;
use std::iter::successors;

use tonic::{Response, Status};

/// Makes the call, and if `repeats` makes it again for as long as its connection ends below it.
pub(crate) async fn or_again<M, F: Future<Output = Result<Response<M>, Status>>>(
    repeats: bool,
    call: impl Fn() -> F,
) -> Result<Response<M>, Status> {
    loop {
        match call().await {
            Err(status) if repeats && lost_its_connection(&status) => {}
            outcome => return outcome,
        }
    }
}

/// Whether the connection was there, and ended. tonic does not say what the server saw of the call: whoever needs to
/// know has to count on the other side.
fn lost_its_connection(status: &Status) -> bool {
    let absent = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
    };
    let not_made = causes(status).any(|cause| cause.downcast_ref().is_some_and(absent));
    causes(status).any(|cause| cause.is::<tonic::transport::Error>()) && !not_made
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    successors(status.source(), |&error| error.source())
}
