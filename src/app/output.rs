//! The output of a command, and the exit code of the process.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use crate::cli::CliExit;

/// Prints what a command found to standard output and returns 0, or its problem to standard error and returns 1.
pub(super) fn print_result(outcome: Result<String, String>) -> ExitCode {
    exit_with(&match outcome {
        Ok(message) => CliExit { message, code: 0, is_for_stdout: true },
        Err(message) => CliExit { message, code: 1, is_for_stdout: false },
    })
}

/// Prints the message and returns its exit code: 1 where standard output does not take it, so that no script goes on
/// with half of it.
pub(super) fn exit_with(exit: &CliExit) -> ExitCode {
    let code = ExitCode::from(exit.code);
    if exit.message.is_empty() {
        return code;
    }
    if !exit.is_for_stdout {
        let _ = writeln!(io::stderr(), "{}", exit.message); // there is nowhere left to report a failure
        return code;
    }
    let mut stdout = io::stdout();
    match writeln!(stdout, "{}", exit.message).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            print_result(Err(format!("cannot write to standard output: {error}")))
        }
        _ => code, // a reader that closed the pipe has read enough
    }
}
