//! The state of a daemon as a table for people.

use super::query::{DaemonState, Reply, SocketStatus};
use crate::audit::AuditView;
use crate::http::{ActorView, ReloadView, Snapshot};
use crate::telemetry::AdmissionView;
use crate::vault::RateLimitView;

const ACTORS: [&str; 5] = ["ACTOR", "STATE", "GENERATION", "RESTARTS", "LAST REASON"];

/// The row on kube-apiserver's writes with KMS v2.
const WRITES: &str = "v2 writes";

const NOT_TOLD: &str = "not told by this version of the daemon";

/// Prints everything, a line each, and the actors below.
pub(super) fn of(state: &DaemonState) -> String {
    let mut rows = Vec::new();
    match &state.socket {
        Reply::Answered(socket) => rows.extend(of_socket(socket)),
        Reply::Failed(problem) => rows.push(row("socket", problem)),
    }
    match &state.daemon {
        Reply::Answered(daemon) => {
            rows.extend(of_daemon(daemon));
            format!("{}\n{}", aligned(&rows), aligned(&of_actors(&daemon.actors)))
        }
        Reply::Failed(problem) => {
            rows.push(row("healthz port", problem));
            aligned(&rows)
        }
    }
}

fn row(name: &str, value: impl Into<String>) -> Vec<String> {
    vec![name.to_owned(), value.into()]
}

fn of_socket(socket: &SocketStatus) -> Vec<Vec<String>> {
    match socket {
        SocketStatus::Ok { version, healthz, key_id } => {
            let writes = match healthz.as_str() {
                "ok" => "go on",
                _ => "go on: Status gives the key_id, and kube-apiserver has a seed for its data keys",
            };
            let status = row("status", format!("{healthz} ({version})"));
            vec![status, row(WRITES, writes), row("key_id", key_id)]
        }
        SocketStatus::Error { error } => vec![
            row("status", format!("fails: {error}")),
            row(WRITES, "end 3 minutes after the last Status that succeeded"),
        ],
    }
}

fn of_daemon(daemon: &Snapshot) -> Vec<Vec<String>> {
    let Snapshot { version, started, key, token, key_vault, .. } = daemon;
    let expires = token.expires.map(|at| format!("expires {}", rfc3339(at)));
    let token = [expires.or_else(|| Some("none".into())), token.error.clone()];
    let last_success = key_vault.last_success.map_or("never".into(), rfc3339);
    let limit = match (key_vault.throttled_for_ms, key_vault.slowed_down) {
        (Some(millis), _) => format!("throttled by Key Vault for another {millis} ms"),
        (None, true) => "slowed down after a throttling".into(),
        (None, false) => "none".into(),
    };
    vec![
        row("daemon", format!("{version}, since {}", rfc3339(*started))),
        row("key", format!("{} version {}", key.name, key.version)),
        row("token", token.into_iter().flatten().collect::<Vec<_>>().join("; ")),
        row("credential", daemon.reload.as_ref().map_or(NOT_TOLD.into(), credential)),
        row("key vault", key_vault.problem.as_deref().unwrap_or("ok")),
        row("last success", last_success),
        row("breaker", key_vault.breaker_open.as_ref().map_or("closed".into(), |why| format!("open: {why}"))),
        row("throttling", limit),
        row("rate limit", daemon.rate_limit.as_ref().map_or(NOT_TOLD.into(), rate_limit)),
        row("admission", daemon.admission.as_ref().map_or(NOT_TOLD.into(), admission)),
        row("audit log", daemon.audit_log.as_ref().map_or("off".into(), audit_log)),
    ]
}

fn credential(ReloadView { problem, taken_over }: &ReloadView) -> String {
    let since = taken_over.map_or("the start".into(), rfc3339);
    match problem {
        Some(problem) => format!("a change is not taken over, that of {since} stays: {problem}"),
        None => format!("in use since {since}"),
    }
}

