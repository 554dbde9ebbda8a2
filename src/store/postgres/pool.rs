//! Connections: made on demand, set up alike, given back, and made anew once the database is back.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, RecyclingMethod};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, NoTls, Portal, Row};

use super::fault::Fault;
use super::tls::Connector;
use super::url::{Authorities, PostgresUrl};
use crate::model::{Kept, Name};
use crate::store::{StoreError, codes};

/// How long a caller waits for a connection to be free.
const PATIENCE: Duration = Duration::from_secs(15);

/// Connections that write beside the one of the writer: operators' acts, retention, erasure.
const WRITERS: usize = 3;

/// Milliseconds that a transaction may wait for its relay, which may have been paused: others wait for its locks.
const IDLE: u32 = 2_500;

/// The connections of one relay.
pub(super) struct Pools {
    pub(super) readers: deadpool_postgres::Pool,
    pub(super) writers: deadpool_postgres::Pool,
    /// The writer's own: whatever else is written, what is on the way of every event has a connection.
    pub(super) hot: deadpool_postgres::Pool,
    /// For saying that this relay is alive: nothing may hold that up.
    pub(super) pulse: deadpool_postgres::Pool,
    names: RwLock<HashMap<Name, i32>>,
    kept: RwLock<HashMap<Kept, i32>>,
}

/// A connection that reads.
pub(super) struct View {
    client: Object,
}

impl Pools {
    pub(super) fn new(url: &PostgresUrl) -> Result<Self, StoreError> {
        Ok(Self {
            readers: pool(url, url.pool)?,
            writers: pool(url, WRITERS)?,
            hot: pool(url, 1)?,
            pulse: pool(url, 1)?,
            names: RwLock::default(),
            kept: RwLock::default(),
        })
    }

    /// For questions of one statement each.
    pub(super) async fn view(&self) -> Result<View, Fault> {
        let client = self.readers.get().await?;
        Ok(View { client })
    }

    /// One consistent view for questions of several.
    pub(super) async fn snapshot(&self) -> Result<Object, Fault> {
        Ok(self.readers.get().await?)
    }

    pub(super) fn close(&self) {
        self.readers.close();
        self.writers.close();
        self.hot.close();
        self.pulse.close();
    }

    /// The number of a name, given out when it is new. It is committed by itself, so it stays true whatever
    /// becomes of the transaction that it is for.
    pub(super) async fn name(&self, name: &Name) -> Result<i32, Fault> {
        if let Some(id) = self.known_name(name) {
            return Ok(id);
        }
        let sql = "WITH new AS (INSERT INTO name (text) SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM name WHERE text = $1) \
                   ON CONFLICT DO NOTHING RETURNING id) \
                   SELECT id FROM new UNION ALL SELECT id FROM name WHERE text = $1";
        let id = self.number(sql, name).await?;
        if let Ok(mut names) = self.names.write() {
            names.insert(name.clone(), id);
        }
        Ok(id)
    }

    fn known_name(&self, name: &str) -> Option<i32> {
        self.names.read().ok()?.get(name).copied()
    }

    /// The number of a set of kept fields, likewise.
    pub(super) async fn kept(&self, kept: &Kept) -> Result<i32, Fault> {
        let known = self.kept.read().ok().and_then(|all| all.get(kept).copied());
        if let Some(id) = known {
            return Ok(id);
        }
        let sql = "WITH new AS (INSERT INTO kept (fields) SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM kept WHERE fields = $1) \
                   ON CONFLICT DO NOTHING RETURNING id) \
                   SELECT id FROM new UNION ALL SELECT id FROM kept WHERE fields = $1";
        let id = self.number(sql, &codes::kept_text(kept)).await?;
        if let Ok(mut all) = self.kept.write() {
            all.insert(kept.clone(), id);
        }
        Ok(id)
    }

    /// Where another relay gives the number out at the same instant, it is seen by asking again.
    async fn number(&self, sql: &str, text: &str) -> Result<i32, Fault> {
        // Of those that read: whoever asks may hold one that writes.
        let client = self.readers.get().await?;
        let statement = client.prepare_cached(sql).await?;
        loop {
            if let Some(row) = client.query_opt(&statement, &[&text]).await? {
                return super::rows::get(&row, 0);
            }
        }
    }

    /// The name behind a number.
    pub(super) async fn name_of(&self, id: i32) -> Result<Name, Fault> {
        let known = self.names.read().ok().and_then(|names| {
            let mut names = names.iter();
            names.find_map(|(name, known)| (*known == id).then(|| name.clone()))
        });
        if let Some(name) = known {
            return Ok(name);
        }
        let view = self.view().await?;
        let found = view
            .rows("SELECT text FROM name WHERE id = $1", &[&id])
            .await?;
        let row = found.first().ok_or(Fault::Damaged("a name is not there"))?;
        let name = super::rows::name(row, 0)?;
        if let Ok(mut names) = self.names.write() {
            names.insert(name.clone(), id);
        }
        Ok(name)
    }

