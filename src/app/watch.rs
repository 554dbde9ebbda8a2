//! Notices that a file of the configuration changed. It compares contents, not times: that sees through
//! the symbolic links that Kubernetes swaps, and through a file system that tells nobody.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Reloader;
use crate::clock::Clock;
use crate::model::plus;

/// How often the files are looked at. A change that stood for two looks takes effect.
const LOOK: Duration = Duration::from_millis(500);

/// Reloads on every change, until `stop`.
pub(super) async fn watch(reloader: Arc<Reloader>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut in_force = look(reloader.files()).await;
    let mut before = in_force;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep_until(plus(clock.now(), LOOK)) => {}
        }
        let now = look(reloader.files()).await;
        if now != in_force && now == before {
            // Whatever comes of it: the same files are not tried twice.
            let _told_by_the_log = reloader.reload("a file changed").await;
            in_force = look(reloader.files()).await;
        }
        before = now;
    }
}

/// A digest over what the files hold, or why they cannot be read.
async fn look(files: Vec<PathBuf>) -> Option<blake3::Hash> {
    let look = move || {
        let mut hasher = blake3::Hasher::new();
        for file in files {
            match std::fs::read(&file) {
                Ok(bytes) => hasher.update(blake3::hash(&bytes).as_bytes()),
                Err(error) => hasher.update(error.kind().to_string().as_bytes()),
            };
        }
        hasher.finalize()
    };
    tokio::task::spawn_blocking(look).await.ok()
}
