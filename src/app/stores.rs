//! Which store: the only place where the one in a file and the one in a database are told apart.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::online::Look;
use crate::clock::Clock;
use crate::config::{StoreSettings, StoreUrl};
use crate::store::postgres::{self, PostgresOptions, PostgresStore, PostgresUrl, Target};
use crate::store::sqlite::{self, Place, Source, SqliteOptions, SqliteStore};
use crate::store::{OnCommit, Stage, Store, StoreError, Transferred, transfer};
use crate::telemetry::Telemetry;

/// Opens the store that `settings` name; its commits are measured.
pub async fn open_store(
    settings: &StoreSettings,
    key: [u8; 32],
    clock: Arc<dyn Clock>,
    telemetry: &Arc<Telemetry>,
) -> Result<Arc<dyn Store>, StoreError> {
    let watched = telemetry.clone();
    let on_commit = move |took: Duration, batch: usize| watched.metrics.committed(took, batch);
    let on_commit: Option<OnCommit> = Some(Arc::new(on_commit));
    let seals = settings.encrypt.clone();
    Ok(match &settings.url {
        StoreUrl::Sqlite(path) => Arc::new(SqliteStore::open(&SqliteOptions {
            path: path.clone(),
            key,
            seals,
            clock,
            on_commit,
        })?),
        StoreUrl::Postgres(url) => {
            let options = PostgresOptions {
                url: PostgresUrl::clone(url),
                key,
                seals,
                name: own_name(),
                clock,
                on_commit,
            };
            Arc::new(PostgresStore::open(&options).await?)
        }
    })
}

/// What this relay is called among those that share a store.
fn own_name() -> String {
    let machine = rustix::system::uname();
    let machine = machine.nodename().to_string_lossy();
    format!("{machine}/{}", std::process::id())
}

/// Copies a store to a new file, beside the relay that has it open; answers the copy's size in bytes.
pub fn back_up(url: &StoreUrl, to: &Path) -> Result<u64, StoreError> {
    match url {
        StoreUrl::Sqlite(path) => sqlite::backup(path, to),
        StoreUrl::Postgres(_) => Err(StoreError::Unavailable(format!(
            "{url} is backed up by PostgreSQL's own means, such as pg_dump or its archive of the log"
        ))),
    }
}

/// Moves the store of a file into a database, both of them held against relays; tells how far it is.
pub async fn move_store(
    from: &Path,
    to: &PostgresUrl,
    tell: &mut (dyn FnMut(Stage) + Send),
) -> Result<Transferred, StoreError> {
    let source = Source::open(from, super::system_clock())?;
    let mut target = Target::open(to).await?;
    transfer(&source, &mut target, tell).await
}

/// Looks at the place of a store.
pub(super) async fn look_at(url: &StoreUrl) -> Look {
    let found = match url {
        StoreUrl::Sqlite(path) => sqlite::look(path).map(fit),
        StoreUrl::Postgres(url) => postgres::look(url).await.map_err(|error| error.to_string()),
    };
    let what = match url {
        StoreUrl::Sqlite(path) => format!("store {}", path.display()),
        StoreUrl::Postgres(url) => format!("store {url}"),
    };
    Look {
        what,
        destinations: Vec::new(),
        ok: found.is_ok(),
        words: found.unwrap_or_else(|wrong| wrong),
    }
}

fn fit(place: Place) -> String {
    let what = if place.exists {
        "can be written"
    } else {
        "can be made"
    };
    match place.free {
        Some(free) => format!("{what}; {} free", bytesize::ByteSize(free)),
        None => what.to_owned(),
    }
}
