//! A store in a file that no relay runs on, read table by table to be moved elsewhere. Nothing in it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};
use tokio::sync::mpsc;

use super::fault::Fault;
use super::trust::Trust;
use super::{file, migrate};
use crate::clock::Clock;
use crate::store::transfer::{Cell, Floors, Kind, Origin, Row, Table};
use crate::store::{StoreError, StoreKey};

/// Rows of a batch, and about how many bytes.
const ROWS: usize = 2_000;
const BYTES: usize = 4 << 20;

/// Bytes of a subject's digest that a database knows it by.
const DIGEST: usize = 16;

/// The file, held against relays.
pub struct Source {
    path: PathBuf,
    /// Readers have it, too: one may outlast the move that asked.
    lock: Arc<file::Lock>,
    origin: Origin,
    floors: Floors,
}

impl Source {
    /// Takes the file as a relay would, but leaves it as it is. It blocks.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::try_open(path, clock).map_err(|error| file::named(path, error))
    }

    fn try_open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Unavailable("there is no such file".to_owned()));
        }
        let lock = Arc::new(file::lock(path)?);
        let path = lock.path.clone();
        if file::inspect(&path)? {
            let empty = "there is no store in it".to_owned();
            return Err(StoreError::Unavailable(empty));
        }
        let conn = file::connect(&path)?;
        if !migrate::is_current(&conn)? {
            return Err(StoreError::Unavailable(
                "an older relay wrote it; let this version serve it once, stop that, and move it then"
                    .to_owned(),
            ));
        }
        let all_is_in_it = file::write_back(&conn)?;
        Trust::new(&path, clock).examine(all_is_in_it)?;
        let (origin, floors) = identity(&conn)?;
        Ok(Self {
            path,
            lock,
            origin,
            floors,
        })
    }

    pub(in crate::store) fn origin(&self) -> Origin {
        self.origin.clone()
    }

    pub(in crate::store) fn floors(&self) -> Floors {
        self.floors
    }

    /// How many rows a table has.
    pub(in crate::store) async fn count(&self, table: &'static Table) -> Result<u64, StoreError> {
        let path = self.path.clone();
        let count = move || -> Result<u64, Fault> {
            let sql = format!("SELECT count(*) FROM {}", table.name);
            let count: i64 = file::open_reader(&path)?.query_row(&sql, [], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        };
        let counted = tokio::task::spawn_blocking(count).await;
        Ok(counted.map_err(|_| Fault::Unfit("a look at the store failed"))??)
    }

    /// A table's rows after one key, in order and in batches. Whoever stops listening ends it.
    pub(in crate::store) fn rows(
        &self,
        table: &'static Table,
        after: Option<Row>,
    ) -> mpsc::Receiver<Result<Vec<Row>, StoreError>> {
        let (give, take) = mpsc::channel(1);
        let (lock, path, key) = (
            Arc::clone(&self.lock),
            self.path.clone(),
            self.origin.key.clone(),
        );
        let read = move || {
            let walk = Walk {
                table,
                after: after.unwrap_or_default(),
                key,
            };
            if let Err(fault) = walk.read(&path, &give) {
                drop(give.blocking_send(Err(file::named(&path, fault.into()))));
            }
            drop(lock);
        };
        drop(tokio::task::spawn_blocking(read));
        take
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

fn identity(conn: &Connection) -> Result<(Origin, Floors), Fault> {
    let number = |key: &str| -> Result<i64, Fault> {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        let found = conn.query_row(sql, [key], |row| row.get(0)).optional()?;
        Ok(found.unwrap_or(0))
    };
    let sql = "SELECT value FROM meta WHERE key = 'store_key'";
    let key: [u8; 32] = conn.query_row(sql, [], |row| row.get(0))?;
    let origin = Origin {
        key: StoreKey::new(key),
        generation: number("generation")?,
    };
    let floors = Floors {
        event: number("event_floor")?,
        subject: number("subject_floor")?,
    };
    Ok((origin, floors))
}

/// One way through a table.
struct Walk {
    table: &'static Table,
    /// The key of the row before the first; empty for all.
    after: Row,
    key: StoreKey,
}

impl Walk {
    fn read(
        &self,
        path: &Path,
        give: &mpsc::Sender<Result<Vec<Row>, StoreError>>,
    ) -> Result<(), Fault> {
        let conn = file::open_reader(path)?;
        let mut statement = conn.prepare(&self.sql())?;
        let after = self.table.keys().iter().zip(&self.after);
        let after = after.map(|((column, _), cell)| bound(column, cell));
        let mut found = statement.query(params_from_iter(after))?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(row) = found.next()? {
            let row = self.row(row)?;
            bytes += row.iter().map(Cell::size).sum::<usize>();
            batch.push(row);
            if batch.len() >= ROWS || bytes >= BYTES {
                if give.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                    return Ok(());
                }
                bytes = 0;
            }
        }
        if !batch.is_empty() {
            drop(give.blocking_send(Ok(batch)));
        }
        Ok(())
    }

    fn sql(&self) -> String {
        let table = self.table;
        let columns = table.columns.iter().map(|(column, _)| match *column {
            // The source's name, of which and the subject the digest is made.
            "digest" => "(SELECT n.text FROM name AS n WHERE n.id = subject.source)",
            // One process counted, so there are none.
            "slot" => "0",
            other => other,
        });
        let columns: Vec<&str> = columns.collect();
        let keys = Table::names(table.keys());
        let after = if self.after.is_empty() {
            String::new()
        } else {
            let places = vec!["?"; self.after.len()].join(", ");
            format!("WHERE ({keys}) > ({places})")
        };
        let (columns, name) = (columns.join(", "), table.name);
        format!("SELECT {columns} FROM {name} {after} ORDER BY {keys}")
    }

    fn row(&self, row: &rusqlite::Row<'_>) -> Result<Row, Fault> {
        let columns = self.table.columns.iter().enumerate();
        let mut cells = columns
            .map(|(at, (_, kind))| cell(row.get_ref(at)?, *kind))
            .collect::<Result<Row, Fault>>()?;
        if self.table.name == "subject"
            && let [_, digest, _, Cell::Bytes(subject), ..] = cells.as_mut_slice()
        {
            let Cell::Bytes(source) = &*digest else {
                return Err(Fault::Damaged("a name is not there"));
            };
            let (source, subject) = (text(source)?, text(subject)?);
            let whole = self.key.digest(source, subject);
            *digest = Cell::Bytes(whole.iter().copied().take(DIGEST).collect());
        }
        Ok(cells)
    }
}

fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::Damaged("a text is not UTF-8"))
}

