# Checks of what stands in deploy/, each by a tool of its own. Sourced by test.sh, which has `need`.
# shellcheck shell=bash

# A relay at work with traffic: what it shows is what `promtool` takes for metrics.
check_metrics() {
  need promtool prometheus
  need curl curl
  local relay=$PWD/target/debug/relay folder admin ingress
  folder=$(mktemp -d)
  cp relay.toml "$folder"
  local ports=(--override server.listen=127.0.0.1:0 --override admin.listen=127.0.0.1:0)
  (cd "$folder" && exec "$relay" serve --override log.format=json "${ports[@]}" 2>log) &
  local process=$!
  # shellcheck disable=SC2064 # these very values, when the shell ends for whatever reason
  trap "kill $process 2>/dev/null; rm -rf '$folder'" EXIT
  until grep -qs "relay is ready" "$folder/log"; do
    kill -0 $process || { cat "$folder/log"; return 1; }
    sleep 0.1
  done
  admin=$(grep -o '"admin":"[^"]*' "$folder/log" | cut -d'"' -f4)
  ingress=$(grep -o '"ingress":"[^"]*' "$folder/log" | cut -d'"' -f4)
  local sample
  for sample in collected submitted submitted-rich failed hostile-text submitted; do
    "$relay" send "$sample" --url "http://$ingress/hooks/jobmojito" >/dev/null
  done
  curl -s -d 'no json' "http://$ingress/hooks/jobmojito" >/dev/null
  curl -sf "http://$admin/metrics" >"$folder/metrics"
  grep -q '^relay_events_total{.*submitted' "$folder/metrics"
  grep -q '^relay_requests_refused_total{' "$folder/metrics"
  promtool check metrics <"$folder/metrics"
  kill $process
  wait $process
  rm -rf "$folder"
  trap - EXIT
}

check_alerts() {
  need promtool prometheus
  (cd deploy/prometheus && promtool check rules alerts.yml && promtool test rules alerts_test.yml &&
    promtool check config --syntax-only prometheus.yml)
}

check_systemd() {
  need systemd-analyze systemd
  need kill procps
  local unit=target/mojito-relay.service
  # `verify` wants the program to be there.
  sed "s#/usr/local/bin/relay#$PWD/target/debug/relay#" deploy/systemd/mojito-relay.service >$unit
  systemd-analyze verify $unit
  systemd-analyze security --offline=true --threshold=15 $unit >target/mojito-relay.security ||
    { cat target/mojito-relay.security; return 1; }
}

check_compose() {
  need docker-compose docker-compose
  local file
  for file in deploy/compose*/compose.yaml; do
    docker-compose -f "$file" config --quiet
  done
}

check_kubernetes() {
  local tools=target/tools/kubernetes file
  [ -d $tools/kubernetes_validate ] ||
    python3 -m pip install --quiet --target $tools kubernetes-validate==1.37.0
  for file in deploy/kubernetes*/*.yaml; do
    PYTHONPATH=$tools python3 -m kubernetes_validate --strict --quiet "$file"
  done
}
