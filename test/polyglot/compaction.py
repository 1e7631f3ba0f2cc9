"""Services that put snapshots, so that the nodes cut off their logs, and services that come back to find what they lack
gone. RAFT_SIDECAR_POLYGLOT_ENTRIES is how many entries are written (20,000): with 1000000 it takes minutes."""

import itertools
import os
import time
import uuid

import grpc
from world import expect, in_threads, log_pb2, wait_until

from store import FORMAT, encode

ENTRIES = int(os.environ.get("RAFT_SIDECAR_POLYGLOT_ENTRIES", "20000"))
SNAPSHOT_ENTRIES, CATCH_UP_ENTRIES = ENTRIES // 25, ENTRIES // 200
OPTIONS = ["--snapshot-entries", str(SNAPSHOT_ENTRIES), "--catch-up-entries", str(CATCH_UP_ENTRIES)]
# Enough for a snapshot to be wanted after the first of them; few enough that services remember a request before them.
TAIL = 2 * SNAPSHOT_ENTRIES + CATCH_UP_ENTRIES
KEYS = max(1, ENTRIES // 5)
# A client's sequences are told apart for the latest 1,024.
BATCH = 500
PATIENCE_SECONDS = 60 + ENTRIES // 2000


class Writer:
    """Writes at the nodes themselves, which takes in more than the services' HTTP: each command once."""

    def __init__(self, cluster):
        self.cluster, self.turn, self.written = cluster, 0, 0
        self.client_id, self.sequences = uuid.uuid4().hex, itertools.count(1)

    def write(self, entries):
        for begin in range(0, entries, BATCH):
            self.write_batch(min(BATCH, entries - begin))

    def write_batch(self, size):
        waiting = {n: self.item(n) for n in itertools.islice(self.sequences, size)}
        deadline = time.monotonic() + 30
        while waiting:
            request = log_pb2.ProposeStreamRequest(items=waiting.values())
            stub = self.cluster.stubs[self.turn % len(self.cluster.stubs)]
            try:
                for response in stub.ProposeStream(iter([request]), timeout=5):
                    for result in response.results:
                        if result.HasField("committed"):
                            del waiting[result.request_id]
                            self.written += 1
            except grpc.RpcError:
                pass  # Whatever came of the rest, it is proposed again under the same names.
            if waiting:
                self.turn += 1
                time.sleep(0.1)
                expect(time.monotonic() < deadline, f"{len(waiting)} entries could not be written")

    def item(self, n):
        command = encode("", f"key-{n % KEYS}", f"value {n}", None)
        return log_pb2.ProposeItem(request_id=n, command=command, client_id=self.client_id, sequence=n)


def kill_leader(world, entries):
    """Once so many more are written."""
    due = world.writer.written + entries
    wait_until(f"{entries} entries", lambda: world.writer.written >= due, PATIENCE_SECONDS)
    world.cluster.wait_restarted(*world.cluster.kill_leader())


def increment(world, times):
    """Counts through the service that never stops."""
    client = world.clients[0]
    for _ in range(times):
        held = False
        while not held:
            value, version = client.get("counter")
            held, _ = client.put("counter", str(int(value or 0) + 1), if_version=version)


def first_indexes(world):
    return [state.first_index if state else 0 for state in world.cluster.states()]


def snapshot_index(stub):
    """Of the newest snapshot that a node has; 0 for none."""
    call = stub.GetSnapshot(log_pb2.GetSnapshotRequest(formats=[FORMAT]), timeout=5)
    try:
        return next(call).header.index
    except grpc.RpcError:
        return 0
    finally:
        call.cancel()


def start_on_another_node(service):
    service.nodes = [*service.nodes[1:], service.nodes[0]]
    service.start()


def expect_equal_copies(world):
    statuses = world.settled(PATIENCE_SECONDS)
    expect(len({(s["records"], s["applied"], s["digest"]) for s in statuses}) == 1, f"the copies differ: {statuses}")
    expect(statuses[0]["restored"] == 0, "the service that never stopped was handed a snapshot")
    return statuses


def expect_count(world, count):
    for client in world.clients:
        value, _ = client.get("counter")
        expect(value == str(count), f"{client.service.name} has the counter at {value}, it was raised {count} times")


def test_cut_off(world):
    """while other services are stopped and a leader is killed one puts snapshots, and every node cuts off its log"""
    world.writer = Writer(world.cluster)
    world.clients[1].put("early", "yes")
    increment(world, 5)
    applied = world.settled()[0]["applied"]
    for service in world.services[1:]:
        service.stop()
    world.stopped_at = applied
    load = ENTRIES * 3 // 4
    in_threads(
        [lambda: world.writer.write(load), lambda: kill_leader(world, load // 2), lambda: increment(world, 20)]
    )
    wait_until("logs that are cut off", lambda: min(first_indexes(world)) > applied + 1, PATIENCE_SECONDS)
    expect(world.clients[0].status()["put"] > applied, "the service that went on put no snapshot")


def test_snapshot_of_request(world):
    """a snapshot that was put on one node spreads to all, and stands for a write with an Idempotency-Key"""
    world.named = world.clients[0].put("once", "1", if_version=0, request_id="compaction-once")
    world.clients[0].put("once", "2")
    world.writer.write(TAIL)

    def everywhere():
        return all(snapshot_index(stub) > world.named[1] for stub in world.cluster.stubs)

    wait_until("a snapshot of the write on every node", everywhere, PATIENCE_SECONDS)


def test_stopped_services(world):
    """services that were stopped come back on other nodes, are handed a snapshot, and end with the same copy"""
    for service in world.services[1:]:
        start_on_another_node(service)
    for status in expect_equal_copies(world)[1:]:
        expect(status["restored"] > max(world.stopped_at, world.named[1]), f"no snapshot was handed over: {status}")


def test_once(world):
    """what a snapshot stands for is applied once: a retry is answered as the first time, a counter is right"""
    for client in world.clients:
        repeated = client.put("once", "1", if_version=0, request_id="compaction-once")
        expect(repeated == world.named, f"{client.service.name} answered the repetition with {repeated}")
        expect(client.get("once")[0] == "2", f"{client.service.name} applied the repetition again")
        expect(client.get("early")[0] == "yes", f"{client.service.name} lacks the first write")
    expect_count(world, 25)


def test_lost_state(world):
    """services that lost their state, too, on yet other nodes and while a leader is killed"""
    for service in world.services[1:]:
        service.process.kill()
        service.process.wait()
        for path in service.folder.glob(f"{service.database.name}*"):
            path.unlink()
    world.writer.write(ENTRIES // 8)
    starts = [lambda service=service: start_on_another_node(service) for service in world.services[1:]]
    in_threads([*starts, lambda: kill_leader(world, ENTRIES // 16), lambda: world.writer.write(ENTRIES // 8)])
    for status in expect_equal_copies(world)[1:]:
        expect(status["restored"] > world.named[1], f"no snapshot was handed over: {status}")
    increment(world, 5)
    expect_count(world, 30)
    world.cluster.require_running()
