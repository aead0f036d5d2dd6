//! Handles a request to a service under the faults in force, and dates the response by the services' clock.

use std::future::Future;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};

use crate::faults::{BodyFault, Outcome, Service};
use crate::response;
use crate::server::{HandlerResult, Reset};
use crate::state::State;

/// Returns the response of `serve`, or the service's error (`fail`) with the status of the faults in force.
///
/// # Errors
/// The faults in force reset the connection.
pub(crate) async fn handle(
    state: &State,
    service: Service,
    fail: impl Fn(u16) -> Response<Body>,
    serve: impl Future<Output = Response<Body>>,
) -> HandlerResult {
    let mut response = respond(state, service, fail, serve).await?;
    state.clock.set_date(&mut response);
    Ok(response)
}

/// The same, without the date.
///
/// # Errors
/// The faults in force reset the connection.
async fn respond(
    state: &State,
    service: Service,
    fail: impl Fn(u16) -> Response<Body>,
    serve: impl Future<Output = Response<Body>>,
) -> HandlerResult {
    match state.faults.outcome(service).await {
        Outcome::Reset => Err(Reset),
        Outcome::Throttle(retry_after) => {
            state.stats.throttled();
            Ok(with_retry_after(fail(429), retry_after))
        }
        Outcome::Fail(status) => Ok(corrupt_body(state.faults.of(service).body, fail(status)).await),
        Outcome::Serve => {
            let response = serve.await;
            let fault = state.faults.of(service).body.filter(|_| response.status().is_success());
            Ok(corrupt_body(fault, response).await)
        }
    }
}

/// Sets the `Retry-After` of that many seconds.
fn with_retry_after(mut response: Response<Body>, retry_after: Option<u64>) -> Response<Body> {
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Applies a fault to the body.
async fn corrupt_body(fault: Option<BodyFault>, response: Response<Body>) -> Response<Body> {
    let Some(fault) = fault else { return response };
    let status = response.status();
    let body = response::read_body(response.into_body()).await.unwrap_or_default();
    match fault {
        // as gateways do: the reason phrase of the status
        BodyFault::Html => response::page(status.as_u16(), &status.to_string()),
        BodyFault::Truncated => {
            let half = String::from_utf8_lossy(&body[..body.len() / 2]).into_owned();
            response::text(status.as_u16(), response::JSON, half)
        }
    }
}
