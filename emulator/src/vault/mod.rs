//! Key Vault: the checks in the order of the real service: token, right, body, key.

mod bundle;
mod operations;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, Response, header};
use serde_json::Value;

use crate::entra;
use crate::faults::{BodyFault, Fate, Service};
use crate::info::AUTHORITY_HOST;
use crate::reply::{self, VaultError};
use crate::server::{Answer, Reset};
use crate::tokens::{AUDIENCE, Claims};
use crate::world::{VAULT_HOST, World, random_guid};
use operations::Call;

/// The region that the vault says it is in.
const REGION: &str = "westeurope";

/// Everything behind TLS: chosen by the request's host.
pub(crate) async fn front(world: Arc<World>, request: Request<Body>) -> Answer {
    let host = host(&request).to_ascii_lowercase();
    match host.as_str() {
        VAULT_HOST => handle(&world, request).await,
        AUTHORITY_HOST | "login.windows.net" => entra::handle(&world, request).await,
        _ => Ok(reply::text(404, "text/plain", format!("the emulator does not play {host}\n"))),
    }
}

fn host(request: &Request<Body>) -> &str {
    let header = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = header.or_else(|| request.uri().host()).unwrap_or_default();
    host.split(':').next().unwrap_or_default()
}

async fn handle(world: &Arc<World>, request: Request<Body>) -> Answer {
    let response = match world.faults.fate(Service::Vault).await {
        Fate::Reset => return Err(Reset),
        Fate::Throttle(retry_after) => throttled(world, retry_after),
        Fate::Fail(status) => failed(status),
        Fate::Serve => serve(world, request).await,
    };
    Ok(with_headers(spoil(world, response).await))
}

