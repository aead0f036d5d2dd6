//! What the supervisor knows of one child's life, and what it may conclude. Plain data.
//!
//! News of a generation can come late, twice or never; here is decided what is still news. `tests/model` explores
//! this file, and `handover`, under every order of events.

/// A child that owes an answer for so many ping intervals is hung.
pub(crate) const HUNG_AFTER: u32 = 6;

/// One child, in all its generations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ChildState {
    generation: u64,
    state: State,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum State {
    /// Not started yet, or failed and not started again.
    #[default]
    Down,
    Up {
        /// Ping intervals since the last answer, while a ping is out.
        unanswered: Option<u32>,
    },
}

/// What the watchdog does about a child.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WatchdogAction {
    /// Ping this generation.
    Ping(u64),
    /// Nothing: it is down, or still has time to answer.
    Wait,
    /// It has had its time, and counts as down from now on.
    Hung,
}

impl ChildState {
    /// Begins the next generation.
    pub(crate) fn begin(&mut self) -> u64 {
        self.generation += 1;
        self.state = State::Up { unanswered: None };
        self.generation
    }

    /// That generation has ended. Whether this is news: it was up until now, and was not given up as hung.
    pub(crate) fn end(&mut self, generation: u64) -> bool {
        let news = self.generation == generation && self.is_up();
        if news {
            self.state = State::Down;
        }
        news
    }

    /// The pause after that generation's failure is over. Whether a restart is still due.
    pub(crate) fn restart_is_due(&self, generation: u64) -> bool {
        self.generation == generation && !self.is_up()
    }

    /// Another ping interval is over.
    pub(crate) fn watch(&mut self) -> WatchdogAction {
        let State::Up { unanswered } = &mut self.state else { return WatchdogAction::Wait };
        let Some(intervals) = unanswered else {
            *unanswered = Some(0);
            return WatchdogAction::Ping(self.generation);
        };
        *intervals += 1;
        if *intervals < HUNG_AFTER {
            return WatchdogAction::Wait;
        }
        self.state = State::Down;
        WatchdogAction::Hung
    }

    /// That generation has answered its ping. Whether this is news.
    pub(crate) fn answered(&mut self, generation: u64) -> bool {
        let news = self.generation == generation && self.is_up();
        if news {
            self.state = State::Up { unanswered: None };
        }
        news
    }

    /// Nobody could answer meanwhile: what is owed is counted anew.
    pub(crate) fn forgive(&mut self) {
        if let State::Up { unanswered: Some(intervals) } = &mut self.state {
            *intervals = 0;
        }
    }

    /// The newest generation.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether it runs, as far as anybody knows.
    pub(crate) fn is_up(&self) -> bool {
        self.state != State::Down
    }
}