fn cell(value: ValueRef<'_>, kind: Kind) -> Result<Cell, Fault> {
    Ok(match (value, kind) {
        (ValueRef::Null, _) => Cell::Null,
        (ValueRef::Integer(number), Kind::Big | Kind::Int | Kind::Small | Kind::Flag) => {
            Cell::Number(number)
        }
        (ValueRef::Text(bytes) | ValueRef::Blob(bytes), Kind::Bytes) => Cell::Bytes(bytes.to_vec()),
        // Words that are only shown: text in a database cannot hold a zero character.
        (ValueRef::Text(bytes), Kind::Text) => Cell::Text(text(bytes)?.replace('\0', "\u{fffd}")),
        _ => return Err(Fault::Damaged("a column is of another type")),
    })
}

/// A key that was read before, as its column holds it: bytes and texts are never equal.
fn bound<'a>(column: &str, cell: &'a Cell) -> ToSqlOutput<'a> {
    match cell {
        Cell::Bytes(text) if column == "candidate" => ToSqlOutput::Borrowed(ValueRef::Text(text)),
        Cell::Null => ToSqlOutput::Owned(Value::Null),
        Cell::Number(number) => ToSqlOutput::Owned(Value::Integer(*number)),
        Cell::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        Cell::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::transfer::TABLES;

    #[test]
    fn every_table_and_column_of_a_file_is_moved() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate::migrate(&mut conn, [7; 32]).unwrap();
        let sql =
            "SELECT t.name, c.name FROM pragma_table_list AS t JOIN pragma_table_info(t.name) AS c
                   WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite_%' AND t.name <> 'meta'";
        let mut statement = conn.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let mut there = BTreeMap::<String, Vec<String>>::new();
        for row in rows.unwrap() {
            let (table, column) = row.unwrap();
            there.entry(table).or_default().push(column);
        }
        let mut moved = BTreeMap::<String, Vec<String>>::new();
        for table in TABLES {
            let columns = table.columns.iter().map(|(column, _)| *column);
            let columns = columns.filter(|column| *column != "slot");
            // Each store finds a subject by a part of the same digest.
            let columns = columns.map(|column| if column == "digest" { "hash" } else { column });
            let columns = columns.map(str::to_owned).collect();
            moved.insert(table.name.to_owned(), columns);
        }
        for columns in there.values_mut().chain(moved.values_mut()) {
            columns.sort();
        }
        assert_eq!(moved, there);
    }
}
