//! Steady load of round trips.

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Status;

use crate::Daemon;

/// Runs `clients` loops of round trips until told to stop.
pub struct Load {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<(u64, Vec<Status>)>>,
}

impl Load {
    /// Starts the loops, each on a connection of its own.
    pub fn start(daemon: &Daemon, clients: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let run = |_| {
            let (mut client, stopped) = (daemon.client(), stopped.clone());
            tokio::spawn(async move {
                let (mut served, mut failures) = (0, Vec::new());
                while !*stopped.borrow() {
                    match client.round_trips().await {
                        Ok(()) => served += 1,
                        Err(status) => failures.push(status),
                    }
                }
                (served, failures)
            })
        };
        Self { tasks: (0..clients).map(run).collect(), stop }
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
