//! What this machine is, and what a process has used. Where the system cannot tell, there is no figure.

use std::process::Command;

/// The machine and the versions, one line each.
pub(crate) fn describe() -> Vec<(&'static str, String)> {
    let cpu = read("/proc/cpuinfo").and_then(|text| field(&text, "model name"));
    let memory = read("/proc/meminfo").and_then(|text| field(&text, "MemTotal"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = [Some(format!("{cores} cores")), cpu, memory];
    let machine: Vec<String> = machine.into_iter().flatten().collect();
    let system = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    vec![
        ("machine", machine.join(", ")),
        (
            "system",
            format!("{} {}", std::env::consts::OS, system.trim()),
        ),
        ("compiler", run("rustc", &["--version"]).unwrap_or_default()),
        ("relay", env!("CARGO_PKG_VERSION").to_owned()),
        ("crates", crates()),
        (
            "build",
            if cfg!(debug_assertions) {
                "debug: figures mean nothing"
            } else {
                "release"
            }
            .to_owned(),
        ),
    ]
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident(process: u32) -> Option<u64> {
    let status = read(&format!("/proc/{process}/status"))?;
    let kilobytes = field(&status, "VmRSS")?;
    let number = kilobytes.split(' ').next()?;
    Some(number.parse::<u64>().ok()? * 1024)
}

/// CPU time that a process has used, in seconds. Linux counts it in hundredths.
pub(crate) fn cpu(process: u32) -> Option<f64> {
    let stat = read(&format!("/proc/{process}/stat"))?;
    // The name of the program stands in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let ticks = |text: Option<&str>| text?.parse::<f64>().ok();
    Some((ticks(fields.next())? + ticks(fields.next())?) / 100.0)
}

fn crates() -> String {
    let lock = include_str!("../../Cargo.lock");
    let version = |name: &str| {
        let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
        Some(format!("{name} {}", rest.split('"').next()?))
    };
    let named = ["hyper", "reqwest", "tokio", "rusqlite"]
        .into_iter()
        .filter_map(version);
    named.collect::<Vec<_>>().join(", ")
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let (_, value) = line.split_once(':')?;
    Some(value.trim().to_owned())
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
