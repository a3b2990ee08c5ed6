# The API. Sourced by ../run. Whatever --size: the sizes of the first users' load test (5,000 customers, 400,000
# transactions over the years, 400,000 events over 5 days), and 4,000,000 events of 50,000 customers over 30 days.
# Needs wrk (Debian: wrk).

DB=bench_api
SOURCE=${TEST_MYSQL_URL%/}/$DB
PROFILES=cassandra://$TEST_CASSANDRA/$DB?consistency=local_one
LAKE=s3://$TEST_S3_BUCKET/$DB
PATHS=$ROOT/target/benchmarks/paths
tables() { "$PY" "$HERE/tables/world.py" "$@"; }
topic() { "$PY" "$HERE/events/world.py" "$@"; }
# TOPIC COUNT CUSTOMERS DAYS: as many events in the lake of this name, unless they are there.
fill() {
  if topic make "$1" 4 2>/dev/null; then
    "$BIN/producer" events --brokers "$TEST_KAFKA_BROKERS" --registry "$TEST_REGISTRY_URL" --topic "$1" --count "$2" \
      --customers "$3" --from "$(date -u -d "-$(($4 - 1)) days" +%F)" --to "$(date -u -d tomorrow +%F)" >&2
  fi
  "$BIN/pipeline-c" --brokers "$TEST_KAFKA_BROKERS" --registry "$TEST_REGISTRY_URL" --topic "$1" --group "$1" \
    --lake "s3://$TEST_S3_BUCKET/$1" >&2
}
# LABEL KIND LAKE CUSTOMERS
load() {
  "$PY" "$HERE/api/paths.py" "$2" "$4" "$DB" >"$PATHS"
  "$PY" "$HERE/api/load.py" "$1" "$PATHS" "$BIN" "$PROFILES" "s3://$TEST_S3_BUCKET/$3" 5 30 || echo "FAILED: $1" >&2
}

command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 1; }
if [ $KEEP = no ]; then
  trap 'tables drop "$DB"; for t in $DB ${DB}_large; do topic drop $t; topic forget "s3://$TEST_S3_BUCKET/$t"; done' EXIT
fi
tables create "$DB"
if ! tables holds "$DB" 400000; then
  "$BIN/producer" seed --source "$SOURCE" --replace >&2
fi
"$BIN/pipeline-a" --source "$SOURCE" --profiles "$PROFILES" >&2
"$BIN/pipeline-b" --source "$SOURCE" --lake "$LAKE" >&2
fill "$DB" 400000 5000 5
fill "${DB}_large" 4000000 50000 30

for _ in $(seq "$RUNS"); do
  load "API, the four requests of the first load test" seed "$DB" 5000
  load "API, the same of random customers and days" random "$DB" 5000
  load "API, 4,000,000 events, of 20 customers" events "${DB}_large" 20
  load "API, 4,000,000 events, of any of 50,000 customers" events "${DB}_large" 50000
done
