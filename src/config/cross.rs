//! Checks over the whole configuration: what can never be reached, and what nothing uses.

use std::collections::BTreeSet;

use super::locate::index;
use super::reading::Reading;
use super::routes::Known;
use crate::expr::Expression;
use crate::model::{EventType, Name};
use crate::route::{Glob, Route};

/// Routes as read: None where one could not be. `alerts` are destinations that are told by the relay itself.
pub(super) fn check(
    reading: &Reading<'_>,
    routes: &[Option<Route>],
    known: &Known<'_>,
    alerts: &[Name],
) {
    duplicates(reading, routes);
    unreachable(reading, routes, known);
    if routes.iter().all(Option::is_some) {
        unused(reading, routes, known, alerts);
    }
}

fn duplicates(reading: &Reading<'_>, routes: &[Option<Route>]) {
    let mut seen = BTreeSet::new();
    for (at, route) in routes.iter().enumerate() {
        let Some(route) = route else { continue };
        if !seen.insert(route.name.clone()) {
            let key = format!("{}.name", index("routes", at));
            let problem = format!("another route is named \"{}\" too", route.name);
            let hint = "give each route a name of its own";
            reading.report(reading.locator.error(&key, problem).hint(hint));
        }
    }
}

fn unreachable(reading: &Reading<'_>, routes: &[Option<Route>], known: &Known<'_>) {
    for (at, route) in routes.iter().enumerate() {
        let Some(route) = route else { continue };
        let wider: Vec<&Route> = routes
            .iter()
            .take(at)
            .flatten()
            .filter(|above| asks_no_more(above, route) && covers(above, route, known))
            .collect();
        let key = index("routes", at);
        if let Some(wall) = wider.iter().find(|above| above.stop) {
            let problem = format!(
                "\"{}\" can never be reached: \"{}\" above takes all its events and stops",
                route.name, wall.name
            );
            let hint = "move it above that one, or take `stop` out there";
            reading.report(reading.locator.error(&key, problem).hint(hint));
        } else {
            shadowed(reading, &key, route, &wider);
        }
    }
}

/// A destination belongs to the first route that names it: where all of them are named before, for all
/// that a route takes, only its `stop` still means something.
fn shadowed(reading: &Reading<'_>, key: &str, route: &Route, wider: &[&Route]) {
    let namer = |to: &Name| wider.iter().find(|above| above.to.contains(to));
    let namers: Option<BTreeSet<&str>> =
        route.to.iter().map(|to| Some(&*namer(to)?.name)).collect();
    let Some(namers) = namers.filter(|_| !route.stop && !route.to.is_empty()) else {
        return;
    };
    let names: Vec<String> = namers.iter().map(|name| format!("\"{name}\"")).collect();
    let problem = format!(
        "\"{}\" changes nothing: {} above {} all its events to the same destinations",
        route.name,
        names.join(" and "),
        if names.len() == 1 { "sends" } else { "send" },
    );
    let hint = "take it out, or move it above if its `with` is to count";
    reading.report(reading.locator.warning(key, problem).hint(hint));
}

/// Whether `wide` lets through all that `route` does, as far as conditions can be compared: it has none,
/// or the same.
fn asks_no_more(wide: &Route, route: &Route) -> bool {
    let fields = |wide: &Route, route: &Route| {
        !route.changed.is_empty()
            && route
                .changed
                .iter()
                .all(|field| wide.changed.contains(field))
    };
    let text = |route: &Route| route.when.as_ref().map(|when| when.text().to_owned());
    let reads_with = |when: &Expression| when.looks_at().iter().any(|path| path[0] == "with");
    let same_with = wide.with == route.with || !wide.when.as_ref().is_some_and(reads_with);
    let same_when = text(wide) == text(route) && same_with;
    (wide.changed.is_empty() || fields(wide, route))
        && (wide.first || !route.first)
        && (wide.when.is_none() || same_when)
}

fn covers(wall: &Route, route: &Route, known: &Known<'_>) -> bool {
    let hears = |name: &str| {
        let listed = wall.from.as_ref();
        listed.is_none_or(|from| from.iter().any(|known| **known == *name))
    };
    let sources = match &route.from {
        Some(from) => from.iter().all(|name| hears(name)),
        None => known.sources.iter().all(|source| hears(source.name)),
    };
    let takes = |glob: &Glob| wall.events.iter().any(|wider| includes(wider, glob));
    sources && route.events.iter().all(takes)
}

/// Whether `wider` matches all that `glob` does: if it matches the glob with a character in place of
/// each `*` that it cannot spell, then only its own `*` can have taken that character.
fn includes(wider: &Glob, glob: &Glob) -> bool {
    let sample = glob.as_str().replace('*', "\u{0}");
    wider.matches(&EventType::new(&sample))
}

fn unused(reading: &Reading<'_>, routes: &[Option<Route>], known: &Known<'_>, alerts: &[Name]) {
    let doubt = |key: String, problem: &str, hint: &str| {
        if reading.has_error(&key) {
            return;
        }
        reading.report(reading.locator.warning(&key, problem).hint(hint));
    };
    if known.sources.is_empty() {
        doubt(
            "sources".to_owned(),
            "there is no source, so nothing can be sent to the relay",
            "add [sources.jobmojito]",
        );
    }
    if routes.is_empty() {
        doubt(
            "routes".to_owned(),
            "there is no route, so events are kept and none is delivered",
            "add [[routes]]",
        );
        return;
    }
    let routes = || routes.iter().flatten();
    for source in &known.sources {
        let heard = routes().any(|route| {
            let listed = route.from.as_ref();
            listed.is_none_or(|from| from.iter().any(|name| **name == *source.name))
        });
        if !heard {
            doubt(
                format!("sources.{}", source.name),
                "no route takes events from this source",
                "add it to a route's `from`",
            );
        }
    }
    for name in &known.destinations {
        let alerted = alerts.iter().any(|to| **to == **name);
        if !alerted && !routes().any(|route| route.to.iter().any(|to| **to == **name)) {
            doubt(
                format!("destinations.{name}"),
                "no route leads to this destination",
                "add it to a route's `to`, or take it out",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_includes_what_it_matches_whatever_the_stars_stand_for() {
        let check = |wider: &str, glob: &str, expect: bool| {
            assert_eq!(
                includes(&Glob::new(wider), &Glob::new(glob)),
                expect,
                "{wider} {glob}"
            );
        };
        check("*", "interview.*", true);
        check("interview.*", "interview.failed", true);
        check("interview.*", "interview.*", true);
        check("i*.*d", "interview.*ed", true);
        check("interview.*", "*", false);
        check("interview.failed", "interview.*", false);
        check("*.a*", "*.*a*", false);
    }
}