    /// The number of a name; None where the store has never heard it.
    pub(super) async fn name_id(&self, name: &str) -> Result<Option<i32>, Fault> {
        if let Some(id) = self.known_name(name) {
            return Ok(Some(id));
        }
        // No text in the database holds one, and it would not be asked for it.
        if name.contains('\0') {
            return Ok(None);
        }
        let view = self.view().await?;
        let sql = "SELECT id FROM name WHERE text = $1";
        let found = view.rows(sql, &[&name]).await?;
        let id = found.first().map(|row| super::rows::get(row, 0));
        let id = id.transpose()?;
        if let (Some(id), Ok(mut names)) = (id, self.names.write()) {
            names.insert(name.into(), id);
        }
        Ok(id)
    }
}

impl View {
    pub(super) async fn rows(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Fault> {
        rows(&self.client, sql, params).await
    }
}

/// Asks by a statement that this connection has prepared, or prepares now.
pub(super) async fn rows(
    client: &Object,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Fault> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, params).await?)
}

/// Reads what is committed as of one moment.
pub(super) async fn look(client: &mut Object) -> Result<deadpool_postgres::Transaction<'_>, Fault> {
    let begun = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true);
    Ok(begun.start().await?)
}

/// For questions that end early: rows come in the order of an index, and not once all of them are read and sorted.
pub(super) const IN_ORDER: &str = "SET LOCAL enable_sort TO off";

/// Rows that are read as far as they are wanted.
pub(super) struct Walk<'a> {
    tx: &'a deadpool_postgres::Transaction<'a>,
    portal: Portal,
    rows: Vec<Row>,
}

impl<'a> Walk<'a> {
    pub(super) async fn begin(
        tx: &'a deadpool_postgres::Transaction<'a>,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Self, Fault> {
        tx.batch_execute(IN_ORDER).await?;
        let statement = tx.prepare_cached(sql).await?;
        let portal = tx.bind(&statement, params).await?;
        let rows = Vec::new();
        Ok(Self { tx, portal, rows })
    }

    /// Reads some more; false where there are none.
    pub(super) async fn goes_on(&mut self, rows: usize) -> Result<bool, Fault> {
        let most = i32::try_from(rows).unwrap_or(i32::MAX);
        self.rows = self.tx.query_portal(&self.portal, most).await?;
        Ok(!self.rows.is_empty())
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }
}

fn pool(url: &PostgresUrl, size: usize) -> Result<deadpool_postgres::Pool, StoreError> {
    let how = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager = if url.tls.is_some() {
        Manager::from_config(url.config.clone(), connector(url)?, how)
    } else {
        Manager::from_config(url.config.clone(), NoTls, how)
    };
    let set_up: Arc<str> = set_up(url).into();
    deadpool_postgres::Pool::builder(manager)
        .max_size(size)
        .runtime(deadpool_postgres::Runtime::Tokio1)
        .wait_timeout(Some(PATIENCE))
        .create_timeout(Some(PATIENCE))
        .recycle_timeout(Some(PATIENCE))
        // The one that was used last has its statements prepared.
        .queue_mode(deadpool_postgres::QueueMode::Lifo)
        .post_create(Hook::async_fn(move |client, _| {
            let set_up = Arc::clone(&set_up);
            Box::pin(async move {
                let done = client.batch_execute(&set_up).await;
                done.map_err(HookError::Backend)
            })
        }))
        .build()
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// What makes connections secure, where the URL asks for that.
pub(super) fn connector(url: &PostgresUrl) -> Result<Connector, StoreError> {
    let authorities = url.tls.as_ref().unwrap_or(&Authorities::System);
    Ok(Connector(Arc::new(secure(authorities)?)))
}

/// The relay asks for few rows by indexes, always: without current statistics, as after a sudden backlog, the planner
/// might read whole tables instead. For the same reason what only adds to rows is joined from the left, tables are
/// joined as they are written, and a statement is planned once for whatever it is asked with.
fn set_up(url: &PostgresUrl) -> String {
    let millis = url.statement_timeout.as_millis();
    format!(
        "SET search_path TO {}; SET statement_timeout TO {millis}; SET idle_in_transaction_session_timeout TO {IDLE}; \
         SET synchronous_commit TO on; SET client_min_messages TO warning; SET jit TO off; \
         SET enable_seqscan TO off; SET enable_hashjoin TO off; SET enable_mergejoin TO off; \
         SET enable_bitmapscan TO off; SET plan_cache_mode TO force_generic_plan; SET join_collapse_limit TO 1",
        url.schema
    )
}

fn secure(authorities: &Authorities) -> Result<ClientConfig, StoreError> {
    let unfit = |what: String| StoreError::Unavailable(what);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(error.to_string()))?;
    let verified = match authorities {
        Authorities::System => versions
            .with_platform_verifier()
            .map_err(|error| unfit(format!("no system certificates: {error}")))?,
        Authorities::File(path) => {
            let unread = |error: &dyn std::fmt::Display| {
                unfit(format!("sslrootcert {}: {error}", path.display()))
            };
            let mut roots = RootCertStore::empty();
            for one in CertificateDer::pem_file_iter(path).map_err(|error| unread(&error))? {
                let one = one.map_err(|error| unread(&error))?;
                roots.add(one).map_err(|error| unread(&error))?;
            }
            versions.with_root_certificates(roots)
        }
    };
    Ok(verified.with_no_client_auth())
}
