//! What one relay does for all that share a store, and whether it is this one.

use tokio::sync::watch;

/// Whether the work that is done once for all relays is this one's.
#[derive(Clone, Debug)]
pub struct Duty(Option<watch::Receiver<bool>>);

impl Duty {
    /// Nobody else could do it.
    pub fn alone() -> Self {
        Self(None)
    }

    /// As it is told.
    pub fn told(told: watch::Receiver<bool>) -> Self {
        Self(Some(told))
    }

    pub fn is_ours(&self) -> bool {
        self.0.as_ref().is_none_or(|told| *told.borrow())
    }

    /// Others may do their part: what they do has to be looked for.
    pub fn is_shared(&self) -> bool {
        self.0.is_some()
    }

    /// Waits until it is.
    pub async fn ours(&mut self) {
        if let Some(told) = &mut self.0
            && told.wait_for(|ours| *ours).await.is_err()
        {
            // Nobody tells any more: the relay ends.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until it is not.
    pub async fn lost(&mut self) {
        let told = match &mut self.0 {
            Some(told) => told.wait_for(|ours| !*ours).await.is_ok(),
            None => false,
        };
        if !told {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn who_is_alone_is_on_duty_and_others_as_they_are_told() {
        let mut alone = Duty::alone();
        alone.ours().await;
        assert!(alone.is_ours() && alone.lost().now_or_never().is_none());
        let (tell, told) = watch::channel(false);
        let mut duty = Duty::told(told);
        assert!(!duty.is_ours() && duty.ours().now_or_never().is_none());
        tell.send_replace(true);
        duty.ours().await;
        assert!(duty.is_ours() && duty.lost().now_or_never().is_none());
        tell.send_replace(false);
        duty.lost().await;
    }
}
