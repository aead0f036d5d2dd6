//! The flags' values and the files they name.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Access as Mode, access};

use super::checks::Check;
use super::report::CheckResult;
use crate::audit;
use crate::cli::Flags;
use crate::config::{self, Access, Config};

/// The configuration, and the results of reading it.
pub(super) struct Read {
    /// `None` if a file is missing or wrong.
    pub(super) ready: Option<(Config, Access)>,
    pub(super) results: Vec<CheckResult>,
}

/// Reads everything as the daemon does.
///
/// # Errors
/// A flag itself is wrong, and so there is nothing to check: the problems, one a line.
pub(super) fn read(flags: &Flags) -> Result<Read, String> {
    match config::load(flags, Arc::new(|name: &str| std::env::var(name).ok())) {
        Ok((config, access)) => {
            let (file, roots) = (&flags.config_file_path, access.network.ca_files.len());
            let mut results = vec![
                Check::AzureJson.passed(format!("{file}, {}", access.credential.kind())),
                Check::CaFiles.passed(format!("{roots} beside the system's roots")),
                permissions(&config, &access),
            ];
            results.extend(config.audit_log.as_deref().map(audit_log));
            let fix = "change that flag, field or variable; see docs/configuration.md";
            results.extend(config.warnings.iter().map(|warning| Check::Advice.warned(warning.as_str(), fix)));
            Ok(Read { ready: Some((config, access)), results })
        }
        Err(problems) if problems.0.iter().all(|problem| is_of_a_file(problem)) => {
            Ok(Read { ready: None, results: failed(flags, &problems.0) })
        }
        Err(problems) => Err(problems.to_string()),
    }
}

fn is_of_a_file(problem: &str) -> bool {
    problem.starts_with("--config-file-path ") || problem.starts_with("--ca-file: ")
}

fn failed(flags: &Flags, problems: &[String]) -> Vec<CheckResult> {
    let mut results: Vec<_> = problems.iter().map(|problem| of_problem(flags, problem)).collect();
    for check in [Check::AzureJson, Check::CaFiles] {
        if !results.iter().any(|result| result.check == check) {
            results.push(check.passed("readable"));
        }
    }
    results
}

fn of_problem(flags: &Flags, problem: &str) -> CheckResult {
    if problem.starts_with("--ca-file: ") {
        let fix = "name a readable PEM file of certificates with --ca-file, and mount it";
        return Check::CaFiles.failed(problem, fix);
    }
    let file = &flags.config_file_path;
    let fix = match problem {
        _ if problem.contains("os error 2") => {
            format!("name the cluster's azure.json with --config-file-path, and mount the folder of {file}")
        }
        _ if problem.contains("os error 13") => {
            "run as the file's owner, or chown it to the daemon's user".into()
        }
        _ => format!("correct that in {file}; see docs/configuration.md"),
    };
    Check::AzureJson.failed(problem, fix)
}

/// Checks that only the owner and its group may read or change a secret.
fn permissions(config: &Config, access: &Access) -> CheckResult {
    let files = config.access_source.private_files(access);
    match files.iter().find_map(|path| open_to_others(path).map(|mode| (path.display(), mode))) {
        None => Check::Permissions.passed("no secret is open to everybody"),
        Some((path, mode)) => Check::Permissions.warned(
            format!("everybody may read or write {path} (mode {mode:04o})"),
            format!("chmod o-rwx {path}"),
        ),
    }
}

/// Checks that the file can be appended to, or created.
fn audit_log(path: &Path) -> CheckResult {
    let shown = path.display();
    if let Err(problem) = audit::check_path(path) {
        return Check::AuditLog.failed(format!("{shown} {problem}"), "correct it, or another --audit-log");
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let (needed, modes) =
        if path.exists() { (path, Mode::WRITE_OK) } else { (folder, Mode::WRITE_OK | Mode::EXEC_OK) };
    match access(needed, modes) {
        Ok(()) => Check::AuditLog.passed(format!("{shown} can be written to")),
        Err(error) => Check::AuditLog.failed(
            format!("{} cannot be written to: {error}", needed.display()),
            format!(
                "mkdir -p -m 0700 {0}, owned by the daemon's user, and mount it without readOnly",
                folder.display()
            ),
        ),
    }
}

fn open_to_others(path: &Path) -> Option<u32> {
    let mode = std::fs::metadata(path).ok()?.mode() & 0o7777;
    (mode & 0o006 != 0).then_some(mode) // a group is how a daemon that is not root reads it
}
