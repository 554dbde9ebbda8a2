//! The table: rows of medians, ratios within a round, and what was aimed at.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::figures::Figures;
use super::{Effort, machine};

/// What a row aims at: a ratio to another contender, or a figure of the relay's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// `b` for the figure itself.
    against: char,
    more_is_better: bool,
    aim: f64,
    stretch: Option<f64>,
}

pub(crate) struct Report {
    effort: Effort,
    rows: Vec<Row>,
    missing: Vec<String>,
}

struct Row {
    name: String,
    unit: &'static str,
    by: BTreeMap<char, Figures>,
    goals: Vec<Goal>,
}

impl Goal {
    pub(crate) fn at_least(against: char, goal: f64, stretch: f64) -> Self {
        Self {
            against,
            more_is_better: true,
            aim: goal,
            stretch: Some(stretch),
        }
    }

    pub(crate) fn at_most(against: char, goal: f64, stretch: f64) -> Self {
        Self {
            against,
            more_is_better: false,
            aim: goal,
            stretch: Some(stretch),
        }
    }

    pub(crate) fn below(against: char, goal: f64) -> Self {
        Self {
            against,
            more_is_better: false,
            aim: goal,
            stretch: None,
        }
    }

    fn met(&self, figure: f64) -> &'static str {
        let reaches = |aim: f64| {
            if self.more_is_better {
                figure >= aim
            } else {
                figure <= aim
            }
        };
        match self.stretch {
            Some(stretch) if reaches(stretch) => "stretch reached",
            _ if reaches(self.aim) => "goal reached",
            _ => "MISSED",
        }
    }
}

impl Row {
    /// The relay's figure, or the median over rounds of its ratio to another's.
    fn figure(&self, against: char) -> Option<f64> {
        let own = self.by.get(&'b')?;
        if against == 'b' {
            return own.median();
        }
        own.ratios(self.by.get(&against)?).median()
    }
}

impl Report {
    pub(crate) fn new(effort: Effort) -> Self {
        Self {
            effort,
            rows: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// One sample of a contender, in the order of rounds.
    pub(crate) fn add(&mut self, name: &str, unit: &'static str, who: char, sample: f64) {
        eprintln!("{who}  {name}: {sample:.3} {unit}");
        self.row(name, unit).by.entry(who).or_default().push(sample);
    }

    /// Something cannot be measured on this machine.
    pub(crate) fn nothing(&mut self, why: &str) {
        eprintln!("{why}");
        self.missing.push(why.to_owned());
    }

    pub(crate) fn goal(&mut self, name: &str, goal: Goal) {
        let row = self.rows.iter_mut().find(|row| row.name == name);
        row.expect("the row was measured").goals.push(goal);
    }

    /// A row of its own for how two rows of the relay compare.
    pub(crate) fn compare(&mut self, name: &str, one: &str, other: &str) {
        let own = |name: &str| {
            let row = self.rows.iter().find(|row| row.name == name);
            row.and_then(|row| row.by.get(&'b'))
                .cloned()
                .unwrap_or_default()
        };
        let ratios = own(one).ratios(&own(other));
        self.row(name, "times").by.insert('b', ratios);
    }

    fn row(&mut self, name: &str, unit: &'static str) -> &mut Row {
        let place = self.rows.iter().position(|row| row.name == name);
        let place = place.unwrap_or_else(|| {
            let (name, by, goals) = (name.to_owned(), BTreeMap::new(), Vec::new());
            self.rows.push(Row {
                name,
                unit,
                by,
                goals,
            });
            self.rows.len() - 1
        });
        &mut self.rows[place]
    }

    pub(crate) fn table(&self) -> String {
        let Effort { rounds, cell, .. } = self.effort;
        let about = machine::describe().into_iter();
        let mut lines: Vec<String> = about
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        lines.push(format!(
            "medians of {rounds} alternating rounds, {cell:?} a cell; a bare hyper server, b the relay, c a bare reqwest loop, \
             d a bare server with one synced log\n"
        ));
        lines.push("| row | b | a | d | c | b/a | b/d | b/c | aimed at |".to_owned());
        lines.push("| --- | --- | --- | --- | --- | --- | --- | --- | --- |".to_owned());
        lines.extend(self.rows.iter().map(line));
        lines.extend(self.missing.clone());
        lines.join("\n")
    }

    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let medians: BTreeMap<String, Option<f64>> =
                row.by.iter().map(|(who, figures)| (who.to_string(), figures.median())).collect();
            let ratios: BTreeMap<String, Option<f64>> =
                ['a', 'c', 'd'].map(|who| (who.to_string(), row.figure(who))).into();
            let goals = row.goals.iter().map(|goal| {
                let met = row.figure(goal.against).map(|figure| goal.met(figure));
                json!({ "against": goal.against, "goal": goal.aim, "stretch": goal.stretch, "met": met })
            });
            json!({
                "name": row.name, "unit": row.unit, "medians": medians, "ratios": ratios,
                "goals": goals.collect::<Vec<_>>(),
            })
        });
        let about: BTreeMap<_, _> = machine::describe().into_iter().collect();
        json!({
            "about": about, "rounds": self.effort.rounds, "seconds": self.effort.cell.as_secs_f64(),
            "rows": rows.collect::<Vec<_>>(),
            "missing": self.missing,
        })
    }
}

fn line(row: &Row) -> String {
    let median = |who| {
        row.by
            .get(&who)
            .and_then(Figures::median)
            .map(number)
            .unwrap_or_default()
    };
    let ratio = |who| row.figure(who).map(number).unwrap_or_default();
    let goals: Vec<String> = row.goals.iter().map(|goal| said(row, goal)).collect();
    let own = format!("{} {}", median('b'), row.unit);
    let cells = [
        row.name.clone(),
        own,
        median('a'),
        median('d'),
        median('c'),
        ratio('a'),
        ratio('d'),
        ratio('c'),
        goals.join("; "),
    ];
    format!("| {} |", cells.join(" | "))
}

fn said(row: &Row, goal: &Goal) -> String {
    let Some(figure) = row.figure(goal.against) else {
        return "cannot be measured here".to_owned();
    };
    let stretch = goal
        .stretch
        .map(|stretch| format!(" ({})", number(stretch)))
        .unwrap_or_default();
    let against = if goal.against == 'b' {
        "b".to_owned()
    } else {
        format!("b/{}", goal.against)
    };
    let sign = if goal.more_is_better { "≥" } else { "≤" };
    format!(
        "{against} {sign} {}{stretch}: {}",
        number(goal.aim),
        goal.met(figure)
    )
}

fn number(value: f64) -> String {
    match value {
        _ if value >= 1000.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
