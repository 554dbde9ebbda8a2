# Runs a PostgreSQL of its own in a folder of its own, until its standard input ends: so it goes with the test binary,
# however that ends. It is started and stopped by a line each. Says `ready` once that is done.
set -eu
folder=$1 port=$2 sync=$3
PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
# It refuses to run as root.
as=""
if [ "$(id -u)" = 0 ]; then
  as="setpriv --reuid=postgres --regid=postgres --clear-groups"
  chown postgres:postgres "$folder"
fi
cd "$folder"
control() { $as pg_ctl -D "$folder/data" -w -t 300 -l "$folder/log" "$@" </dev/null >>"$folder/control" 2>&1; }
trap 'control -m immediate stop || true; rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT PIPE TERM
# Nothing of it has to outlive the tests, which wait for no disk.
$as initdb -D "$folder/data" -U relay -A trust -E UTF8 --locale=C -N --no-instructions </dev/null >"$folder/control" 2>&1
$as tee -a "$folder/data/postgresql.conf" >/dev/null <<END
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$folder'
fsync = $sync
full_page_writes = $sync
max_connections = 400
shared_buffers = 64MB
max_wal_size = 256MB
END
echo ready
while read -r line; do
  case $line in
    stop) control -m immediate stop || true ;;
    start) control start ;;
  esac
  echo ready
done
