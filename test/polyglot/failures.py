"""Nodes that hang, no quorum, everything killed, a lost database, another cluster's log."""

import os
import signal
import time

from world import Client, LinkedCluster, expect, in_threads, raw, wait_until


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
    """a service ends when its nodes come back with another cluster's log"""
    folder = world.folder / "other"
    folder.mkdir()
    first, second = (LinkedCluster(folder / name, world.base_port + 100, nodes=1) for name in ("first", "second"))
    service = type(world.services[0])(first, folder, 0)
    try:
        first.start()
        service.start()
        Client(service).put("from", "the first")
        first.stop()
        second.start()
        service.process.wait(30)
        expect(service.process.returncode == 1, f"the service ended with {service.process.returncode}")
        said = service.output.read_text()
        expect("does not go with this log" in said, f"it said: {said}")
    finally:
        service.stop()
        first.stop()
        second.stop()


def test_answer_of_the_call_lost(world):
    """a write whose call is never answered is answered as soon as it is applied, a compare-and-set as one that held"""
    cluster = world.cluster
    leader = cluster.wait_leader()
    k = next(k for k, node_id in enumerate(cluster.ids) if node_id != leader)
    link = cluster.links[cluster.ids[k], leader]
    version = world.clients[k].put("lost", "one")[1]  # Now its node has a stream to the leader.
    link.answers.clear()
    try:
        begun = time.monotonic()
        status, headers, _ = raw(world.services[k], "PUT", "/kv/lost", b"two", {"If-Match": f'"{version}"'})
        seconds = time.monotonic() - begun
    finally:
        link.break_connections()
        link.mend()
    expect(status == 200, f"the write was answered with {status}")
    expect(seconds < 2, f"the answer took {seconds:.1f} s")
    expect(raw(world.services[(k + 1) % 3], "GET", "/kv/lost")[2] == "two", "the write isn't there")
    cluster.wait_ready()
