//! `akv-emulator`.
fn main() {}
