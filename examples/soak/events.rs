//! The schedule: a random event every few seconds, the same for the same seed.

use std::time::Duration;

use akv_emulator::{FaultSet, Faults};
use tokio::time::{Instant, sleep};

use crate::load::Load;
use crate::options::Options;
use crate::world::World;

/// Actors are crashed no more often than the daemon's restart limit (30 in 60 s) bears; one fault may be two failures.
const CRASH_EVERY: Duration = Duration::from_secs(4);
/// The time for which calls that began in an outage may still fail: kube-apiserver's timeout.
const AFTERMATH: Duration = Duration::from_secs(4);

/// A small generator (xorshift64*), so that a seed is all that a schedule needs.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}

/// Runs events until the time is up, then lets everything recover.
///
/// # Errors
/// The daemon does not take a fault, or the new client secret cannot be registered or written.
pub(crate) async fn run(world: &World, load: &Load, options: &Options) -> Result<(), String> {
    let start = Instant::now();
    let end = start + Duration::from_secs(60 * options.minutes);
    let mut dice = Dice(options.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (mut crashed, mut secrets) = (None, 0);
    while Instant::now() < end {
        let event = dice.below(12);
        let event_text = match event {
            0 | 1 if crashed.is_none_or(|at: Instant| at.elapsed() >= CRASH_EVERY) => {
                crashed = Some(Instant::now());
                crash(world, &mut dice).await?
            }
            2 => spoil(world, "5 % of the calls get 503", faults(|vault| vault.error_rate = 0.05)),
            3 => spoil(world, "5 % of the calls are reset", faults(|vault| vault.reset_rate = 0.05)),
            4 => spoil(world, "calls take up to 200 ms", faults(|vault| vault.jitter_ms = 200)),
            5 => {
                world.emulator.revoke_tokens();
                "every token is revoked".to_owned()
            }
            6 => {
                secrets += 1;
                world.rotate_secret(secrets)?;
                "the client secret is rotated".to_owned()
            }
            7 => spoil(world, "Entra ID is down", entra_down()),
            8 => {
                world.emulator.hang_connections();
                "every connection to the vault hangs".to_owned()
            }
            9 => spoil(world, "5 % of the calls get 429", throttled(0.05, None)),
            10 => throttle_all(world).await,
            11 if dice.below(3) == 0 => outage(world, load).await,
            _ => "calm".to_owned(),
        };
        println!("{:>6.1} s  {event_text}", start.elapsed().as_secs_f64());
        sleep(Duration::from_millis(1500 + dice.below(2000))).await;
        world.emulator.clear_faults();
        sleep(Duration::from_millis(500)).await;
    }
    sleep(AFTERMATH).await;
    Ok(())
}

fn faults(set: impl FnOnce(&mut FaultSet)) -> Faults {
    let mut faults = Faults::default();
    set(&mut faults.vault);
    faults
}

fn throttled(share: f64, retry_after_s: Option<u64>) -> Faults {
    faults(|vault| {
        vault.error_rate = share;
        vault.status = Some(429);
        vault.retry_after_s = retry_after_s;
    })
}

/// The vault throttles everybody for half a second, and asks to wait for a second.
async fn throttle_all(world: &World) -> String {
    world.emulator.set_faults(throttled(1.0, Some(1)));
    sleep(Duration::from_millis(500)).await;
    world.emulator.clear_faults();
    "all calls got 429 for 0.5 s, Retry-After 1 s".to_owned()
}

fn entra_down() -> Faults {
    let down = FaultSet { error_rate: 1.0, status: Some(503), ..FaultSet::default() };
    Faults { entra: down, ..Faults::default() }
}

fn spoil(world: &World, event_text: &str, faults: Faults) -> String {
    world.emulator.set_faults(faults);
    event_text.to_owned()
}

/// Makes a random actor fail in a random way, and says which.
///
/// # Errors
/// The daemon refuses the fault, or does not answer on its healthz port.
async fn crash(world: &World, dice: &mut Dice) -> Result<String, String> {
    let actor = ["token", "key-vault", "health", "reload"][dice.below(4) as usize];
    let fault = ["panic", "error", "stop", "stall", "block"][dice.below(5) as usize];
    world.daemon.try_inject(actor, fault).await?;
    Ok(format!("{fault} of the {actor} actor"))
}

/// The vault answers nobody for a while.
async fn outage(world: &World, load: &Load) -> String {
    load.announce_outage(true);
    world.emulator.set_faults(faults(|vault| vault.reset_rate = 1.0));
    sleep(Duration::from_secs(5)).await;
    world.emulator.clear_faults();
    sleep(AFTERMATH).await;
    load.announce_outage(false);
    "announced: a total outage of 5 s".to_owned()
}
