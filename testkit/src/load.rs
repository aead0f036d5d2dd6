//! Steady load of round trips.

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::Status;

use crate::{Client, Daemon, PATIENCE};

/// Runs `clients` loops of round trips until told to stop.
pub struct Load {
    stop: watch::Sender<bool>,
    round_trips: watch::Sender<u64>,
    tasks: Vec<JoinHandle<(u64, Vec<Status>)>>,
}

impl Load {
    /// Starts the loops, each on a connection of its own.
    pub fn start(daemon: &Daemon, clients: usize) -> Self {
        Self::of((0..clients).map(|_| daemon.client()))
    }

    /// Starts a loop for each client.
    pub fn of(clients: impl Iterator<Item = Client>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let round_trips = watch::Sender::new(0);
        let run = |mut client: Client| {
            let (stopped, total) = (stopped.clone(), round_trips.clone());
            tokio::spawn(async move {
                let (mut served, mut failures) = (0, Vec::new());
                while !*stopped.borrow() {
                    match client.round_trips().await {
                        Ok(()) => {
                            served += 1;
                            total.send_modify(|total| *total += 1);
                        }
                        Err(status) => failures.push(status),
                    }
                }
                (served, failures)
            })
        };
        Self { tasks: clients.map(run).collect(), stop, round_trips }
    }

    /// Waits until so many more round trips have succeeded. Each is four calls.
    pub async fn more_round_trips(&self, count: u64) {
        let mut total = self.round_trips.subscribe();
        let wanted = *total.borrow() + count;
        let reached = timeout(PATIENCE, total.wait_for(|total| *total >= wanted)).await;
        assert!(reached.is_ok_and(|reached| reached.is_ok()), "the load stands still");
    }

    /// Ends the loops: how many round trips there were, and every failure.
    pub async fn stop(self) -> (u64, Vec<Status>) {
        self.stop.send_replace(true);
        let (mut served, mut failures) = (0, Vec::new());
        for task in self.tasks {
            let (count, failed) = task.await.unwrap();
            served += count;
            failures.extend(failed);
        }
        (served, failures)
    }
}
