"""Snapshots of the store: how they get to a node, and from one."""

import hashlib
import pathlib
import sys
import tempfile
import threading

import grpc
from sidecar import DamagedSnapshot, explain, log_pb2
from store import FORMAT

# A chunk has at most one line more than this, and stays far below the sidecar's 2 MiB.
CHUNK_BYTES = 256 * 1024


class Snapshots:
    formats = [FORMAT]

    def __init__(self, store):
        self.store, self.thread = store, threading.Thread()
        # Index of the last one that this process has put; 0 for none.
        self.put = 0

    def put_soon(self, stub):
        """Puts one on the node in the background, unless one is on its way."""
        if self.store.applied > 0 and not self.thread.is_alive():
            self.thread = threading.Thread(target=self._put, args=(stub,), daemon=True)
            self.thread.start()

    def _put(self, stub):
        # Without a deadline: the state may be large. A node that hangs is noticed by the channel's pings.
        try:
            self.put = stub.PutSnapshot(self._parts()).snapshot.index
        except grpc.RpcError as error:
            reason, _ = explain(error)
            # Another copy was faster, which is as good. Whatever else it is, the node asks again.
            if reason != "SNAPSHOT_OUTDATED":
                say(f"no snapshot was put: {reason or error.code().name}: {error.details()}")

    def _parts(self):
        index, term, lines = self.store.snapshot()
        header = log_pb2.PutSnapshotHeader(index=index, term=term, format=FORMAT)
        yield log_pb2.PutSnapshotRequest(header=header)
        digest = hashlib.sha256()
        for chunk in in_chunks(lines):
            digest.update(chunk)
            yield log_pb2.PutSnapshotRequest(chunk=chunk)
        yield log_pb2.PutSnapshotRequest(sha256=digest.digest())

    def restore(self, snapshot, responses):
        """Replaces the store's state by a snapshot whose chunks are the next responses. They are collected in a file:
        nothing changes before all of it has come and is right."""
        digest, left = hashlib.sha256(), snapshot.size
        with tempfile.TemporaryFile(dir=pathlib.Path(self.store.path).parent) as file:
            while left > 0:
                response = next(responses, None)
                if response is None:
                    raise DamagedSnapshot(f"the snapshot at {snapshot.index} ended {left} bytes early")
                # Empty in a frame of a kind that we don't know.
                chunk = response.snapshot_chunk
                left -= len(chunk)
                digest.update(chunk)
                file.write(chunk)
            if left < 0 or digest.digest() != snapshot.sha256:
                raise DamagedSnapshot(f"the snapshot at {snapshot.index} came with another size or SHA-256")
            file.seek(0)
            self.store.restore(snapshot.index, snapshot.term, file)
        say(f"restored the snapshot at {snapshot.index}, {snapshot.size} bytes")


def in_chunks(lines):
    chunk = bytearray()
    for line in lines:
        chunk += line
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)


def say(text):
    print(text, file=sys.stderr, flush=True)
