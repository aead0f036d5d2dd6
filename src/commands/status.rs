//! `status`: what a running daemon says of itself, as a table or as JSON. Costs no call to Key Vault.

mod daemon;
mod table;

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::actors::Probe;
use crate::cli::Status;
use crate::config::{ListenAddr, positive_duration};
use crate::http::Snapshot;
use daemon::Healthz;

/// The pause of `--watch`.
const PAUSE: Duration = Duration::from_secs(2);

/// What both ends of the daemon say.
#[derive(Debug, Serialize)]
struct Answers {
    socket: Answer<Socket>,
    daemon: Answer<Snapshot>,
}

/// An answer, or why there is none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer<T> {
    Answered(T),
    Failed(String),
}

impl<T> From<Result<T, String>> for Answer<T> {
    fn from(answer: Result<T, String>) -> Self {
        answer.map_or_else(Self::Failed, Self::Answered)
    }
}

/// What v2 Status answers.
#[derive(Debug, Serialize)]
struct Socket {
    version: String,
    healthz: String,
    key_id: String,
}

/// The flags, read.
struct Question {
    socket: ListenAddr,
    healthz: Healthz,
    limit: Duration,
    json: bool,
}

/// Shows the status once, or again and again until nobody reads it any more.
///
/// # Errors
/// Which flag is wrong, or that nobody answers on the socket.
pub(crate) fn status(flags: &Status, out: &mut dyn Write) -> Result<(), String> {
    let question = Question::read(flags)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no threads: {error}"))?;
    runtime.block_on(async {
        loop {
            let answers = question.ask().await;
            let shown = question.show(&answers, out);
            match answers.socket {
                Answer::Failed(problem) if flags.watch != "true" => return Err(problem),
                _ if flags.watch != "true" || shown.is_err() => return Ok(()),
                _ => sleep(PAUSE).await,
            }
        }
    })
}

impl Question {
    fn read(flags: &Status) -> Result<Self, String> {
        let socket = ListenAddr::parse(&flags.socket).map_err(|problem| format!("--socket: {problem}"))?;
        let healthz = Healthz::parse(&flags.healthz).map_err(|problem| format!("--healthz: {problem}"))?;
        let limit = positive_duration(&flags.timeout).map_err(|problem| format!("--timeout: {problem}"))?;
        let json = match flags.output.as_str() {
            "table" => false,
            "json" => true,
            other => return Err(format!("--output: {other:?} must be table or json")),
        };
        Ok(Self { socket, healthz, limit, json })
    }

    async fn ask(&self) -> Answers {
        let late = || format!("no answer within {:?}", self.limit);
        let (socket, daemon) = tokio::join!(
            timeout(self.limit, ask_socket(&self.socket, self.limit)),
            timeout(self.limit, self.healthz.snapshot())
        );
        let socket = socket.unwrap_or_else(|_| Err(late()));
        Answers { socket: socket.into(), daemon: daemon.unwrap_or_else(|_| Err(late())).into() }
    }

    fn show(&self, answers: &Answers, out: &mut dyn Write) -> io::Result<()> {
        match self.json {
            true => writeln!(out, "{}", serde_json::to_string(answers)?)?,
            false => writeln!(out, "{}", table::of(answers))?,
        }
        out.flush()
    }
}

async fn ask_socket(socket: &ListenAddr, limit: Duration) -> Result<Socket, String> {
    let answer = Probe::new(socket, limit).ask_status().await.map_err(|error| error.message.into_owned())?;
    Ok(Socket { version: answer.version, healthz: answer.healthz, key_id: answer.key_id })
}
