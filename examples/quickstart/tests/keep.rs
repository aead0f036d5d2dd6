//! `quickstart --keep` as a process, and the commands that it prints.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A quickstart that has printed its commands.
struct Kept {
    child: Child,
    rest: BufReader<ChildStdout>,
    printed: Vec<String>,
}

impl Kept {
    /// Starts it, and waits until it says how it ends. It builds what it starts, if that is not built yet.
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
        command.arg("--keep").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut rest = BufReader::new(child.stdout.take().unwrap());
        let lines = rest.by_ref().lines().map(|line| line.unwrap().trim().to_owned());
        let printed: Vec<String> = lines.take_while(|line| line != "Ctrl-C ends both.").collect();
        Self { child, rest, printed }
    }

    /// Returns every command that it printed: what follows a comment.
    fn commands(&self) -> Vec<&str> {
        let pairs = self.printed.windows(2).filter(|pair| pair[0].starts_with("# "));
        pairs.map(|pair| pair[1].as_str()).collect()
    }

    /// Returns its temporary folder, which is that of the daemon's log.
    fn folder(&self) -> PathBuf {
        let log = self.printed.iter().find_map(|line| line.strip_prefix("The daemon's log is "));
        Path::new(log.unwrap_or_else(|| panic!("{:?}", self.printed))).parent().unwrap().to_owned()
    }

    /// Waits for its end, and returns the exit code, the rest of its standard output, and its standard error.
    fn end(mut self) -> (Option<i32>, String, String) {
        let [mut rest, mut errors] = [String::new(), String::new()];
        self.rest.read_to_string(&mut rest).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap().code(), rest, errors)
    }
}

/// The processes whose command line names that folder: the name of the program, and its number.
fn processes(folder: &Path) -> Vec<(String, Pid)> {
    let read = |entry: std::fs::DirEntry| {
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        let line = String::from_utf8(std::fs::read(entry.path().join("cmdline")).ok()?).ok()?;
        let program = Path::new(line.split('\0').next()?).file_name()?.to_str()?.to_owned();
        line.contains(folder.to_str()?).then_some((program, pid))
    };
    let mut found: Vec<_> =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| read(entry.unwrap())).collect();
    found.sort_by_key(|(program, _)| program.clone());
    found
}

/// Runs that command in a shell, where `curl` is not needed.
async fn run(command: &str) -> String {
    let words = r#"curl() { printf '%s\n' "$@"; }"#;
    let output = Command::new("sh").arg("-c").arg(format!("{words}; {command}")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command}: {text}{}", String::from_utf8_lossy(&output.stderr));
    if command.starts_with("curl ") { curl(text.lines()).await } else { text }
}

/// Asks as curl does with those words.
async fn curl(mut words: impl Iterator<Item = &str>) -> String {
    let (mut method, mut data, mut url) = ("GET", "", "");
    while let Some(word) = words.next() {
        match word {
            "-X" => method = words.next().unwrap(),
            "--data" => data = words.next().unwrap(),
            _ => url = word,
        }
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.request(method.parse().unwrap(), url).body(data.to_owned()).send().await.unwrap();
    answer.error_for_status().unwrap().text().await.unwrap()
}

#[tokio::test]
async fn what_it_keeps_serves_the_printed_commands_and_ends_with_ctrl_c() {
    let kept = Kept::start();
    let folder = kept.folder();
    let [emulator, daemon] = processes(&folder).try_into().unwrap();
    assert_eq!((emulator.0.as_str(), daemon.0.as_str()), ("akv-emulator", "azure-kms-provider"));
    let mut answers = Vec::new();
    for command in kept.commands() {
        answers.push(run(command).await);
    }
    let [status, healthz, metrics, round_trip, panic, down, back] = answers.try_into().unwrap();
    assert!(status.contains("key_id"), "{status}");
    assert!(healthz.contains("healthz check passed"), "{healthz}");
    assert!(metrics.contains("azure_kms_actor_restarts_total"), "{metrics}");
    assert_eq!((round_trip.as_str(), panic.as_str()), ("", "ok\n"));
    assert!(!down.contains("error") && !back.contains("error"), "{down} {back}");

    kill_process(Pid::from_child(&kept.child), Signal::INT).unwrap();
    let (code, rest, errors) = kept.end();
    assert_eq!(code, Some(0), "{errors}");
    assert!(rest.contains("drained, socket removed, exit 0"), "{rest}");
    assert_eq!(processes(&folder), []);
    assert!(!folder.exists());
}

#[tokio::test]
async fn it_says_which_program_has_ended_meanwhile_and_ends_the_other() {
    for place in [0, 1] {
        let kept = Kept::start();
        let folder = kept.folder();
        let (program, pid) = processes(&folder).swap_remove(place);
        kill_process(pid, Signal::KILL).unwrap();
        let (code, _, errors) = kept.end();
        assert_eq!(code, Some(1));
        assert!(errors.contains(&format!("quickstart failed: {program} has ended (signal: 9")), "{errors}");
        assert_eq!(processes(&folder), []);
        assert!(!folder.exists());
    }
}
