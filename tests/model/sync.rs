//! tokio's `watch` as `handover` uses it, with a scheduling point before and after every operation.

pub(crate) mod watch {
    use shuttle::thread::yield_now;
    use tokio::sync::watch;
    use tokio::sync::watch::error::RecvError;

    pub(crate) struct Sender<T>(watch::Sender<T>);

    pub(crate) struct Receiver<T>(watch::Receiver<T>);

    impl<T> Sender<T> {
        pub(crate) fn new(first: T) -> Self {
            Self(watch::Sender::new(first))
        }

        pub(crate) fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) {
            yield_now();
            self.0.send_if_modified(modify);
            yield_now();
        }

        pub(crate) fn subscribe(&self) -> Receiver<T> {
            Receiver(self.0.subscribe())
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn borrow_and_update(&mut self) -> watch::Ref<'_, T> {
            yield_now();
            self.0.borrow_and_update() // locked until it is dropped, so no scheduling point after it
        }

        /// Waits for a newer value.
        ///
        /// # Errors
        /// The sender was dropped.
        pub(crate) async fn changed(&mut self) -> Result<(), RecvError> {
            yield_now();
            let changed = self.0.changed().await;
            yield_now();
            changed
        }

        /// Waits for a wanted value.
        ///
        /// # Errors
        /// The sender was dropped.
        pub(crate) async fn wait_for(&mut self, wanted: impl FnMut(&T) -> bool) -> Result<(), RecvError> {
            yield_now();
            let result = self.0.wait_for(wanted).await.map(drop);
            yield_now();
            result
        }
    }

    impl<T> Clone for Receiver<T> {
        fn clone(&self) -> Self {
            Self(self.0.clone())
        }
    }
}
