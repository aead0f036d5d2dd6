//! The table for people: a line for each step, and a summary.

use std::time::{Duration, Instant};

const TITLE: &str = "azure-kms-provider quickstart: a vault, the KMS plugin and a crash, all on this machine";

/// Prints each step when it ends.
pub(crate) struct Report {
    started: Instant,
    steps: u32,
    facts: Vec<(&'static str, String)>,
}

impl Report {
    /// Returns one without a step yet.
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), steps: 0, facts: Vec::new() }
    }

    /// Prints the head of the table; the time counts from here.
    pub(crate) fn title(&mut self) {
        self.started = Instant::now();
        println!("{TITLE}\n");
        println!("  {:<38} {:<36} {:>9}", "step", "result", "latency");
        println!("  {}", "─".repeat(85));
    }

    /// Runs one step, which returns its value and its result in a few words, and prints it.
    ///
    /// # Errors
    /// Fails if the step does; names it.
    pub(crate) async fn step<T>(
        &mut self,
        name: &str,
        step: impl Future<Output = Result<(T, String), String>>,
    ) -> Result<T, String> {
        let start = Instant::now();
        let outcome = step.await;
        let took = milliseconds(start.elapsed());
        match outcome {
            Ok((value, result)) => {
                self.steps += 1;
                println!("  {name:<38} {result:<36} {took:>9}");
                Ok(value)
            }
            Err(reason) => {
                println!("  {name:<38} {:<36} {took:>9}", "FAILED");
                Err(format!("{name}: {reason}"))
            }
        }
    }

    /// Notes a fact for the summary.
    pub(crate) fn fact(&mut self, name: &'static str, value: String) {
        self.facts.push((name, value));
    }

    /// Prints what was found out, and how long it took.
    pub(crate) fn summary(&self) {
        println!();
        for (name, value) in &self.facts {
            println!("  {name:<10} {value}");
        }
        let seconds = self.started.elapsed().as_secs_f64();
        println!("\n  {} steps in {seconds:.1} s, all of them good.", self.steps);
    }

    /// Prints the last words.
    pub(crate) fn end(&self) {
        println!("\n  Nothing is left behind. Next: README.md says how to run it against a real vault.");
    }
}

/// Returns the time with a tenth of a millisecond.
fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
