//! The main job in one command: `cargo run --release --example quickstart`.
//!
//! Starts `akv-emulator` and the real `azure-kms-provider` as processes of their own, on loopback and a unix socket in
//! a temporary folder, and does what kube-apiserver does. Then it crashes an actor and does it again. Leaves nothing
//! behind.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod build;
mod report;
mod steps;
mod world;

use std::process::ExitCode;

use report::Report;
use world::World;

#[tokio::main]
async fn main() -> ExitCode {
    let mut report = Report::new();
    match run(&mut report).await {
        Ok(()) => {
            report.success();
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("\nquickstart failed: {reason}");
            ExitCode::FAILURE
        }
    }
}

async fn run(report: &mut Report) -> Result<(), String> {
    let programs = build::programs()?;
    report.title();
    let mut world = World::start(&programs, report).await?;
    let outcome = match steps::all(&world, report).await {
        Ok(()) => world.stop(report).await,
        failed => failed,
    };
    outcome.map_err(|reason| format!("{reason}\n\nThe daemon's log:\n{}", world.log()))
}
