"""Freshness in the steady state: steady.py BIN TOPIC LAKE RATE SECONDS EVERY.

`producer` sends RATE events a second for SECONDS while `pipeline-c --every EVERY` runs. Its metrics are asked twice a
second how long ago the newest visible event was sent. Appends a line to $BENCH_RESULTS as `measure` does.
"""
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

binaries, topic, lake, rate, seconds, every = sys.argv[1:]
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    metrics = f"127.0.0.1:{free.getsockname()[1]}"
where = ["--brokers", os.environ["TEST_KAFKA_BROKERS"], "--registry", os.environ["TEST_REGISTRY_URL"], "--topic", topic]
with open(os.environ["BENCH_LOG"], "a") as log:
    pipeline = subprocess.Popen(
        [f"{binaries}/pipeline-c", *where, "--lake", lake, "--group", topic, "--every", every,
         "--metrics-listen", metrics, "--output", "json"],
        stdout=subprocess.PIPE, stderr=log, text=True,
    )  # fmt: skip
    count = int(rate) * int(seconds)
    producer = subprocess.Popen([f"{binaries}/producer", "events", *where, "--rate", rate, "--count", str(count)], stderr=log, stdout=log)


def freshness_s():
    try:
        page = urllib.request.urlopen(f"http://{metrics}/metrics", timeout=2).read().decode()
    except OSError:
        return None
    found = re.search(r"^tributary_freshness_seconds\S* (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else None


began, samples = time.monotonic(), []
while producer.poll() is None:
    time.sleep(0.5)
    samples.append(freshness_s())
wall = time.monotonic() - began
pipeline.terminate()
reports = [json.loads(line) for line in pipeline.stdout]
_, status, usage = os.wait4(pipeline.pid, 0)
seen = [sample for sample in samples if sample is not None]
read = sum(report["read"] for report in reports)
label = f"C, {int(rate):,} events/s, --every {every}: freshness {statistics.median(seen):.1f} s, at most {max(seen):.1f} s"
result = {
    "label": label,
    "exit": os.waitstatus_to_exitcode(status) or producer.returncode or int(read != count),
    "wall_s": round(wall, 3),
    "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
    "peak_mib": round(usage.ru_maxrss / 1024, 1),
    "services_cpu_s": {},
    "other_cores": 0,
    "read": read,
    "written": sum(report["written"] for report in reports),
}
print(json.dumps(result))
with open(os.environ["BENCH_RESULTS"], "a") as file:
    file.write(json.dumps(result) + "\n")
sys.exit(result["exit"])