fn rate_limit(RateLimitView { qps, burst, left, waiting }: &RateLimitView) -> String {
    format!("{left} of {burst} calls left, {qps} a second come back; {waiting} callers wait")
}

fn admission(AdmissionView { max_in_flight, in_flight, queued }: &AdmissionView) -> String {
    format!("{in_flight} of {max_in_flight} in flight; {queued} queued")
}

fn audit_log(AuditView { problem, lines_lost }: &AuditView) -> String {
    match (problem, lines_lost) {
        (Some(problem), lost) => format!("lines are lost: {problem}; {lost} since the start"),
        (None, 0) => "ok".into(),
        (None, lost) => format!("ok; {lost} lines lost since the start"),
    }
}

fn of_actors(actors: &[ActorView]) -> Vec<Vec<String>> {
    let head = ACTORS.map(str::to_owned).to_vec();
    let rows = actors.iter().map(|actor| {
        let last_reason = actor.last_reason.clone().unwrap_or_else(|| "-".into());
        let (generation, restarts) = (actor.generation.to_string(), actor.restarts.to_string());
        vec![actor.name.clone(), actor.state.clone(), generation, restarts, last_reason]
    });
    std::iter::once(head).chain(rows).collect()
}

fn rfc3339(at: chrono::DateTime<chrono::Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// Pads columns to their widest cell; the last one ends with its text.
fn aligned(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:<0$}", width(column)));
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_with_their_text() {
        let rows = [vec!["a".into(), "b".into()], vec!["long".into(), String::new()]];
        assert_eq!(aligned(&rows), "a     b\nlong\n");
    }

    #[test]
    fn the_audit_log_says_whether_lines_are_lost_and_how_many_were() {
        let said = |problem: Option<&str>, lines_lost| {
            audit_log(&AuditView { problem: problem.map(str::to_owned), lines_lost })
        };
        assert_eq!([said(None, 0), said(None, 7)], ["ok", "ok; 7 lines lost since the start"]);
        assert_eq!(said(Some("disk full"), 7), "lines are lost: disk full; 7 since the start");
    }

    #[test]
    fn a_credential_that_does_not_work_is_told_beside_the_one_in_use() {
        let said = |problem: Option<&str>, taken_over: Option<&str>| {
            let taken_over = taken_over.map(|at| at.parse().unwrap());
            credential(&ReloadView { problem: problem.map(str::to_owned), taken_over })
        };
        assert_eq!(said(None, None), "in use since the start");
        assert_eq!(said(None, Some("2026-01-01T00:00:00Z")), "in use since 2026-01-01T00:00:00Z");
        assert_eq!(
            said(Some("refused"), None),
            "a change is not taken over, that of the start stays: refused"
        );
    }

    #[test]
    fn the_actors_are_below_the_rest_and_a_silent_port_says_why() {
        let snapshot = r#"{"version":"v1","started":"2026-01-01T00:00:00Z","uptime_seconds":1,
            "key":{"name":"k8s","version":"0123","key_id":"ab"},"token":{"expires":null,"error":"refused"},
            "key_vault":{"problem":null,"last_success":null,"breaker_open":"silence","throttled_for_ms":7,
            "slowed_down":true},"actors":[{"name":"token","state":"running","generation":2,"restarts":1,
            "last_reason":"panic"}]}"#;
        let daemon = Reply::Answered(serde_json::from_str(snapshot).unwrap());
        let table = of(&DaemonState { socket: Reply::Failed("nobody".into()), daemon });
        for line in [
            "token         none; refused",
            "last success  never",
            "breaker       open: silence",
            "audit log     off",
            "rate limit    not told by this version of the daemon",
            "admission     not told by this version of the daemon",
        ] {
            assert!(table.contains(line), "{table}");
        }
        assert!(table.ends_with("\ntoken  running  2           1         panic\n"), "{table}");
        let failed = || Reply::Failed("nobody".into());
        let table = of(&DaemonState { socket: failed(), daemon: Reply::Failed("refused".into()) });
        assert_eq!(table, "socket        nobody\nhealthz port  refused\n");
    }
}
