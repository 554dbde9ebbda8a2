//! A whole store moved from a file into a database: copied in order and in batches, so that a move that was broken off
//! goes on where it was; then compared, and only then of use.

mod table;

pub(in crate::store) use table::{Cell, Kind, Row, Sum, TABLES, Table};

use super::postgres::Target;
use super::sqlite::Source;
use super::{StoreError, StoreKey};

/// Which content a store has: that of a key, as it was when the file was opened for the `generation`th time. Nothing
/// changes between two openings.
#[derive(Clone, Debug)]
pub(in crate::store) struct Origin {
    pub(in crate::store) key: StoreKey,
    pub(in crate::store) generation: i64,
}

/// Numbers that were given out and must not be given again, whether or not their rows are there.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Floors {
    pub(in crate::store) event: i64,
    pub(in crate::store) subject: i64,
}

/// What a move is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    Copying,
    Comparing,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    pub doing: Doing,
    pub table: &'static str,
    /// Rows of all tables, of so many.
    pub done: u64,
    pub of: u64,
}

/// What was moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transferred {
    /// How many rows each table has.
    pub rows: Vec<(&'static str, u64)>,
    /// How many of all were there from an earlier try.
    pub before: u64,
}

impl Transferred {
    /// The rows of one table.
    pub fn of(&self, table: &str) -> u64 {
        let found = self.rows.iter().find(|(name, _)| *name == table);
        found.map_or(0, |(_, rows)| *rows)
    }

    /// The rows of all.
    pub fn total(&self) -> u64 {
        self.rows.iter().map(|(_, rows)| rows).sum()
    }
}

/// Moves the store of `from` to `to`, where nothing is yet, or a part of this very store. Tells every batch.
pub async fn transfer(
    from: &Source,
    to: &mut Target,
    tell: &mut (dyn FnMut(Stage) + Send),
) -> Result<Transferred, StoreError> {
    to.begin(&from.origin()).await?;
    let mut moved = Transferred::default();
    for table in TABLES {
        moved.rows.push((table.name, from.count(table).await?));
    }
    let total = moved.total();
    let mut stage = Stage {
        doing: Doing::Copying,
        table: "",
        done: 0,
        of: total,
    };
    for table in TABLES {
        stage.table = table.name;
        moved.before += copy(from, to, table, (&mut stage, tell)).await?;
    }
    stage = Stage {
        doing: Doing::Comparing,
        table: "",
        done: 0,
        of: 2 * total,
    };
    for table in TABLES {
        stage.table = table.name;
        compare(from, to, table, (&mut stage, tell)).await?;
    }
    to.finish(from.floors()).await?;
    Ok(moved)
}

type Telling<'a> = (&'a mut Stage, &'a mut (dyn FnMut(Stage) + Send));

/// Copies what is not there yet; answers how many rows were.
async fn copy(
    from: &Source,
    to: &Target,
    table: &'static Table,
    (stage, tell): Telling<'_>,
) -> Result<u64, StoreError> {
    let (last, before) = to.reached(table).await?;
    stage.done += before;
    tell(*stage);
    let mut batches = from.rows(table, last);
    while let Some(batch) = batches.recv().await {
        let batch = batch?;
        to.put(table, &batch).await?;
        stage.done += batch.len() as u64;
        tell(*stage);
    }
    Ok(before)
}

/// Refuses a table that is not on both sides the same; then the next try begins anew.
async fn compare(
    from: &Source,
    to: &Target,
    table: &'static Table,
    (stage, tell): Telling<'_>,
) -> Result<(), StoreError> {
    let (begun, mut read) = (stage.done, Sum::default());
    let mut batches = from.rows(table, None);
    while let Some(batch) = batches.recv().await {
        batch?.iter().for_each(|row| read.add(row));
        stage.done = begun + read.rows;
        tell(*stage);
    }
    let begun = stage.done;
    let written = to
        .sum(table, &mut |rows| {
            stage.done = begun + rows;
            tell(*stage);
        })
        .await?;
    stage.done = begun + written.rows;
    if read.is_that_of(&written) {
        return Ok(());
    }
    to.begin_anew().await?;
    Err(StoreError::Corrupt(format!(
        "the table {} is not the same on both sides, {} rows here and {} there; run the command again, it begins anew",
        table.name, read.rows, written.rows
    )))
}
