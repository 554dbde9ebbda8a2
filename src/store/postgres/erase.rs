//! Erasure in two transactions: the first lets nothing more in or out, the second takes everything away. A crash between
//! them is noticed at the next start, because the first leaves a note. Dead rows are vacuumed away in the end; the log
//! for replicas and backups is the database's.

use async_trait::async_trait;
use jiff::Timestamp;

use super::DIGEST;
use super::acts::end;
use super::change::{Change, Tx};
use super::fault::Fault;
use super::jobs;
use super::rows::{self, get};
use crate::model::Name;
use crate::store::erase::{REASON, Sent};
use crate::store::{Condemned, Erasure, WORDS_ERASED, Whose};

/// The first transaction.
pub(super) struct Condemn {
    pub(super) whose: Whose,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Change for Condemn {
    type Answer = Condemned;

    async fn run(&self, tx: &Tx<'_>) -> Result<Condemned, Fault> {
        let mut condemned = Condemned {
            subjects: whom(tx, &self.whose).await?,
            ..Condemned::default()
        };
        if let Whose::Candidate(candidate) = &self.whose {
            // Events of a candidate that have no subject.
            let sql = "SELECT seq FROM event WHERE subject IS NULL AND candidate = $1 ORDER BY seq";
            condemned.events = numbers(tx, sql, &candidate.as_bytes()).await?;
        }
        let again = self.whose == Whose::Unfinished;
        for subject in condemned.subjects.clone() {
            note(tx, subject, self.now).await?;
            let chain = "SELECT seq FROM chain_1($1)";
            for event in numbers(tx, chain, &subject).await? {
                discard(tx, (event, again), &mut condemned).await?;
            }
        }
        for event in condemned.events.clone() {
            discard(tx, (event, again), &mut condemned).await?;
        }
        Ok(condemned)
    }
}

type Param<'a> = &'a (dyn tokio_postgres::types::ToSql + Sync);

async fn numbers(tx: &Tx<'_>, sql: &str, param: Param<'_>) -> Result<Vec<i64>, Fault> {
    let found = tx.rows(sql, &[param]).await?;
    found.iter().map(|row| get(row, 0)).collect()
}

async fn whom(tx: &Tx<'_>, whose: &Whose) -> Result<Vec<i64>, Fault> {
    match whose {
        Whose::Unfinished => {
            let sql = "SELECT subject FROM erased WHERE subject IS NOT NULL ORDER BY subject";
            let found = tx.rows(sql, &[]).await?;
            found.iter().map(|row| get(row, 0)).collect()
        }
        Whose::Candidate(candidate) => {
            let sql = "SELECT subject FROM candidate WHERE candidate = $1 ORDER BY subject";
            numbers(tx, sql, &candidate.as_bytes()).await
        }
        Whose::Subject { subject, source } => {
            let sources: Vec<Name> = match source {
                Some(source) => vec![source.clone()],
                None => all_names(tx).await?,
            };
            let key = &tx.identity.key;
            let digest = |source: &Name| key.digest(source, subject)[..DIGEST].to_vec();
            let digests: Vec<Vec<u8>> = sources.iter().map(digest).collect();
            let sql = "SELECT id FROM subject WHERE digest = ANY ($1) ORDER BY id";
            numbers(tx, sql, &digests).await
        }
    }
}

/// Names of sources are among them.
async fn all_names(tx: &Tx<'_>) -> Result<Vec<Name>, Fault> {
    let found = tx.rows("SELECT text FROM name", &[]).await?;
    found.iter().map(|row| rows::name(row, 0)).collect()
}

/// From here on no body of the subject is taken: whoever is about to write one waits for the subject's row, and then
/// finds the note.
async fn note(tx: &Tx<'_>, subject: i64, now: Timestamp) -> Result<(), Fault> {
    let sql = "SELECT n.text, s.subject FROM subject AS s LEFT JOIN name AS n ON n.id = s.source WHERE s.id = $1 FOR UPDATE OF s";
    for row in &tx.rows(sql, &[&subject]).await? {
        let digest = tx
            .identity
            .key
            .digest(get(row, 0)?, rows::text(get(row, 1)?)?);
        tx.execute(
            "INSERT INTO erased (hash, at, subject) VALUES ($1, $2, $3)
             ON CONFLICT (hash) DO UPDATE SET at = excluded.at, subject = excluded.subject",
            &[&digest.as_slice(), &now.as_millisecond(), &subject],
        )
        .await?;
    }
    Ok(())
}

/// Ends what waits of an event, so that no lane starts it, and notes who is sent it, or was. Where that was done before,
/// what ended without an answer may be under way still.
async fn discard(
    tx: &Tx<'_>,
    (event, again): (i64, bool),
    condemned: &mut Condemned,
) -> Result<(), Fault> {
    let sql = "SELECT e.id, d.number, n.text, d.state = 0, d.state IN (2, 5) FROM delivery AS d JOIN event AS e ON e.seq = d.event_seq
               LEFT JOIN name AS n ON n.id = d.destination WHERE d.event_seq = $1 ORDER BY d.number FOR UPDATE OF d";
    for row in &tx.rows(sql, &[&event]).await? {
        let name = rows::name(row, 2)?;
        let waits = get(row, 3)?;
        if waits {
            end(tx, (event, get(row, 1)?), REASON).await?;
        }
        if waits || again && get(row, 4)? {
            let id = rows::delivery_id(row, 0)?;
            condemned.deliveries.push((name.clone(), id));
        }
        if !condemned.destinations.contains(&name) {
            condemned.destinations.push(name);
        }
    }
    Ok(())
}

/// The second transaction.
pub(super) struct Erase {
    pub(super) condemned: Condemned,
    pub(super) now: Timestamp,
}

#[async_trait]
impl Change for Erase {
    type Answer = Erasure;

