# Pipelines A and B. Sourced by ../run.
# Customers buy alike often (`--popularity even`): the heavy case for B, about half as many summaries as transactions.

DB=bench_$SIZE
SOURCE=${TEST_MYSQL_URL%/}/$DB
PROFILES=cassandra://$TEST_CASSANDRA/$DB?consistency=local_one
LAKE=s3://$TEST_S3_BUCKET/$DB
world() { "$PY" "$HERE/tables/world.py" "$@"; }
job_a() { measured "$1" "$BIN/pipeline-a" --source "$SOURCE" --profiles "$PROFILES" --output json; }
job_b() { measured "$1" "$BIN/pipeline-b" --source "$SOURCE" --lake "$LAKE" --output json; }
# 2,000 rows on the table's last two days.
append() { "$BIN/producer" append --source "$SOURCE" --per-day 1000 --popularity even >&2; }

if [ $KEEP = no ]; then trap 'world drop "$DB"' EXIT; fi
world create "$DB"
if ! world holds "$DB" "$TRANSACTIONS"; then
  "$BIN/producer" seed --source "$SOURCE" --customers "$CUSTOMERS" --products "$PRODUCTS" \
    --transactions "$TRANSACTIONS" --popularity even --replace \
    --from "$(date -u -d "-$((DAYS - 2)) days" +%F)" --to "$(date -u -d tomorrow +%F)" >&2
  world settle "$DB"
fi

for _ in $(seq "$RUNS"); do
  world forget "$DB" a
  job_a "A, all $TRANSACTIONS rows"
  world forget "$DB" b
  job_b "B, all $TRANSACTIONS rows, $DAYS dates"
  if [ $PEERS = yes ]; then
    measured "script A, all" "$PY" "$HERE/peers/profiles.py" "$SOURCE" "$TEST_CASSANDRA" "$DB"
    measured "script B, all" "$PY" "$HERE/peers/summaries.py" "$SOURCE" "$TEST_S3_BUCKET/$DB-script"
    if command -v mariadb >/dev/null; then
      measured "floor: the mariadb client reads the table" sh -c "mariadb $(world client "$DB") --quick -BN -e \
        'SELECT txn_id, customer_id, product_id, qty, amount, txn_timestamp FROM transactions' >/dev/null"
    fi
  fi
done
for _ in $(seq "$RUNS"); do
  append
  job_a "A, 2,000 new rows"
  job_b "B, 2,000 new rows on two dates"
  job_a "A, nothing new"
  job_b "B, nothing new"
done
world cover "$DB"
world settle "$DB"
for _ in $(seq "$RUNS"); do
  append
  job_a "A, 2,000 new rows, with a covering index"
done
