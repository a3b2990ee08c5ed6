# Pipeline C. Sourced by ../run.
# Records of about 80 bytes (and a key of 36) in 4 partitions, timestamps in time order over 20 days.

case $SIZE in
  s1) EVENTS=400000 ;;
  s2) EVENTS=4000000 ;;
esac
PARTITIONS=4
TOPIC=bench_events_$SIZE
STEADY=bench_steady_$$
LAKE=s3://$TEST_S3_BUCKET/$TOPIC
FLOOR=$ROOT/target/benchmarks/floor
world() { "$PY" "$HERE/events/world.py" "$@"; }
produce() {
  "$BIN/producer" events --brokers "$TEST_KAFKA_BROKERS" --registry "$TEST_REGISTRY_URL" --topic "$TOPIC" "$@" >&2
}
job_c() {
  measured "$1" "$BIN/pipeline-c" --brokers "$TEST_KAFKA_BROKERS" --registry "$TEST_REGISTRY_URL" \
    --topic "$TOPIC" --group "$TOPIC" --lake "$LAKE" --output json
}
# Links the librdkafka that cargo has built, so that the floor and the pipeline read with the same code.
build_floor() {
  local build=$BIN/build source
  source=$(dirname "$(find "$build" -path '*rdkafka-sys*' -name librdkafka.a -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2)")
  mkdir -p "$FLOOR.include"
  ln -sfn "$source" "$FLOOR.include/librdkafka"
  cc -O2 -I"$FLOOR.include" "$HERE/events/floor.c" "$source/librdkafka.a" \
    "$(find "$build" -name libz.a | head -1)" "$(find "$build" -name libzstd.a | head -1)" -lm -lpthread -ldl -o "$FLOOR"
}

build_floor
if [ $KEEP = no ]; then trap 'world drop "$TOPIC"; world forget "$LAKE"; world forget "$LAKE-script"' EXIT; fi
if world make "$TOPIC" $PARTITIONS 2>/dev/null; then
  measured "producer, $EVENTS events to one broker" "$BIN/producer" events --brokers "$TEST_KAFKA_BROKERS" \
    --registry "$TEST_REGISTRY_URL" --topic "$TOPIC" --count $EVENTS \
    --from "$(date -u -d '-20 days' +%F)" --to "$(date -u +%F)"
fi

for _ in $(seq "$RUNS"); do
  world forget "$LAKE"
  job_c "C, all $EVENTS events"
  measured "floor: librdkafka reads and throws away" "$FLOOR" "$TEST_KAFKA_BROKERS" "$TOPIC" $PARTITIONS $EVENTS
  if [ $PEERS = yes ]; then
    world forget "$LAKE-script"
    measured "script C, 4 processes" "$PY" "$HERE/peers/events.py" "$TOPIC" "$TEST_S3_BUCKET/$TOPIC-script" $PARTITIONS
  fi
done
for _ in $(seq "$RUNS"); do
  produce --count 20000 --from "$(date -u -d yesterday +%F)" --to "$(date -u +%F)"
  job_c "C, 20,000 new events on the last date"
  job_c "C, nothing new"
done
for rate in 1000 10000; do
  world make "$STEADY" $PARTITIONS
  note "C, $rate events a second for a minute"
  "$PY" "$HERE/events/steady.py" "$BIN" "$STEADY" "$LAKE-steady" $rate 60 10s || echo "FAILED: steady state" >&2
  world drop "$STEADY"
  world forget "$LAKE-steady"
  STEADY=${STEADY}_
done
