//! The configuration of the flags' own defaults, for tests and benches.

use clap::Parser;

use super::load;
use super::problems::Problems;
use super::supervision::{self, SupervisionConfig};
use super::telemetry::LogConfig;
use super::types::{AdmissionConfig, StatusPolicy};
use crate::cli::{Flags, PROGRAM};

impl Default for AdmissionConfig {
    fn default() -> Self {
        read(load::admission)
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self::of(&flags())
    }
}

impl Default for StatusPolicy {
    fn default() -> Self {
        read(load::status_policy)
    }
}

impl Default for SupervisionConfig {
    fn default() -> Self {
        read(supervision::read)
    }
}

fn flags() -> Flags {
    Flags::parse_from([PROGRAM])
}

fn read<T>(read: fn(&Flags, &mut Problems) -> Option<T>) -> T {
    let mut problems = Problems::default();
    match read(&flags(), &mut problems) {
        Some(config) => config,
        None => unreachable!("a flag's default is wrong: {problems}"),
    }
}
