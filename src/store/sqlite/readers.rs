//! Connections that read what is committed, a few at a time, on threads that may block.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};

use rusqlite::{Connection, OptionalExtension as _, Transaction};
use tokio::sync::Semaphore;

use super::fault::Fault;
use super::file;
use super::trust::Trust;
use crate::model::Name;
use crate::store::{Keyring, StoreError};

/// Reads at the same time. More would only wait for the same disk and cache.
const READERS: usize = 4;

/// The pool of reading connections.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    names: RwLock<HashMap<i64, Name>>,
    seals: Arc<Keyring>,
    trust: Arc<Trust>,
}

/// One consistent view of the store: a read transaction, the dictionary of names, and the
/// keys of payloads.
pub(super) struct View<'a> {
    pub(super) conn: Transaction<'a>,
    names: &'a RwLock<HashMap<i64, Name>>,
    pub(super) seals: &'a Keyring,
}

impl Readers {
    pub(super) fn new(path: PathBuf, (seals, trust): (Arc<Keyring>, Arc<Trust>)) -> Self {
        Self {
            path,
            idle: Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(READERS)),
            names: RwLock::default(),
            seals,
            trust,
        }
    }

    /// Runs `look` in one read transaction.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&View<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        let this = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let outcome = this.look(look).inspect_err(|fault| this.trust.note(fault));
            // Only now, also where the caller has gone away: the read has lasted until here.
            drop(permit);
            outcome
        });
        match reading.await {
            Ok(outcome) => outcome.map_err(StoreError::from),
            Err(_) => Err(StoreError::Unavailable("a read of the store failed".into())),
        }
    }

    /// Lets no read begin any more and drops the connections that are idle.
    pub(super) fn close(&self) {
        self.permits.close();
        if let Ok(mut idle) = self.idle.lock() {
            idle.clear();
        }
    }

    fn look<T>(&self, look: impl FnOnce(&View<'_>) -> Result<T, Fault>) -> Result<T, Fault> {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        let mut conn = match idle {
            Some(conn) => conn,
            None => file::open_reader(&self.path)?,
        };
        let value = {
            let view = View {
                conn: conn.transaction()?,
                names: &self.names,
                seals: &self.seals,
            };
            look(&view)?
        };
        // A connection that met a fault is dropped instead.
        if !self.permits.is_closed()
            && let Ok(mut idle) = self.idle.lock()
        {
            idle.push(conn);
        }
        Ok(value)
    }
}

impl View<'_> {
    /// The name behind a number.
    pub(super) fn name(&self, id: i64) -> Result<Name, Fault> {
        let known = self
            .names
            .read()
            .ok()
            .and_then(|names| names.get(&id).cloned());
        if let Some(name) = known {
            return Ok(name);
        }
        let name: Name = self
            .conn
            .prepare_cached("SELECT text FROM name WHERE id = ?1")?
            .query_row([id], |row| row.get(0))?;
        if let Ok(mut names) = self.names.write() {
            names.insert(id, name.clone());
        }
        Ok(name)
    }

    /// The number of a name; None where the store has never heard it.
    pub(super) fn name_id(&self, name: &str) -> Result<Option<i64>, Fault> {
        let id = self
            .conn
            .prepare_cached("SELECT id FROM name WHERE text = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        Ok(id)
    }
}
