#!/usr/bin/env bash
# What takes too long for scripts/test.sh, or wants a machine with nothing else to do: chance at length, outages and
# backlogs in full, attacks that are measured, fuzzing, the licences, the benchmark. All of it, or the parts that are named:
#   scripts/long.sh [simulation|outages|memory|lanes|abuse|fuzz|dependencies|bench]…
set -euo pipefail
cd "$(dirname "$0")/.."

simulation() { SIMULATION_SEEDS=${SEEDS:-10000} cargo test --release --locked --test simulation; }
outages() { cargo test --release --locked --test long -- outage; }
memory() { cargo test --release --locked --test long -- memory; }
lanes() { cargo test --release --locked --test long -- lanes; }
abuse() { cargo test --release --locked --test abuse -- --long; }
fuzz() { scripts/fuzz.sh "${SECONDS_EACH:-60}"; }
bench() { cargo bench --locked --bench gateway; }

# The advisories need a database that is fetched; the rest is judged offline.
dependencies() {
  local tools=$PWD/target/tools
  [ -x "$tools/bin/cargo-deny" ] || cargo install cargo-deny --locked --quiet --root "$tools"
  "$tools/bin/cargo-deny" --offline check bans licenses sources
}

all=(dependencies simulation outages memory lanes abuse fuzz bench)
for part in "${@:-${all[@]}}"; do
  declare -F "$part" >/dev/null || { echo "there is no part $part; there are: ${all[*]}"; exit 2; }
  started=$(date +%s)
  echo "== $part"
  "$part"
  echo "== $part: $(($(date +%s) - started)) s"
done
