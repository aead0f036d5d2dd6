//! `status`: what a running daemon says of itself, as a table or as JSON. Costs no call to Key Vault.

mod daemon;
mod table;

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use crate::actors::{NoStatus, Probe};
use crate::cli::Status;
use crate::config::{ListenAddr, positive_duration};
use crate::http::Snapshot;
use crate::proto::v2;
use daemon::Healthz;

/// The pause of `--watch`.
const PAUSE: Duration = Duration::from_secs(2);

/// What both ends of the daemon say.
#[derive(Debug, Serialize)]
struct Answers {
    socket: Answer<Socket>,
    daemon: Answer<Snapshot>,
}

impl Answers {
    /// Whether kube-apiserver gets its Status.
    fn outcome(self) -> Result<(), String> {
        match self.socket {
            Answer::Answered(Socket::Status { .. }) => Ok(()),
            Answer::Answered(Socket::Refusal { error }) | Answer::Failed(error) => Err(error),
        }
    }
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
#[serde(untagged)]
enum Socket {
    /// Without an error: kube-apiserver goes on writing.
    Status { version: String, healthz: String, key_id: String },
    /// With an error.
    Refusal { error: String },
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
/// Which flag is wrong, what Status says instead of a key_id, or that nobody answers on the socket.
pub(crate) fn status(flags: &Status, out: &mut dyn Write) -> Result<(), String> {
    let question = Question::read(flags)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no threads: {error}"))?;
    runtime.block_on(async {
        loop {
            let answers = question.ask().await;
            let shown = question.show(&answers, out);
            match shown {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(format!("cannot write to standard output: {error}")),
                Ok(()) if flags.watch == "true" => sleep(PAUSE).await,
                Ok(()) => return answers.outcome(),
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
    match Probe::new(socket, limit).ask_status().await {
        Ok(v2::StatusResponse { version, healthz, key_id }) => {
            Ok(Socket::Status { version, healthz, key_id })
        }
        Err(NoStatus::Refused(error)) => Ok(Socket::Refusal { error: error.message.into_owned() }),
        Err(NoStatus::NoAnswer(error)) => Err(error.message.into_owned()),
    }
}