fn throttled(world: &World, retry_after: Option<u64>) -> Response<Body> {
    world.stats.throttled();
    let message = "Request was not processed because too many requests were received. \
                   Reason: VaultRequestTypeLimitReached";
    let mut response = VaultError::new(429, "Throttled", message).response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn failed(status: u16) -> Response<Body> {
    let code = if status >= 500 { "InternalServerError" } else { "BadParameter" };
    VaultError::new(status, code, "An error was asked for.\r\n").response()
}

async fn serve(world: &Arc<World>, request: Request<Body>) -> Response<Body> {
    let claims = match authenticate(world, &request) {
        Ok(claims) => claims,
        Err(message) => return unauthorized(world, message),
    };
    let (parts, body) = request.into_parts();
    let outcome = match Call::route(&parts.method, parts.uri.path()) {
        None => return malformed_path(&parts.method),
        Some(call) => dispatch(world, &claims, call, parts.uri.query(), body).await,
    };
    match outcome {
        Ok(value) => reply::json(200, &value),
        Err(error) => error.response(),
    }
}

async fn dispatch(
    world: &Arc<World>,
    claims: &Claims,
    call: Call,
    query: Option<&str>,
    body: Body,
) -> Result<Value, VaultError> {
    let operation = call.operation();
    world.stats.call(&claims.appid, operation);
    let version = api_version(query)?;
    if !world.may(&claims.appid, operation) {
        return Err(not_permitted(claims, operation, call.key()));
    }
    let body =
        reply::body(body).await.ok_or_else(|| VaultError::bad_parameter("The request body is too large."))?;
    call.perform(world, version, query, &body)
}

fn authenticate(world: &World, request: &Request<Body>) -> Result<Claims, String> {
    let missing = || "AKV10000: Request is missing a Bearer or PoP token.".to_owned();
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(missing)?;
    let claims = world.tokens.check(token)?;
    match world.faults.refuses_token() {
        true => Err("[TokenExpired] Error validating token: 'S2S12086'.".into()),
        false => Ok(claims),
    }
}

fn unauthorized(world: &World, message: String) -> Response<Body> {
    world.stats.unauthorized();
    let challenge = format!(
        "Bearer authorization=\"https://{AUTHORITY_HOST}/{}\", resource=\"{AUDIENCE}\"",
        world.directory.tenant_id
    );
    let mut response = VaultError::new(401, "Unauthorized", message).response();
    if let Ok(challenge) = HeaderValue::from_str(&challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The check of the parameter that has no default.
fn api_version(query: Option<&str>) -> Result<&str, VaultError> {
    let pairs = query.unwrap_or_default().split('&');
    let version = pairs.filter_map(|pair| pair.strip_prefix("api-version=")).next().unwrap_or_default();
    match version {
        "" => Err(VaultError::bad_parameter("The api-version query parameter is required.")),
        "2015-06-01" | "2016-10-01" | "2025-07-01" | "2025-06-01-preview" => Ok(version),
        seven
            if seven.starts_with("7.")
                && seven.len() >= 3
                && (b'0'..=b'6').contains(&seven.as_bytes()[2]) =>
        {
            Ok(version)
        }
        other => Err(VaultError::bad_parameter(format!(
            "The specified version ({other}) is not recognized. Consider using the latest supported version (7.6)."
        ))),
    }
}

fn not_permitted(claims: &Claims, operation: &str, key: &str) -> VaultError {
    let action = match operation {
        "get" | "list" => "read".to_owned(),
        "wrapKey" => "wrap/action".to_owned(),
        "unwrapKey" => "unwrap/action".to_owned(),
        other => format!("{other}/action"),
    };
    let (app, tenant) = (&claims.appid, &claims.tid);
    VaultError::forbidden(
        "ForbiddenByRbac",
        format!(
            "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or \
             role definitions were changed recently, please observe propagation time.\r\nCaller: appid={app};\
             oid={app};iss=https://sts.windows.net/{tenant}/\r\nAction: 'Microsoft.KeyVault/vaults/keys/{action}'\r\n\
             Resource: '/subscriptions/emulator/vaults/emulator/keys/{key}'\r\nAssignment: (not found)\r\n\
             DenyAssignmentId: null\r\nDecisionReason: 'DeniedWithNoValidRBAC' \r\n\
             Vault: emulator;location={REGION}\r\n"
        ),
    )
}

fn malformed_path(method: &Method) -> Response<Body> {
    match *method {
        Method::GET | Method::POST | Method::PATCH => {
            let page =
                "<!DOCTYPE html><html><head><title>404 - File or directory not found.</title></head></html>";
            reply::text(404, "text/html", page.into())
        }
        _ => VaultError::new(405, "MethodNotAllowed", "The emulator does not play this method.").response(),
    }
}

/// The fault of the body, on successes only.
async fn spoil(world: &World, response: Response<Body>) -> Response<Body> {
    let fault = world.faults.of(Service::Vault).body;
    let Some(fault) = fault.filter(|_| response.status().is_success()) else { return response };
    let body = reply::body(response.into_body()).await.unwrap_or_default();
    match fault {
        BodyFault::Html => reply::text(200, "text/html", "<html><body>maintenance</body></html>".into()),
        BodyFault::Truncated => {
            let half = String::from_utf8_lossy(&body[..body.len() / 2]).into_owned();
            reply::text(200, "application/json; charset=utf-8", half)
        }
    }
}

/// The headers that every answer of the real service has.
fn with_headers(mut response: Response<Body>) -> Response<Body> {
    let request_id = random_guid().unwrap_or_default();
    let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let headers: [(&'static str, &str); 10] = [
        ("cache-control", "no-cache"),
        ("pragma", "no-cache"),
        ("expires", "-1"),
        ("date", &date),
        ("strict-transport-security", "max-age=31536000;includeSubDomains"),
        ("x-content-type-options", "nosniff"),
        ("x-ms-keyvault-region", REGION),
        ("x-ms-keyvault-service-version", "1.9.422.1"),
        ("x-ms-keyvault-network-info", "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;"),
        ("x-ms-request-id", &request_id),
    ];
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
