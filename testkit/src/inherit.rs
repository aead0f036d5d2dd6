//! Hands an open file descriptor to a child, as systemd hands over a socket (`sd_listen_fds(3)`).

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

/// The first of the descriptors that `LISTEN_FDS` counts.
const FIRST: usize = 3;

/// What a child is to inherit.
pub(crate) struct Inherit {
    /// The descriptor. It has to be the standard input of [`Inherit::command`].
    pub(crate) fd: OwnedFd,
    /// Under how many numbers the child gets it.
    pub(crate) times: usize,
}

impl Inherit {
    /// The program, behind a shell that puts things in their places and becomes the program: `LISTEN_PID` is known
    /// only to the child.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let places: String = (FIRST..FIRST + self.times).map(|place| format!("{place}<&0 ")).collect();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!(r#"LISTEN_PID=$$ exec "$0" "$@" {places}0</dev/null"#)).arg(program);
        command.env("LISTEN_FDS", self.times.to_string());
        command
    }
}
