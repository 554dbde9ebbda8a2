#!/usr/bin/env bash
# Fuzzes each target for so many seconds, or the named ones: scripts/fuzz.sh SECONDS [TARGET…]. The long form of what
# tests/it/fuzz.rs does in short. It wants a nightly toolchain; all it makes stays in target/.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=$1
shift
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(basename -s .rs fuzz/fuzz_targets/*.rs)

tools=$PWD/target/tools
[ -x "$tools/bin/cargo-fuzz" ] || cargo install cargo-fuzz --locked --quiet --root "$tools"
export PATH=$tools/bin:$PATH

for target in "${targets[@]}"; do
  # What is found goes to the first folder; what is worth keeping is minimised and copied by hand.
  mkdir -p "target/fuzz/corpus/$target"
  echo "== $target for $seconds s"
  # Without a sanitizer: there is no unsafe code of ours to watch, and it costs half the speed.
  cargo +nightly fuzz run --sanitizer none --target-dir target/fuzz "$target" "target/fuzz/corpus/$target" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 2>target/fuzz/"$target".log ||
    { tail -n 40 "target/fuzz/$target.log"; exit 1; }
  grep -E '^(stat::number_of_executed_units|stat::slowest_unit_time_sec|stat::peak_rss_mb)' "target/fuzz/$target.log"
done
