//! What a command works with inside a write transaction: the connection, the numbers that are given
//! out, the dictionary of names, and the counts that change. Nothing here outlives a rollback.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::fault::Fault;
use super::migrate::Identity;
use super::{kept, rows};
use crate::model::{Kept, Name, State};

/// What the writer remembers from transaction to transaction.
pub(super) struct Memory {
    identity: Identity,
    names: HashMap<Name, i64>,
    kept: HashMap<Kept, i64>,
    next_seq: i64,
    next_subject: i64,
    tally: HashMap<(i64, u8), i64>,
    /// When sources were heard since the last commit.
    heard: HashMap<i64, i64>,
    waiting: i64,
    /// Some subject was erased.
    erased: bool,
}

/// One write transaction, shared by the commands of a batch.
pub(super) struct Batch<'a> {
    pub(super) conn: &'a Connection,
    memory: &'a mut Memory,
}

impl Memory {
    pub(super) fn load(conn: &Connection, identity: Identity) -> Result<Self, Fault> {
        let next = |table: &str, floor: &str| -> Result<i64, Fault> {
            let highest: i64 = conn.query_row(
                &format!(
                    "SELECT max(
                         coalesce((SELECT max(rowid) FROM {table}), 0),
                         coalesce((SELECT value FROM meta WHERE key = ?1), 0))"
                ),
                [floor],
                |row| row.get(0),
            )?;
            Ok(highest + 1)
        };
        Ok(Self {
            identity,
            names: HashMap::new(),
            kept: HashMap::new(),
            next_seq: next("event", "event_floor")?,
            next_subject: next("subject", "subject_floor")?,
            tally: HashMap::new(),
            heard: HashMap::new(),
            waiting: conn.query_row(
                "SELECT coalesce(sum(count), 0) FROM tally WHERE state = ?1",
                [rows::state_code(State::Waiting)],
                |row| row.get(0),
            )?,
            erased: conn.query_row("SELECT EXISTS (SELECT 1 FROM erased)", [], |row| row.get(0))?,
        })
    }

    /// Writes the counts that changed and who was heard, as the last thing before a commit; answers how many
    /// deliveries wait once it is committed.
    pub(super) fn flush(&mut self, conn: &Connection) -> Result<i64, Fault> {
        let mut waiting = self.waiting;
        for ((destination, state), delta) in self.tally.drain().filter(|(_, delta)| *delta != 0) {
            conn.prepare_cached(
                "INSERT INTO tally (destination, state, count) VALUES (?1, ?2, ?3)
                 ON CONFLICT (destination, state) DO UPDATE SET count = count + excluded.count",
            )?
            .execute(params![destination, state, delta])?;
            if state == rows::state_code(State::Waiting) {
                waiting += delta;
            }
        }
        for (source, at) in self.heard.drain() {
            conn.prepare_cached(
                "INSERT INTO heard (source, at) VALUES (?1, ?2)
                 ON CONFLICT (source) DO UPDATE SET at = max(at, excluded.at)",
            )?
            .execute([source, at])?;
        }
        Ok(waiting)
    }

    pub(super) fn committed(&mut self, waiting: i64) {
        self.waiting = waiting;
    }

    /// Forgets what was rolled back. Numbers given out stay used: gaps in them harm nobody.
    pub(super) fn rolled_back(&mut self) {
        self.names.clear();
        self.kept.clear();
        self.tally.clear();
        self.heard.clear();
    }

    pub(super) fn waiting(&self) -> i64 {
        self.waiting
    }
}

impl<'a> Batch<'a> {
    pub(super) fn new(conn: &'a Connection, memory: &'a mut Memory) -> Self {
        Self { conn, memory }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.memory.identity
    }

    /// The number of a name, given out when it is new.
    pub(super) fn name(&mut self, name: &Name) -> Result<i64, Fault> {
        if let Some(id) = self.memory.names.get(name) {
            return Ok(*id);
        }
        let known = self
            .conn
            .prepare_cached("SELECT id FROM name WHERE text = ?1")?
            .query_row([&**name], |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => id,
            None => self
                .conn
                .prepare_cached("INSERT INTO name (text) VALUES (?1)")?
                .insert([&**name])?,
        };
        self.memory.names.insert(name.clone(), id);
        Ok(id)
    }

    /// The number of a set of kept fields, likewise.
    pub(super) fn kept(&mut self, kept: &Kept) -> Result<i64, Fault> {
        if let Some(id) = self.memory.kept.get(kept) {
            return Ok(*id);
        }
        let id = kept::number(self.conn, kept)?;
        self.memory.kept.insert(kept.clone(), id);
        Ok(id)
    }

    pub(super) fn next_seq(&mut self) -> i64 {
        self.memory.next_seq += 1;
        self.memory.next_seq - 1
    }

    pub(super) fn next_subject(&mut self) -> i64 {
        self.memory.next_subject += 1;
        self.memory.next_subject - 1
    }

    /// Some subject was erased, so each must be looked up.
    pub(super) fn is_anybody_erased(&self) -> bool {
        self.memory.erased
    }

    pub(super) fn somebody_is_erased(&mut self) {
        self.memory.erased = true;
    }

    /// Writes something, so that the commit has to reach the disk.
    pub(super) fn probe(&self) -> Result<(), Fault> {
        self.conn
            .prepare_cached("UPDATE meta SET value = value + 1 WHERE key = 'probe'")?
            .execute([])?;
        Ok(())
    }

    /// Ends a delivery of `destination` that was not under way: it goes `from` one state to another.
    pub(super) fn end(
        &mut self,
        (seq, number): (i64, u16),
        destination: i64,
        (from, to): (State, State),
        reason: &str,
    ) -> Result<(), Fault> {
        self.conn
            .prepare_cached(
                "UPDATE delivery SET state = ?3, due_at = NULL, last_error = ?4
                 WHERE event_seq = ?1 AND number = ?2",
            )?
            .execute(params![seq, number, rows::state_code(to), reason])?;
        self.count_moved(destination, from, to);
        Ok(())
    }

    /// An event of a source was received at this time, in milliseconds.
    pub(super) fn hear(&mut self, source: i64, at: i64) {
        let heard = self.memory.heard.entry(source).or_insert(at);
        *heard = at.max(*heard);
    }

    /// Counts a delivery that came into being.
    pub(super) fn count_new(&mut self, destination: i64, state: State) {
        self.count(destination, state, 1);
    }

    /// Counts a delivery that went from one state to another.
    pub(super) fn count_moved(&mut self, destination: i64, from: State, to: State) {
        self.count(destination, from, -1);
        self.count(destination, to, 1);
    }

    /// Counts a delivery that is gone from the store.
    pub(super) fn count_gone(&mut self, destination: i64, from: State) {
        self.count(destination, from, -1);
    }

    fn count(&mut self, destination: i64, state: State, delta: i64) {
        let key = (destination, rows::state_code(state));
        *self.memory.tally.entry(key).or_default() += delta;
    }
}

/// Reads what [`Batch::probe`] wrote.
pub(super) fn probed(conn: &Connection) -> Result<(), Fault> {
    conn.prepare_cached("SELECT value FROM meta WHERE key = 'probe'")?
        .query_row([], |row| row.get::<_, i64>(0))?;
    Ok(())
}
