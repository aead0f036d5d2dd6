//! The emulator and the daemon after the table, and commands to try on them.

use crate::programs::Programs;
use crate::signals::Signals;
use crate::world::World;

/// Prints the commands, and waits for a signal.
///
/// # Errors
/// Fails if the emulator or the daemon ends meanwhile.
pub(crate) async fn until_a_signal(
    world: &mut World,
    programs: &Programs,
    signals: &mut Signals,
) -> Result<(), String> {
    println!("{}", instructions(world, programs)?);
    tokio::select! {
        () = signals.next() => Ok(()),
        ended = world.ended() => Err(ended),
    }
}

/// Returns the commands as they are printed, each below its purpose.
///
/// # Errors
/// Fails if the emulator's `emulator.json` cannot be read.
fn instructions(world: &World, programs: &Programs) -> Result<String, String> {
    let program = |name: &str| quoted(&programs.path(name).display().to_string());
    let (daemon, round_trip) = (program("azure-kms-provider"), program("kms-round-trip"));
    let socket = quoted(&world.socket.display().to_string());
    let faults = format!("{}/faults", world.info()?.control_url);
    let World { healthz, metrics, .. } = world;
    let [daemon_log, emulator_log] =
        [&world.daemon, &world.emulator].map(|program| program.log_file().display());
    Ok(format!(
        r#"
  The emulator and the daemon are running. To try in another shell:

  # Status as kube-apiserver gets it; key, token, breaker and actors
  {daemon} status --socket=unix://{socket} --healthz={healthz}

  # each health check
  curl '{healthz}/healthz?verbose'

  # the metrics
  curl {metrics}

  # Encrypt and Decrypt with KMS v1 and v2: exit code 0 if the same plaintext comes back
  {round_trip} {socket}

  # an actor panics, and is restarted
  curl -X POST {healthz}/debug/actors/key-vault/panic

  # Key Vault is down: look at the status and the health checks again
  curl -X PUT --data '{{"vault": {{"error_rate": 1, "status": 503}}}}' {faults}

  # Key Vault is back
  curl -X DELETE {faults}

  The daemon's log is {daemon_log}
  The emulator's log is {emulator_log}

  Ctrl-C ends both.
"#
    ))
}

/// Quotes a word for the shell, if it has to be.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/:._-".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}
