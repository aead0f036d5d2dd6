//! What a command says, and the code that the process then ends with.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use crate::cli::CliExit;

/// Says what a command found, or what its problem is: 0 or 1.
pub(super) fn told(outcome: Result<String, String>) -> ExitCode {
    ended(&match outcome {
        Ok(message) => CliExit { message, code: 0, to_stdout: true },
        Err(message) => CliExit { message, code: 1, to_stdout: false },
    })
}

/// Says it: its code, or 1 where standard output does not take it, so that nobody goes on with half of it.
pub(super) fn ended(exit: &CliExit) -> ExitCode {
    let code = ExitCode::from(exit.code);
    if exit.message.is_empty() {
        return code;
    }
    if !exit.to_stdout {
        let _ = writeln!(io::stderr(), "{}", exit.message); // an error: nobody is left to tell
        return code;
    }
    let mut stdout = io::stdout();
    match writeln!(stdout, "{}", exit.message).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            told(Err(format!("cannot write to standard output: {error}")))
        }
        _ => code, // who closed the pipe has read enough
    }
}