    async fn run(&self, tx: &Tx<'_>) -> Result<Erasure, Fault> {
        let mut erasure = Erasure {
            erased_at: Some(self.now),
            ..Erasure::default()
        };
        jobs::forget(tx, &named(tx, &self.condemned).await?, self.now).await?;
        let mut sent = Sent::default();
        for subject in &self.condemned.subjects {
            erase_subject(tx, *subject, &mut erasure, &mut sent).await?;
        }
        for event in &self.condemned.events {
            erase_event(tx, *event, &mut erasure, &mut sent).await?;
        }
        for destination in &self.condemned.destinations {
            let destination = tx.pools.name(destination).await?;
            let sql = "UPDATE lane SET reason = $2 WHERE destination = $1 AND reason <> ''";
            tx.execute(sql, &[&destination, &WORDS_ERASED]).await?;
        }
        erasure.sent_to = sent.told();
        Ok(erasure)
    }
}

/// Ids of the subjects and candidates.
async fn named(tx: &Tx<'_>, condemned: &Condemned) -> Result<Vec<String>, Fault> {
    let sql = "SELECT subject FROM subject WHERE id = ANY ($1)
               UNION SELECT candidate FROM candidate WHERE subject = ANY ($1)
               UNION SELECT candidate FROM event WHERE seq = ANY ($2) AND candidate IS NOT NULL";
    let found = tx
        .rows(sql, &[&condemned.subjects, &condemned.events])
        .await?;
    let text = |row| Ok(rows::text(get(row, 0)?)?.to_owned());
    found.iter().map(text).collect()
}

async fn erase_subject(
    tx: &Tx<'_>,
    subject: i64,
    erasure: &mut Erasure,
    sent: &mut Sent,
) -> Result<(), Fault> {
    tx.rows(
        "SELECT 1 FROM subject WHERE id = $1 FOR UPDATE",
        &[&subject],
    )
    .await?;
    for seq in numbers(tx, "SELECT seq FROM chain_1($1)", &subject).await? {
        erase_event(tx, seq, erasure, sent).await?;
    }
    let sql = "SELECT n.text, r.value FROM receipt AS r LEFT JOIN name AS n ON n.id = r.destination
               WHERE r.subject = $1 AND r.value IS NOT NULL ORDER BY n.text";
    for row in &tx.rows(sql, &[&subject]).await? {
        let value = rows::text(get(row, 1)?)?.to_owned();
        sent.receipt(&rows::name(row, 0)?, value);
    }
    let gone = numbers(tx, "SELECT forget_subject_1($1)", &subject).await?;
    erasure.subjects += rows::count(gone.into_iter().sum())?;
    let sql = "UPDATE erased SET subject = NULL WHERE subject = $1";
    tx.execute(sql, &[&subject]).await?;
    Ok(())
}

async fn erase_event(
    tx: &Tx<'_>,
    seq: i64,
    erasure: &mut Erasure,
    sent: &mut Sent,
) -> Result<(), Fault> {
    let sql = "SELECT n.text, count(*), min(a.at), max(a.at) FROM attempt AS a
               JOIN delivery AS d ON d.event_seq = a.event_seq AND d.number = a.number
               LEFT JOIN name AS n ON n.id = d.destination WHERE a.event_seq = $1 GROUP BY n.text ORDER BY n.text";
    for row in &tx.rows(sql, &[&seq]).await? {
        let attempts = rows::count(get(row, 1)?)?;
        let between = (rows::time(get(row, 2)?)?, rows::time(get(row, 3)?)?);
        erasure.attempts += attempts;
        sent.attempts(rows::name(row, 0)?, attempts, between);
    }
    let sql = "SELECT payloads, deliveries, events FROM delete_event_1($1)";
    for row in &tx.rows(sql, &[&seq]).await? {
        erasure.payloads += rows::count(get(row, 0)?)?;
        erasure.deliveries += rows::count(get(row, 1)?)?;
        erasure.events += rows::count(get(row, 2)?)?;
    }
    Ok(())
}
