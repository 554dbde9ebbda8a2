//! What relays on one schema cry to each other: NOTIFY, of its own and never within what is committed for a sender, since
//! commits that notify wait for each other.

use futures_util::future::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::fault::Fault;
use super::pool;
use crate::store::{StoreError, Told};

/// Bytes of one cry; the database takes less than 8000.
const LONGEST: usize = 7_000;
/// Cries that may wait to be heard; beyond it is up to looking now and then.
const ROOM: usize = 1_024;

/// A name may be too long for a channel.
fn channel(schema: &str) -> String {
    let hash = blake3::hash(schema.as_bytes());
    let short: [u8; 8] = hash.as_bytes().first_chunk().copied().unwrap_or_default();
    format!("mojito_relay_{:016x}", u64::from_be_bytes(short))
}

/// Cries to whoever listens.
pub(super) async fn cry(shared: &Shared, news: &[Told]) -> Result<(), Fault> {
    let own = shared.identity.owner.to_string();
    let mut cries = vec![own.clone()];
    for told in news {
        let line = told.line();
        if cries
            .last()
            .is_some_and(|cry| cry.len() + line.len() >= LONGEST)
        {
            cries.push(own.clone());
        }
        if let Some(cry) = cries.last_mut() {
            cry.push('\n');
            cry.push_str(&line);
        }
    }
    let view = shared.pools.view().await?;
    let sql = "SELECT pg_notify($1, cry) FROM unnest($2::text[]) AS cry";
    view.rows(sql, &[&channel(&shared.schema), &cries]).await?;
    Ok(())
}

/// A connection that does nothing but listen.
pub(super) async fn listen(
    shared: &Shared,
    stop: CancellationToken,
) -> Result<mpsc::Receiver<Told>, StoreError> {
    let (heard, hearing) = mpsc::channel(ROOM);
    let url = &shared.url;
    let unreachable = |error| StoreError::from(Fault::from(error));
    if url.tls.is_some() {
        let (client, connection) = url
            .config
            .connect(pool::connector(url)?)
            .await
            .map_err(unreachable)?;
        start(shared, (client, connection), (heard, stop)).await?;
    } else {
        let (client, connection) = url.config.connect(NoTls).await.map_err(unreachable)?;
        start(shared, (client, connection), (heard, stop)).await?;
    }
    Ok(hearing)
}

async fn start<S, T>(
    shared: &Shared,
    (client, connection): (Client, Connection<S, T>),
    (heard, stop): (mpsc::Sender<Told>, CancellationToken),
) -> Result<(), StoreError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let own = shared.identity.owner;
    shared.listening.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = hear(connection, own, heard) => {}
        }
    });
    let listen = format!("LISTEN {}", channel(&shared.schema));
    let begun = client.batch_execute(&listen).await.map_err(Fault::from);
    begun?;
    // It lives for as long as somebody may cry: without a client the connection would end.
    shared.keep_ear(client);
    Ok(())
}

/// Until the connection ends, or nobody wants to know.
async fn hear<S, T>(mut connection: Connection<S, T>, own: i64, heard: mpsc::Sender<Told>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        let AsyncMessage::Notification(cry) = message else {
            continue;
        };
        let mut lines = cry.payload().lines();
        if lines.next().and_then(|id| id.parse().ok()) == Some(own) {
            continue;
        }
        for told in lines.filter_map(Told::read) {
            if let Err(mpsc::error::TrySendError::Closed(_)) = heard.try_send(told) {
                return;
            }
        }
    }
}
