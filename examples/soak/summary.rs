//! What a person reads at the end.

use crate::load::Calls;

/// Memory may grow by so much of itself while everything fails, in percent.
const GROWTH: u64 = 60;

/// The results of a run.
pub(crate) struct Summary {
    pub(crate) calls: Calls,
    /// Resident memory of the daemon in KiB.
    pub(crate) before: u64,
    pub(crate) after: u64,
}

impl Summary {
    /// No call failed outside of an outage, no plaintext was wrong, and memory is flat.
    pub(crate) fn is_good(&self) -> bool {
        self.calls.failed.is_empty()
            && self.calls.wrong == 0
            && self.after * 100 <= self.before * (100 + GROWTH)
    }

    /// Prints it. `metrics` are the daemon's at the end.
    pub(crate) fn print(&self, metrics: &str) {
        let Calls { served, failed, excused, wrong } = &self.calls;
        println!("\ncalls served     {}", served.len());
        println!("calls failed     {} outside of outages, {excused} in them", failed.values().sum::<u64>());
        for (cause, count) in failed {
            println!("  {count:>6}  {cause}");
        }
        println!("wrong plaintexts {wrong}");
        let at = |share: f64| served.get((served.len() as f64 * share) as usize).copied().unwrap_or_default();
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| f64::from(at(share)) / 1000.0);
        println!("latency          p50 {p50:.1} ms, p99 {p99:.1} ms, p999 {p999:.1} ms");
        println!("restarts         {}", kms_testkit::restarts(metrics));
        println!("memory           {} KiB before, {} KiB after", self.before, self.after);
    }
}
