//! The supervisor's view of one child, and what follows from each event. Plain data.
//!
//! Events of a generation can arrive late, twice or never; this file decides which of them still count. `tests/model`
//! explores it, and `handover`, under every order of events.

/// The ping intervals without an answer after which a child counts as hung.
pub(crate) const HUNG_AFTER: u32 = 6;

/// The state of one child across all its generations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ChildState {
    generation: u64,
    liveness: Liveness,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Liveness {
    /// Not started yet, or failed and not restarted yet.
    #[default]
    Down,
    Up {
        /// The intervals since the oldest unanswered ping; `None` when every ping was answered.
        unanswered: Option<u32>,
    },
}

/// The action of the watchdog on a child.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WatchdogAction {
    /// Ping this generation.
    Ping(u64),
    /// Do nothing: the child is down, or still has time to answer.
    Wait,
    /// Treat the child as failed: it did not answer in time, and counts as down from now on.
    Hung,
}

impl ChildState {
    /// Starts the next generation, and returns its number.
    pub(crate) fn start(&mut self) -> u64 {
        self.generation += 1;
        self.liveness = Liveness::Up { unanswered: None };
        self.generation
    }

    /// Records that a generation ended. Returns whether it was running until then: an earlier one was not, nor one
    /// that counted as hung.
    pub(crate) fn record_end(&mut self, generation: u64) -> bool {
        let was_running = self.is_running(generation);
        if was_running {
            self.liveness = Liveness::Down;
        }
        was_running
    }

    /// Returns whether a restart is still due when the pause after the failure of a generation is over.
    pub(crate) fn is_restart_due(&self, generation: u64) -> bool {
        self.generation == generation && !self.is_up()
    }

    /// Counts one more ping interval, and returns what the watchdog has to do.
    pub(crate) fn tick(&mut self) -> WatchdogAction {
        let Liveness::Up { unanswered } = &mut self.liveness else { return WatchdogAction::Wait };
        let Some(intervals) = unanswered else {
            *unanswered = Some(0);
            return WatchdogAction::Ping(self.generation);
        };
        *intervals += 1;
        if *intervals < HUNG_AFTER {
            return WatchdogAction::Wait;
        }
        self.liveness = Liveness::Down;
        WatchdogAction::Hung
    }

    /// Records that a generation answered its ping. Returns whether it is running: the answer of any other is
    /// ignored.
    pub(crate) fn record_answer(&mut self, generation: u64) -> bool {
        let was_running = self.is_running(generation);
        if was_running {
            self.liveness = Liveness::Up { unanswered: None };
        }
        was_running
    }

    /// Counts the intervals without an answer from 0 again, because no child could answer meanwhile.
    pub(crate) fn reset_unanswered(&mut self) {
        if let Liveness::Up { unanswered: Some(intervals) } = &mut self.liveness {
            *intervals = 0;
        }
    }

    /// Returns the number of the newest generation; 0 before the first start.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns whether the newest generation runs, as far as the supervisor knows.
    pub(crate) fn is_up(&self) -> bool {
        self.liveness != Liveness::Down
    }

    fn is_running(&self, generation: u64) -> bool {
        self.generation == generation && self.is_up()
    }
}
