//! The house stands as ARCHITECTURE.md says: who may name whom, and what may be named where.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Rooms, lowest floor first. The rules are one room; a room is a file or a folder of that name.
const FLOORS: [&[&[&str]]; 9] = [
    &[&["model"], &["clock"]],
    &[
        &["source", "route", "expr", "template", "retry"],
        &["store"],
        &["transport"],
        &["limiter"],
    ],
    &[&["doorbell"], &["telemetry"]],
    &[&["destination"]],
    &[&["intake"], &["dispatch"], &["upkeep"]],
    &[&["http"]],
    &[&["config"]],
    &[&["app"]],
    &[&["cli"], &["main", "lib"]],
];

/// Crates (or paths) that only some files may name.
const WALLS: [(&[&str], &[&str]); 10] = [
    (&["rusqlite"], &["src/store/sqlite"]),
    (
        &["tokio_postgres", "deadpool_postgres"],
        &["src/store/postgres"],
    ),
    (&["reqwest"], &["src/transport"]),
    (&["hyper", "hyper_util", "http_body_util"], &["src/http"]),
    (
        &["std::env::var", "std::env::vars"],
        &["src/config/environment.rs"],
    ),
    (&["anyhow"], &["src/cli"]),
    (
        &[
            "opentelemetry",
            "opentelemetry_sdk",
            "opentelemetry_otlp",
            "opentelemetry_http",
        ],
        &["src/telemetry/traces"],
    ),
    // It looks for its socket in the environment.
    (&["sd_notify"], &["src/cli/supervisor.rs"]),
    (&["governor"], &["src/limiter.rs"]),
    (&["println!", "eprintln!", "print!", "eprint!"], &[]),
];

/// What the rules, the model and the destinations do without.
const PURE: [&str; 7] = [
    "src/model",
    "src/source",
    "src/route",
    "src/template",
    "src/destination",
    "src/retry.rs",
    "src/expr.rs",
];
const IMPURE: [&str; 8] = [
    "tokio",
    "reqwest",
    "hyper",
    "rusqlite",
    "tokio_postgres",
    "rand",
    "crate::clock",
    "std::fs",
];

/// A file of the crate with its code, comments and texts blanked out, up to its tests.
struct File {
    path: String,
    code: String,
    lines: usize,
}

fn sources() -> Vec<File> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                files.push(read(&path));
            }
        }
    }
    files.retain(|file| !file.path.ends_with("/tests.rs") && !file.path.contains("/tests/"));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn read(path: &Path) -> File {
    let text = std::fs::read_to_string(path).unwrap();
    let own = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let code: Vec<&str> = own
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect();
    File {
        path: path.display().to_string(),
        code: code.join("\n"),
        lines: text.lines().count(),
    }
}

/// Floor and room of a module name.
fn place(name: &str) -> Option<(usize, usize)> {
    FLOORS.iter().enumerate().find_map(|(floor, rooms)| {
        let room = rooms.iter().position(|room| room.contains(&name))?;
        Some((floor, room))
    })
}

fn room_of(path: &str) -> &str {
    path.trim_start_matches("src/")
        .split(['/', '.'])
        .next()
        .unwrap_or_default()
}

/// Whether `code` names `word` as a path or a macro of its own, not as part of another name.
fn names(code: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.match_indices(word).any(|(at, _)| {
        let (before, rest) = code.split_at(at);
        let (before, after) = (
            before.chars().next_back(),
            rest.chars().nth(word.chars().count()),
        );
        let is_path = word.contains("::") || word.ends_with('!') || after == Some(':');
        !before.is_some_and(part_of_name) && is_path
    })
}

#[test]
fn a_room_names_only_rooms_on_lower_floors() {
    let mut broken = Vec::new();
    for file in sources() {
        let room = room_of(&file.path);
        let (floor, own) =
            place(room).unwrap_or_else(|| panic!("{} is in no room of the house", file.path));
        for used in file.code.split("crate::").skip(1) {
            let name: String = used
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let Some((other_floor, other)) = place(&name) else {
                continue;
            };
            let same_room = (other_floor, other) == (floor, own);
            if !same_room && other_floor >= floor {
                broken.push(format!(
                    "{} (floor {floor}) names {name} (floor {other_floor})",
                    file.path
                ));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn what_is_behind_a_wall_is_named_nowhere_else() {
    let mut broken = Vec::new();
    for file in sources() {
        for (words, allowed) in WALLS {
            let may = allowed.iter().any(|path| file.path.starts_with(path));
            for word in words.iter().filter(|word| !may && names(&file.code, word)) {
                broken.push(format!("{} names {word}; only {allowed:?} may", file.path));
            }
        }
        let pure = PURE.iter().any(|path| file.path.starts_with(path));
        for word in IMPURE.iter().filter(|word| pure && names(&file.code, word)) {
            broken.push(format!(
                "{} names {word}; rules decide over values alone",
                file.path
            ));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_file_stays_readable() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter(|file| file.lines > 600)
        .map(|file| format!("{}: {}", file.path, file.lines))
        .collect();
    assert!(long.is_empty(), "over 600 lines: {long:?}");
}

#[test]
fn architecture_md_is_short_and_names_every_room() {
    let text = std::fs::read_to_string("ARCHITECTURE.md").unwrap();
    let (house, _) = text.split_once("## Dependencies").unwrap();
    let lines = house.lines().count();
    assert!(lines <= 150, "{lines} lines before the dependencies");
    for file in sources() {
        let room = room_of(&file.path);
        assert!(
            room == "lib" || text.contains(room),
            "ARCHITECTURE.md does not name {room}"
        );
    }
}

#[test]
fn architecture_md_says_of_every_dependency_what_it_is_for() {
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap();
    let manifest: toml_edit::DocumentMut = manifest.parse().unwrap();
    let crates: BTreeSet<String> = ["dependencies", "dev-dependencies", "build-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(section)?.as_table_like())
        .flat_map(|table| table.iter().map(|(name, _)| name.to_owned()))
        .collect();
    let text = std::fs::read_to_string("ARCHITECTURE.md").unwrap();
    let (_, section) = text.split_once("## Dependencies").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let mut told = BTreeSet::new();
    for row in rows.skip(2) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, what] = cells[..] else {
            panic!("not two cells: {row}");
        };
        assert!(!what.is_empty(), "{name} is there for nothing");
        assert!(told.insert(name.to_owned()), "{name} twice");
    }
    assert_eq!(told, crates);
}

/// The workspace's lint covers every target of it; fuzz/ has to let libFuzzer's macro export a symbol.
#[test]
fn unsafe_code_is_forbidden_in_every_target() {
    let manifest = std::fs::read_to_string("Cargo.toml").unwrap();
    let manifest: toml_edit::DocumentMut = manifest.parse().unwrap();
    let lint = manifest["lints"]["rust"]["unsafe_code"].as_str();
    assert_eq!(lint, Some("forbid"));
    assert!(
        manifest.get("workspace").is_none(),
        "another crate of it needs the lint too"
    );
}
