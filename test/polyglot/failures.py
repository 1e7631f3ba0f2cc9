"""Nodes that hang, no quorum, everything killed, a lost database, another cluster's log."""

import os
import shutil
import signal
import subprocess
import sys

from world import KV, Cluster, expect, in_threads, raw, wait_until


def test_own_sidecar_hangs(world):
    """a service whose own sidecar hangs goes on with another node"""
    pid = world.node_pid(1)
    os.kill(pid, signal.SIGSTOP)
    try:
        world.clients[1].put("hanging", "yes", seconds=40)
        expect(world.clients[1].get("hanging", seconds=40)[0] == "yes", "the value isn't there")
    finally:
        os.kill(pid, signal.SIGCONT)
    world.cluster.wait_ready()


def test_no_quorum(world):
    """without a quorum writes are not acknowledged and reads are refused, not answered from an old copy"""
    world.clients[0].put("quorum", "before")
    pids = [world.node_pid(1), world.node_pid(2)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    answers = {}
    try:

        def ask(name, *request):
            answers[name] = raw(world.services[0], *request)

        write = ("PUT", "/kv/quorum", b"after", {"Idempotency-Key": "polyglot-quorum"})
        in_threads([lambda: ask("read", "GET", "/kv/quorum"), lambda: ask("write", *write)])
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    status, headers, _ = answers["read"]
    expect(status == 503 and headers["Retry-After"], f"the read was answered with {status}")
    status, headers, _ = answers["write"]
    expect(status in (503, 504), f"the write was answered with {status}")
    world.cluster.wait_ready()
    expect(world.clients[1].put("quorum", "after", request_id="polyglot-quorum")[0], "the repeated write was refused")
    expect(world.clients[2].get("quorum")[0] == "after", "the repeated write isn't there")


def test_everything_killed(world):
    """all nodes and services killed with -9 come back with everything"""
    before = world.settled()[0]
    pids = {node_id: world.cluster.pid(node_id) for node_id in world.cluster.ids}
    for service in world.services:
        service.process.kill()
        service.process.wait()
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    for node_id, pid in pids.items():
        world.cluster.wait_restarted(node_id, pid)
    for service in world.services:
        service.start()
    # Internal entries and repetitions of known requests may have come after, but nothing that changes the state.
    for status in world.settled():
        kept = status["records"] == before["records"] and status["digest"] == before["digest"]
        expect(kept and status["applied"] >= before["applied"], f"{status} instead of {before}")
    for client in world.clients:
        expect(client.get("cas")[0] == "two", "a value is missing")


def test_rebuilt_from_the_log(world):
    """a service that lost its database rebuilds it from the log"""
    before, service = world.settled()[0], world.services[2]
    service.stop()
    for path in service.folder.glob(f"{service.database.name}*"):
        path.unlink()
    service.start()
    expect(world.clients[2].get("cas")[0] == "two", "a value is missing")
    after = wait_until("the rebuilt copy", lambda: world.settled()[2], 30)
    expect(after["digest"] == before["digest"], "the rebuilt copy differs")


def test_another_clusters_log(world):
    """a database that was made from one cluster's log refuses another's"""
    other = Cluster(world.folder / "other", world.base_port + 100, nodes=1)
    copy = world.folder / "copy.db"
    world.services[0].stop()
    shutil.copyfile(world.services[0].database, copy)
    world.services[0].start()
    try:
        other.start()
        command = [sys.executable, KV / "kv.py", "--port", str(other.base_port + 3), "--database", copy]
        command += ["--nodes", other.addresses[0]]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        expect(ended.returncode == 1, f"the service ended with {ended.returncode}")
        expect("does not go with this log" in ended.stderr, f"it said: {ended.stderr}")
    finally:
        other.stop()
