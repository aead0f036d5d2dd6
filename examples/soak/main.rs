//! Load on both APIs while everything around the daemon fails: `cargo run --release --example soak -- --minutes N`.
//!
//! The real daemon as a process, against the emulator in this one. A seeded schedule crashes actors, throttles, slows
//! and breaks the vault, revokes tokens and rotates the credential. Outside of the total outages that it announces no
//! call may fail, and no plaintext may ever be wrong.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod events;
mod load;
mod options;
#[path = "../quickstart/src/programs.rs"]
mod programs;
mod summary;
mod world;

use std::process::ExitCode;

use options::Options;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("soak: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the soak test, and returns whether everything went as it must.
///
/// # Errors
/// An argument is wrong, a program cannot be built or started, or the daemon does not take a fault or report its
/// metrics.
async fn run() -> Result<bool, String> {
    let options = Options::parse(std::env::args().skip(1))?;
    let programs = programs::build()?;
    let world = world::World::start(&programs).await?;
    println!("soak: {} min, seed {}, {} clients", options.minutes, options.seed, options.clients);
    let before = world.daemon.process.resident_kib()?;
    let load = load::Load::start(&world.daemon, options.clients);
    events::run(&world, &load, &options).await?;
    let calls = load.stop().await;
    let summary = summary::Summary { calls, before, after: world.daemon.process.resident_kib()? };
    summary.print(&world.daemon.try_metrics().await?);
    if !summary.is_good() {
        eprintln!("\nThe daemon's log:\n{}", world.daemon.log());
    }
    Ok(summary.is_good())
}
