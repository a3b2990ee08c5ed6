"""20 users at the API, cold and warm: load.py LABEL PATHS BIN PROFILES LAKE STARTS SECONDS.

PATHS is a file of paths to ask for. Cold: STARTS times the API is started and, as soon as it is ready, asked by 20
users at once, a path each. Warm: wrk with 20 connections for SECONDS, after 5 s that do not count; the API writes its
access log. Appends a line for each to $BENCH_RESULTS as `measure` does; their labels hold what was measured.
"""
import atexit
import http.client
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

USERS = 20
label, paths_file, binaries, profiles, lake, starts, seconds = sys.argv[1:]
paths = pathlib.Path(paths_file).read_text().split()
log = open(os.environ["BENCH_LOG"], "a")


def start():
    api = subprocess.Popen(
        [f"{binaries}/api", "--listen", "127.0.0.1:0", "--profiles", profiles, "--lake", lake],
        stdout=subprocess.PIPE, stderr=log, text=True,
    )  # fmt: skip
    atexit.register(api.kill)  # whatever happens here, it does not outlive the measurement
    address = api.stdout.readline().strip().removeprefix("listening on http://")
    while ask(address, "/readyz")[0] != 200:
        time.sleep(0.02)
    return api, address


def ask(address, path):
    connection = http.client.HTTPConnection(address, timeout=30)
    began = time.monotonic()
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status, (time.monotonic() - began) * 1000


def status(api, field):
    lines = pathlib.Path(f"/proc/{api.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def cpu_s(api):
    fields = pathlib.Path(f"/proc/{api.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def at_once(address, wanted):
    """Each path asked by a thread of its own; what each answered, and after how many milliseconds."""
    answers, barrier = [], threading.Barrier(len(wanted))

    def user(path):
        barrier.wait()
        answers.append((path, *ask(address, path)))

    users = [threading.Thread(target=user, args=[path]) for path in wanted]
    for thread in users:
        thread.start()
    for thread in users:
        thread.join()
    return answers


def keep(text, wall, cpu, peak_kib, failed):
    result = {"label": text, "exit": int(failed), "wall_s": wall, "cpu_s": round(cpu, 3)}
    result |= {"peak_mib": round(peak_kib / 1024, 1), "services_cpu_s": {}, "other_cores": 0}
    print(json.dumps(result), flush=True)
    with open(os.environ["BENCH_RESULTS"], "a") as file:
        file.write(json.dumps(result) + "\n")


answers, alone = [], []  # the last API stays, for the warm part
for nth in range(1, int(starts) + 1):
    api, address = start()
    alone.append((path := random.choice(paths), *ask(address, path)))
    api.terminate()
    api.wait()
    api, address = start()
    answers += at_once(address, random.sample(paths, USERS))
    if nth < int(starts):
        api.terminate()
        api.wait()
kinds = {}
for path, code, ms in answers:
    kinds.setdefault(path.split("/")[1] + "/…" * (path.count("/") - 1), []).append(ms)
slowest = ", ".join(f"{kind} {max(found):.0f}" for kind, found in sorted(kinds.items()))
failed = any(code != 200 for _, code, _ in answers + alone)
first = max(ms for _, _, ms in alone)
text = f"{label}, cold, {starts} starts: first request at most {first:.0f} ms, {USERS} at once at most ms: {slowest}"
keep(text, 0, cpu_s(api), status(api, "VmHWM"), failed)


def wrk(duration):
    script = pathlib.Path(__file__).with_name("mix.lua")
    command = ["wrk", "-t1", f"-c{USERS}", f"-d{duration}s", "--timeout", "30s", "-s", script, f"http://{address}", "--", paths_file]
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True, check=True).stdout
    log.write(said)
    return json.loads(said.splitlines()[-1])


wrk(5)
before = cpu_s(api)
found = wrk(seconds)
text = (
    f"{label}, warm, {USERS} users: {found['requests'] / found['seconds']:,.0f} requests/s, p50 {found['p50_ms']} ms, "
    f"p99 {found['p99_ms']} ms, at most {found['max_ms']} ms, {found['errors']} errors, "
    f"{found['bytes'] / found['seconds'] / 2**20:.0f} MiB/s"
)
keep(text, found["seconds"], cpu_s(api) - before, status(api, "VmHWM"), found["errors"])
api.terminate()
api.wait()
