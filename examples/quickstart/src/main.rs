//! The main job in one command: `cargo run -p quickstart --features fault-injection`.
//!
//! Starts `akv-emulator` and the real `azure-kms-provider` as processes of their own, on loopback and a unix socket in
//! a temporary folder, and does what kube-apiserver does. Then it crashes an actor and does it again. Leaves nothing
//! behind; with `--keep` not before Ctrl-C.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod keep;
mod program;
mod programs;
mod report;
mod signals;
mod steps;
mod world;

use std::process::ExitCode;

use clap::Parser;
use programs::Programs;
use report::Report;
use signals::Signals;
use world::World;

/// The main job of azure-kms-provider against an emulated Key Vault, and a crash of an actor.
#[derive(Parser)]
struct Options {
    /// After the table, print commands to try, and leave the emulator and the daemon running until Ctrl-C
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let mut report = Report::new();
    match run(&options, &mut report).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("\nquickstart failed: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Builds, starts and ends everything.
///
/// # Errors
/// Fails if a step does, if a program ends by itself, or if a signal comes before there is something to keep.
async fn run(options: &Options, report: &mut Report) -> Result<(), String> {
    let programs = programs::build()?;
    let mut signals = Signals::listen().map_err(|error| format!("no signal handlers: {error}"))?;
    report.title();
    let mut world = signals.or(World::start(&programs, report)).await?;
    let outcome = main_job(options, &programs, &mut world, &mut signals, report).await;
    world.kill().await; // whatever a failure has left
    outcome.map_err(|reason| format!("{reason}\n\nThe daemon's log:\n{}", world.daemon.log()))
}

/// Makes the steps, and drains at their end or, with `--keep`, at the signal after them.
///
/// # Errors
/// As [`run`].
async fn main_job(
    options: &Options,
    programs: &Programs,
    world: &mut World,
    signals: &mut Signals,
    report: &mut Report,
) -> Result<(), String> {
    signals.or(steps::all(world, report)).await?;
    if options.keep {
        report.summary();
        keep::until_a_signal(world, programs, signals).await?;
        signals.or(world.stop(report)).await?;
    } else {
        signals.or(world.stop(report)).await?;
        report.summary();
    }
    report.end();
    Ok(())
}
