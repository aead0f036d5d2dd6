//! The flags' values and the files they name.

use std::fs::FileType;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Access as Mode, access};

use super::report::Check;
use crate::cli::Flags;
use crate::config::{self, Access, Config};

const AZURE_JSON: &str = "azure-json";
const CA_FILES: &str = "ca-files";
const PERMISSIONS: &str = "permissions";
const AUDIT_LOG: &str = "audit-log";
const ADVICE: &str = "advice";

/// What was read, if all of it could be, and what was found on the way.
pub(super) struct Read {
    pub(super) ready: Option<(Config, Access)>,
    pub(super) checks: Vec<Check>,
}

/// Reads everything as the daemon does.
///
/// # Errors
/// Problems with flags themselves, one a line: there is nothing to check then.
pub(super) fn read(flags: &Flags) -> Result<Read, String> {
    match config::load(flags, Arc::new(|name: &str| std::env::var(name).ok())) {
        Ok((config, access)) => {
            let mut checks = vec![
                Check::passed(
                    AZURE_JSON,
                    format!("{}, {}", flags.config_file_path, access.credential.kind()),
                ),
                Check::passed(
                    CA_FILES,
                    format!("{} beside the system's roots", access.network.ca_files.len()),
                ),
                permissions(&config, &access),
            ];
            checks.extend(config.audit_log.as_deref().map(audit_log));
            checks.extend(config.warnings.iter().map(|warning| {
                Check::warned(
                    ADVICE,
                    warning.as_str(),
                    "change that flag, field or variable; see docs/configuration.md",
                )
            }));
            Ok(Read { ready: Some((config, access)), checks })
        }
        Err(problems) if problems.0.iter().all(|problem| is_of_a_file(problem)) => {
            Ok(Read { ready: None, checks: failed(flags, &problems.0) })
        }
        Err(problems) => Err(problems.to_string()),
    }
}

fn is_of_a_file(problem: &str) -> bool {
    problem.starts_with("--config-file-path ") || problem.starts_with("--ca-file: ")
}

fn failed(flags: &Flags, problems: &[String]) -> Vec<Check> {
    let mut checks: Vec<_> = problems.iter().map(|problem| of_problem(flags, problem)).collect();
    for name in [AZURE_JSON, CA_FILES] {
        if !checks.iter().any(|check| check.name == name) {
            checks.push(Check::passed(name, "readable"));
        }
    }
    checks.push(Check::skipped(PERMISSIONS, "since a file is missing or wrong"));
    checks
}

fn of_problem(flags: &Flags, problem: &str) -> Check {
    if problem.starts_with("--ca-file: ") {
        let mend = "name a readable PEM file of certificates with --ca-file, and mount it";
        return Check::failed(CA_FILES, problem, mend);
    }
    let file = &flags.config_file_path;
    let mend = match problem {
        _ if problem.contains("os error 2") => {
            format!("name the cluster's azure.json with --config-file-path, and mount the folder of {file}")
        }
        _ if problem.contains("os error 13") => {
            "run as the file's owner, or chown it to the daemon's user".into()
        }
        _ => format!("correct that in {file}; see docs/configuration.md"),
    };
    Check::failed(AZURE_JSON, problem, mend)
}

/// Whether others than the owner and its group may read or change a secret.
fn permissions(config: &Config, access: &Access) -> Check {
    let files = config.access_source.private_files(access);
    match files.iter().find_map(|path| open_to_others(path).map(|mode| (path.display(), mode))) {
        None => Check::passed(PERMISSIONS, "no secret is open to everybody"),
        Some((path, mode)) => Check::warned(
            PERMISSIONS,
            format!("everybody may read or write {path} (mode {mode:04o})"),
            format!("chmod o-rwx {path}"),
        ),
    }
}

/// Whether the file can be added to, or made.
fn audit_log(path: &Path) -> Check {
    let shown = path.display();
    let found = std::fs::metadata(path).map(|file| file.file_type());
    if found.as_ref().is_ok_and(|found| !FileType::is_file(found)) {
        return Check::failed(AUDIT_LOG, format!("{shown} is not a plain file"), "another --audit-log");
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    let (needed, modes) = match found {
        Ok(_) => (path, Mode::WRITE_OK),
        Err(_) => (folder, Mode::WRITE_OK | Mode::EXEC_OK),
    };
    match access(needed, modes) {
        Ok(()) => Check::passed(AUDIT_LOG, format!("{shown} can be written to")),
        Err(error) => Check::failed(
            AUDIT_LOG,
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
