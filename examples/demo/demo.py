"""Loads a real data set through three python-kv services while the leader is killed with -9 and restarted, then proves
that the three copies are equal and that no acknowledged write is missing. Run by `make demo`."""

import argparse
import pathlib
import shutil
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from cluster import Client, Cluster, Failed, GaveUp, Service, stop_on_signals, wait_until
from records import collect

WORKERS_PER_SERVICE = 8


class Load:
    """Writes each record through one of the services and remembers what was acknowledged, and by which."""

    def __init__(self, records, clients):
        self.work, self.total, self.clients = iter(list(records.items())), len(records), clients
        self.lock, self.stopped = threading.Lock(), False
        self.acknowledged, self.failed, self.problems = {}, 0, []
        self.last_acknowledged, self.longest_pause_seconds = None, 0.0
        self.threads = [
            threading.Thread(target=self.run, args=(k,), daemon=True)
            for _ in range(WORKERS_PER_SERVICE)
            for k in range(len(clients))
        ]

    def run(self, k):
        while not self.stopped:
            with self.lock:
                key, value = next(self.work, (None, None))
            if key is None:
                return
            try:
                self.clients[k].put(key, value)
            except (Failed, GaveUp) as error:
                with self.lock:
                    self.failed += 1
                    self.problems.append(f"{key}: {error}")
            else:
                with self.lock:
                    self.acknowledged[key] = (value, k)
                    now = time.monotonic()
                    self.longest_pause_seconds = max(self.longest_pause_seconds, now - (self.last_acknowledged or now))
                    self.last_acknowledged = now

    def running(self):
        return any(thread.is_alive() for thread in self.threads)

    def done(self):
        with self.lock:
            return len(self.acknowledged) + self.failed


def progress(text):
    """A line that overwrites itself; only on a terminal."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)


def say(text):
    progress("")
    print(text, flush=True)


def load_with_kills(cluster, load, kills):
    """Runs the load, and kills the leader at equal shares of it. Returns how many times the leader was killed."""
    killed, restart, begun = 0, None, time.monotonic()
    for thread in load.threads:
        thread.start()
    with ThreadPoolExecutor(1) as pool:
        while load.running():
            done = load.done()
            progress(f"{done} of {load.total} records, {killed} of {kills} leaders killed")
            due = killed < kills and done >= load.total * (killed + 1) // (kills + 1)
            if due and (restart is None or restart.done()):
                if restart is not None:
                    restart.result()
                leader, pid = cluster.kill_leader()
                killed += 1
                say(f"  {time.monotonic() - begun:.1f} s, {done} records: killed {leader}, the leader, process {pid}")
                restart = pool.submit(cluster.wait_restarted, leader, pid)
            time.sleep(0.05)
        if restart is not None:
            restart.result()
    return killed


def read_back(load, clients):
    """Reads every acknowledged record from a service that did not write it. Returns the missing and wrong keys."""
    count, lock, wrong = 0, threading.Lock(), []

    def check(record):
        nonlocal count
        key, (value, k) = record
        found, _ = clients[(k + 1) % len(clients)].get(key)
        with lock:
            count += 1
            if found != value:
                wrong.append(key)
            if count % 100 == 0:
                progress(f"{count} of {len(load.acknowledged)} acknowledged records read back")

    with ThreadPoolExecutor(WORKERS_PER_SERVICE * len(clients)) as pool:
        for _ in pool.map(check, load.acknowledged.items()):
            pass
    return wrong


def settle(clients):
    """The status of each service, once all have applied the same index."""
    found = []

    def equal():
        found[:] = [client.status() for client in clients]
        return len({status["applied"] for status in found}) == 1

    try:
        wait_until("services that have applied the same index", equal, 30)
    except Failed as error:
        say(str(error))
    return found


def run(options, folder):
    records = collect(options.records)
    if len(records) < options.records:
        raise Failed(f"only {len(records)} records found, {options.records} are needed")
    say(f"{len(records)} records: paths and blobs of this repository's history and of the packages installed here")
    cluster = Cluster(folder / "nodes", options.base_port)
    services = [Service(cluster, folder, k) for k in range(3)]
    try:
        cluster.start()
        for service in services:
            service.start()
        say(f"3 nodes at {', '.join(cluster.addresses)}")
        say(f"3 services at {', '.join(f'127.0.0.1:{service.port}' for service in services)}")
        return load_and_check(options, cluster, [Client(service) for service in services], records)
    finally:
        # From here on Ctrl-C would only leave something running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        progress("stopping")
        for service in services:
            service.stop()
        cluster.stop()
        progress("")


def load_and_check(options, cluster, clients, records):
    load = Load(records, clients)
    begun = time.monotonic()
    try:
        killed = load_with_kills(cluster, load, options.kills)
    finally:
        load.stopped = True
    seconds = time.monotonic() - begun
    retried = sum(client.retried for client in clients)
    missing = read_back(load, clients)
    statuses = settle(clients)

    say(f"loaded in {seconds:.1f} s through {len(clients)} services while the leader was killed {killed} times")
    say(f"  writes: {len(load.acknowledged)} acknowledged, {load.failed} failed")
    say(f"  longest time without an acknowledgement: {load.longest_pause_seconds:.1f} s")
    say(f"  retried: {sum(s['retries'] for s in statuses)} times by the services, {retried} times by their clients")
    say(f"  read back: {len(load.acknowledged) - len(missing)} as acknowledged, {len(missing)} missing or wrong")
    for client, status in zip(clients, statuses, strict=True):
        name = client.service.name
        say(f"{name}: {status['records']} records, last applied index {status['applied']}, digest {status['digest']}")

    copies = {(status["records"], status["applied"], status["digest"]) for status in statuses}
    problems = [f"not acknowledged: {problem}" for problem in load.problems[:5]]
    problems += [f"missing or wrong: {key}" for key in missing[:5]]
    if len(copies) != 1:
        problems.append("the services differ")
    if killed < options.kills:
        problems.append(f"the leader was killed only {killed} times")
    if len(load.acknowledged) != load.total or any(status["records"] != load.total for status in statuses):
        problems.append(f"{load.total} records were to be written")
    for problem in problems:
        print(problem, file=sys.stderr)
    say("FAILED" if problems else "equal, and every acknowledged write is there")
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-port", type=int, default=27420, help="first of 24 ports (default %(default)s)")
    parser.add_argument("--records", type=int, default=20_000, help="at least so many (default %(default)s)")
    parser.add_argument("--kills", type=int, default=5, help="how often the leader is killed (default %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the folder with data and logs")
    options = parser.parse_args()
    stop_on_signals()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="raft-sidecar-demo-"))
    code = 1
    try:
        code = run(options, folder)
    except Failed as error:
        print(f"demo failed: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted: all processes are ended", file=sys.stderr)
        code = 130
    finally:
        if code == 0 and not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"data and logs are in {folder}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
