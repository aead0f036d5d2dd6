//! The daemon: `azure-kms-provider --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    azure_kms_provider::main(std::env::args_os().skip(1))
}
