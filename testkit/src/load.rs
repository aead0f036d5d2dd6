//! Steady load of round trips.

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::Status;

use crate::client::Client;
use crate::daemon::Daemon;
use crate::timeouts::TEST_TIMEOUT;

/// Clients that make round trips until they are stopped.
pub struct Load {
    /// Ends the loops when it is true.
    stop: watch::Sender<bool>,
    /// The successful round trips of all clients.
    round_trips: watch::Sender<u64>,
    /// The loops, each with its successful round trips and its failures.
    tasks: Vec<JoinHandle<(u64, Vec<Status>)>>,
}

impl Load {
    /// Starts that many clients, each on a connection of its own.
    pub fn start(daemon: &Daemon, clients: usize) -> Self {
        Self::of((0..clients).map(|_| daemon.client()))
    }

    /// Starts a loop of round trips for each client.
    pub fn of(clients: impl Iterator<Item = Client>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let round_trips = watch::Sender::new(0);
        let run = |mut client: Client| {
            let (stopped, total) = (stopped.clone(), round_trips.clone());
            tokio::spawn(async move {
                let (mut succeeded, mut failures) = (0, Vec::new());
                while !*stopped.borrow() {
                    match client.round_trips().await {
                        Ok(()) => {
                            succeeded += 1;
                            total.send_modify(|total| *total += 1);
                        }
                        Err(status) => failures.push(status),
                    }
                }
                (succeeded, failures)
            })
        };
        Self { tasks: clients.map(run).collect(), stop, round_trips }
    }

    /// Waits until that many more round trips have succeeded. Each is four calls.
    pub async fn more_round_trips(&self, count: u64) {
        let mut total = self.round_trips.subscribe();
        let wanted = *total.borrow() + count;
        let reached = timeout(TEST_TIMEOUT, total.wait_for(|total| *total >= wanted)).await;
        assert!(reached.is_ok_and(|reached| reached.is_ok()), "the load stands still");
    }

    /// Ends the loops, and returns the number of successful round trips and every failure.
    pub async fn stop(self) -> (u64, Vec<Status>) {
        self.stop.send_replace(true);
        let (mut succeeded, mut failures) = (0, Vec::new());
        for task in self.tasks {
            let (count, failed) = task.await.unwrap();
            succeeded += count;
            failures.extend(failed);
        }
        (succeeded, failures)
    }
}
