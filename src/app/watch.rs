//! Notices that a file of the configuration changed. It compares contents, not times: that sees through
//! the symbolic links that Kubernetes swaps, and through a file system that tells nobody.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Reloader;
use crate::clock::Clock;

/// How often the files are looked at. A change that stood for two looks takes effect.
const LOOK: Duration = Duration::from_millis(500);

/// A digest over what files hold.
pub(super) type Look = blake3::Hash;

/// Reloads on every change, until `stop`.
pub(super) async fn watch(reloader: Arc<Reloader>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let mut before = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.idle(LOOK) => {}
        }
        let (files, tried) = reloader.tried();
        let now = Some(look(files).await);
        if now == before && now != Some(tried) {
            // Whatever comes of it: the same files are not tried twice.
            let _told_by_the_log = reloader.reload("a file changed").await;
        }
        before = now;
    }
}

/// A digest over what the files hold, or why they cannot be read.
pub(super) async fn look(files: Vec<PathBuf>) -> Look {
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
    tokio::task::spawn_blocking(look)
        .await
        .expect("reading does not panic")
}
