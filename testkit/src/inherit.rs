//! Hands an open file descriptor to a child, as systemd hands over a socket (`sd_listen_fds(3)`).

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

/// The first of the descriptors that `LISTEN_FDS` counts (`SD_LISTEN_FDS_START`).
const FIRST: usize = 3;

/// A file descriptor that a child inherits.
pub(crate) struct Inherit {
    /// The descriptor, which has to be the standard input of [`Inherit::command`].
    pub(crate) fd: OwnedFd,
    /// The number of copies, from descriptor 3 upwards.
    pub(crate) times: usize,
}

impl Inherit {
    /// Returns a command that runs the program by way of a shell: only the child knows its `LISTEN_PID`, so the shell
    /// sets it, places the descriptors and becomes the program.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let redirections: String = (FIRST..FIRST + self.times).map(|fd| format!("{fd}<&0 ")).collect();
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!(r#"LISTEN_PID=$$ exec "$0" "$@" {redirections}0</dev/null"#))
            .arg(program);
        command.env("LISTEN_FDS", self.times.to_string());
        command
    }
}
