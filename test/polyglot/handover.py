"""A service and a node that a test plays: snapshots that come in parts, or wrong, and how the service puts its own."""

import contextlib
import hashlib
import json
import queue
import time
import types
from concurrent.futures import ThreadPoolExecutor

import grpc
from cluster import log_pb2_grpc
from world import KINDS, Client, expect, in_threads, log_pb2, raw, wait_until

from store import FORMAT, encode

# The lines of a snapshot.
NEW = [
    {"key": "empty", "value": "", "version": 3},
    {"key": "k", "value": 'new <&> "\u00e9\u2028\U0001f600\u0000', "version": 8},
    {"id": "deleted", "at": 7, "status": 200, "version": 0},
    {"id": "new", "at": 8, "status": 200, "version": 8},
]
NEW_BYTES = b"".join(json.dumps(line).encode() + b"\n" for line in NEW)


class Node(log_pb2_grpc.LogServiceServicer):
    """Serves each ApplyStream by the next of its scripts, and holds the last one open."""

    def __init__(self):
        self.scripts, self.requests, self.puts = queue.SimpleQueue(), [], []
        # What the stream that is held open sends, and how calls of PutSnapshot end.
        self.live, self.answers = queue.SimpleQueue(), queue.SimpleQueue()
        self.barrier, self.proposals = 0, []

    def ApplyStream(self, request, context):
        self.requests.append(request)
        yield response(header=log_pb2.ApplyHeader(cluster_id="played", log_id=b"l" * 16, node_id="n1", first_index=1))
        frames, status = take(self.scripts, context)
        yield from frames
        if status == "open":
            while True:
                yield take(self.live, context)
        elif status is not None:
            context.abort(status, "as the script says")

    def PutSnapshot(self, requests, context):
        parts = list(requests)
        self.puts.append(parts)
        status = take(self.answers, context)
        if status is not None:
            context.abort(status, "as the script says")
        header = parts[0].header
        return log_pb2.PutSnapshotResponse(snapshot=log_pb2.Snapshot(index=header.index, term=header.term))

    def Propose(self, request, context):
        self.proposals.append(request)
        return log_pb2.ProposeResponse(index=20, term=3)

    def ReadIndex(self, request, context):
        return log_pb2.ReadIndexResponse(index=self.barrier, term=3)


def take(source, context):
    """The next one, unless the call ends before there is one."""
    while context.is_active():
        with contextlib.suppress(queue.Empty):
            return source.get(timeout=0.1)
    context.abort(grpc.StatusCode.CANCELLED, "nobody listens")


class World:
    """A node that is played, and one service."""

    def __init__(self, folder, base_port, language):
        self.folder, self.node = folder, Node()
        address = f"127.0.0.1:{base_port}"
        self.service = KINDS[language](types.SimpleNamespace(base_port=base_port, addresses=[address]), folder, 0)
        self.client = Client(self.service)
        self.server = grpc.server(ThreadPoolExecutor(8))
        log_pb2_grpc.add_LogServiceServicer_to_server(self.node, self.server)
        self.address = address

    def start(self):
        self.folder.mkdir()
        self.server.add_insecure_port(self.address)
        self.server.start()
        self.service.start()

    def stop(self):
        self.service.stop()
        self.server.stop(0).wait()

    def streams(self, number):
        """Waits until the service has opened so many, so that it has dealt with those before."""
        wait_until(f"ApplyStream {number}", lambda: len(self.node.requests) >= number, 10)
        return self.node.requests[number - 1]


def response(**frame):
    return log_pb2.ApplyStreamResponse(**frame)


def progress(index, wanted=False):
    return response(progress=log_pb2.ApplyProgress(index=index, term=3, leader_id="n1", snapshot_wanted=wanted))


def snapshot(data, index=9, **other):
    fields = {"size": len(data), "sha256": hashlib.sha256(data).digest(), **other}
    return response(snapshot=log_pb2.Snapshot(index=index, term=3, format=FORMAT, **fields))


def chunks(data, size):
    return [response(snapshot_chunk=data[k : k + size]) for k in range(0, len(data), size)]


def state_of(parts):
    """The lines of a snapshot that a service has put, which has to be whole."""
    data = b"".join(part.chunk for part in parts[1:-1])
    expect(parts[-1].sha256 == hashlib.sha256(data).digest(), "the SHA-256 is another")
    return sorted((json.loads(line) for line in data.splitlines()), key=json.dumps)


def test_incomplete(world):
    """a snapshot that breaks off, or isn't what was announced, leaves the state as it was"""
    entry = log_pb2.Entry(index=2, term=2, type=log_pb2.ENTRY_TYPE_COMMAND, command=encode("", "k", "old", None))
    batch = response(batch=log_pb2.ApplyBatch(prev_index=0, last_index=2, entries=[entry]))
    parts = chunks(NEW_BYTES, 20)
    first_line = NEW_BYTES[: NEW_BYTES.index(b"\n") + 1]
    damaged = NEW_BYTES.replace(b"new", b"nee")
    for frames, status in (
        ([batch], None),
        ([snapshot(NEW_BYTES), *parts[:3]], grpc.StatusCode.UNAVAILABLE),
        ([snapshot(NEW_BYTES), *parts[:3]], None),
        ([snapshot(NEW_BYTES), *chunks(first_line, 20)], None),
        ([snapshot(NEW_BYTES), *parts[:-1]], grpc.StatusCode.DATA_LOSS),
        ([snapshot(NEW_BYTES), *chunks(damaged, 20)], None),
        ([snapshot(NEW_BYTES), *chunks(b"\xff" + NEW_BYTES[1:], 20)], None),
        ([snapshot(NEW_BYTES, size=len(NEW_BYTES) - 1), *parts], None),
        ([snapshot(NEW_BYTES, sha256=b"s" * 32), *parts], None),
    ):
        world.node.scripts.put((frames, status))
    request = world.streams(10)
    expect(request.after_index == 2 and request.after_term == 2, f"the service goes on after {request.after_index}")
    expect(list(request.snapshot_formats) == [FORMAT], "the service names no format")
    status = world.client.status()
    expect((status["records"], status["applied"], status["restored"]) == (1, 2, 0), f"the state changed: {status}")


def test_whole(world):
    """one that is whole replaces state and index in one step, and the entries after it follow"""
    entry = log_pb2.Entry(index=10, term=3, type=log_pb2.ENTRY_TYPE_COMMAND, command=encode("new", "k", "twice", None))
    batch = response(batch=log_pb2.ApplyBatch(prev_index=9, last_index=10, entries=[entry]))
    world.node.scripts.put(([snapshot(NEW_BYTES), *chunks(NEW_BYTES, 20), batch], None))
    world.node.scripts.put(([], "open"))
    request = world.streams(11)
    expect(request.after_index == 10 and request.after_term == 3, f"the service goes on after {request.after_index}")
    status = world.client.status()
    expect((status["records"], status["applied"], status["restored"]) == (2, 10, 9), f"the state is {status}")


def test_put(world):
    """a service puts one snapshot at a time, its whole state as of its index, and again after a failure"""
    node = world.node
    node.live.put(progress(10, wanted=True))
    wait_until("a snapshot", lambda: node.puts, 10)
    for frame in (progress(10, wanted=True), progress(10, wanted=True), progress(11)):
        node.live.put(frame)
    node.barrier = 11
    expect(world.client.get("k")[1] == 8, "the value is another")  # By now it has taken all frames.
    time.sleep(0.5)
    expect(len(node.puts) == 1, "another one was put meanwhile")
    node.answers.put(grpc.StatusCode.UNAVAILABLE)
    node.answers.put(None)
    wait_until("a second try", lambda: node.live.put(progress(11, wanted=True)) or len(node.puts) > 1, 10)
    wait_until("the snapshot to be put", lambda: world.client.status()["put"] == 10, 10)
    for parts in node.puts[:2]:
        header = parts[0].header
        expect((header.index, header.term, header.format) == (10, 3, FORMAT), f"the header is {header}")
        expect(state_of(parts) == sorted(NEW, key=json.dumps), "the state is another")


def test_empty(world):
    """an empty snapshot empties the state"""
    world.service.stop()
    world.node.scripts.put(([snapshot(b"", index=12)], "open"))
    world.service.start()
    wait_until("an empty state", lambda: world.client.status()["restored"] == 12, 10)
    expect(world.client.status()["records"] == 0, "there are records left")


def test_passed_over(world):
    """a write whose command a snapshot passes over is answered at once: its outcome is unknown"""
    answers = []

    def write():
        answers.append(raw(world.service, "PUT", "/kv/k", b"passed over"))

    def pass_over():
        wait_until("the proposal", lambda: world.node.proposals, 10)
        world.node.live.put(snapshot(b"", index=30))

    begun = time.monotonic()
    in_threads([write, pass_over])
    expect(answers[0][0] == 504, f"the write was answered with {answers[0]}")
    expect(time.monotonic() - begun < 5, "the answer took its time")


def test_restarted(world):
    """a service with a database goes on at the snapshot's index when it is started again, one without at 0"""
    opened = len(world.node.requests)
    world.service.stop()
    world.node.scripts.put(([], "open"))
    world.service.start()
    stored = 30 if world.service.database.exists() else 0
    index = world.streams(opened + 1).after_index
    expect(index == stored, f"the service goes on after {index}")
