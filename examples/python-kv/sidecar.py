"""The replicated log, as log.proto offers it: propose a command, ask for a read barrier, follow what was committed."""

import itertools
import pathlib
import queue
import random
import sys
import threading
import time
import uuid

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

sys.path.insert(0, str(pathlib.Path(__file__).parent / "stubs"))
from raft.v1 import log_pb2, log_pb2_grpc  # noqa: E402  (made by setup.sh)

# With these reasons, and no others, a command is certainly not in the log.
NOT_WRITTEN = {"NO_LEADER", "DRAINING", "NOT_APPENDED", "OVERLOADED", "DISK_LOW", "DATA_LOSS"}
# One attempt at one node. Long enough for an election, short enough to leave a node that hangs.
ATTEMPT_SECONDS = 3.0
CHANNEL_OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Notices a node that hangs, also on a stream where nothing is sent. The time that gRPC's core waits for the answer
    # is ping_timeout_ms (a minute by default), whatever its guide says of keepalive_timeout_ms.
    ("grpc.keepalive_time_ms", 3000),
    ("grpc.http2.ping_timeout_ms", 3000),
    ("grpc.http2.max_pings_without_data", 0),
]


class NotWritten(Exception):
    """The command is not in the log and will never be."""


class OutcomeUnknown(Exception):
    """The command may be in the log, now or later."""


class Refused(Exception):
    """The command can never be taken."""


class WrongLog(Exception):
    """Our state was not made from this cluster's log; or that no longer reaches back to where we are, and the node has
    no snapshot that we can read."""


class DamagedSnapshot(Exception):
    """What came is not what was announced. Our state is as it was."""


def explain(error):
    """(reason, seconds to wait) of a failed call. Without the sidecar's ErrorInfo the reason is "": unknown."""
    reason, wait_seconds = "", 0.0
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        status = None
    for detail in status.details if status else []:
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info) and info.domain == "raft-sidecar":
            reason = info.reason
        elif detail.Is(retry.DESCRIPTOR) and detail.Unpack(retry):
            wait_seconds = retry.retry_delay.ToTimedelta().total_seconds()
    return reason, wait_seconds


class Sidecar:
    def __init__(self, addresses, store, snapshots):
        """addresses: host:port of every node's client listener, our own sidecar's first."""
        channels = [grpc.insecure_channel(address, options=CHANNEL_OPTIONS) for address in addresses]
        self.stubs = [log_pb2_grpc.LogServiceStub(channel) for channel in channels]
        self.store, self.snapshots, self.retries = store, snapshots, 0
        # Names this process, not this copy: the next one starts to count at 1 again.
        self.client_id, self.sequences = uuid.uuid4().hex, itertools.count(1)
        # Where the apply loop puts the result of each sequence that a request waits for.
        self.waiting = {}

    def propose(self, command, deadline):
        """Proposes until the command is applied here, and returns the state machine's result. All attempts have one
        sequence, so the command is appended once, however many of them reach the log."""
        sequence, events = next(self.sequences), queue.SimpleQueue()
        request = log_pb2.ProposeRequest(command=command, client_id=self.client_id, sequence=sequence)
        self.waiting[sequence] = events
        try:
            return self._propose(request, events, deadline)
        finally:
            del self.waiting[sequence]

    def _propose(self, request, events, deadline):
        """events: gets each call when it has ended, and the result whenever the apply loop comes to it. That may be
        before the call has ended, and after it has failed."""
        unknown, begun = False, self.store.applied
        for attempt, stub, timeout in self._attempts(deadline):
            call = stub.Propose.future(request, timeout=timeout)
            call.add_done_callback(events.put)
            event = events.get()
            if event is call:
                error = call.exception()
                if error is None:
                    return self._applied(call.result().index, events, deadline)
                reason, wait_seconds = explain(error)
                if reason == "INVALID_ARGUMENT":
                    raise Refused(error.details()) from error
                if reason == "SEQUENCE_TOO_OLD":
                    return self._find_out(begun, events, deadline)
                unknown = unknown or reason not in NOT_WRITTEN
                event = next_event(events, self._pause_seconds(attempt, wait_seconds, deadline))
            if event is not None:
                return event
        raise OutcomeUnknown() if unknown else NotWritten()

    def _applied(self, index, events, deadline):
        """The result of a command that is committed at `index`. It comes before the store has covered that; or never,
        where a snapshot was restored that stands for the command."""
        self.store.wait_for(index, deadline)
        result = next_event(events, 0)
        if result is None:
            raise OutcomeUnknown()
        return result

    def _find_out(self, begun, events, deadline):
        """1,024 later sequences have passed this one. It can't be appended any more, so that it is applied below a
        barrier taken now, or never; unless a snapshot was restored since, which may stand for it."""
        if not self.barrier(deadline):
            raise OutcomeUnknown()
        result = next_event(events, 0)
        if result is None:
            raise OutcomeUnknown() if self.store.restored > begun else NotWritten()
        return result

    def barrier(self, deadline):
        """Waits until everything is applied here that was acknowledged anywhere before this call. False when that could
        not be had in time."""
        for attempt, stub, timeout in self._attempts(deadline):
            try:
                return self.store.wait_for(stub.ReadIndex(log_pb2.ReadIndexRequest(), timeout=timeout).index, deadline)
            except grpc.RpcError as error:
                time.sleep(self._pause_seconds(attempt, explain(error)[1], deadline))
        return False

    def follow(self):
        """Feeds the store with what is committed, for ever: from our own sidecar where that answers, else from another
        node, which has the same log."""
        turn = 0
        while True:
            node = turn % len(self.stubs)
            try:
                for _ in self._follow_once(self.stubs[node]):
                    turn = -1  # This node answers. When the stream ends, start again with our own.
            except DamagedSnapshot as error:
                print(error, file=sys.stderr, flush=True)
                turn = node  # The next one has its own copy.
            except grpc.RpcError as error:
                reason, _ = explain(error)
                if reason in ("LOG_EPOCH_MISMATCH", "COMPACTED"):
                    raise WrongLog(error.details()) from error
            turn += 1
            time.sleep(random.uniform(0.02, 0.1))

    def _follow_once(self, stub):
        store = self.store
        request = log_pb2.ApplyStreamRequest(
            after_index=store.applied,
            after_term=store.term,
            log_id=store.log_id,
            snapshot_formats=self.snapshots.formats,
        )
        sent, call = store.applied, stub.ApplyStream(request)
        # The header comes at once, whatever there is to send. A node that hangs doesn't send it.
        give_up = threading.Timer(ATTEMPT_SECONDS, call.cancel)
        give_up.start()
        try:
            for response in call:
                give_up.cancel()
                frame = response.WhichOneof("frame")
                if frame == "header" and response.header.log_id and not store.log_id:
                    store.name_log(response.header.log_id)
                elif frame in ("snapshot", "batch") and not store.log_id:
                    return  # The node did not know its log's name when it sent the header. Now it does.
                elif frame == "snapshot":
                    if response.snapshot.index <= sent:
                        raise WrongLog(f"a snapshot at {response.snapshot.index} was sent after {sent}")
                    self.snapshots.restore(response.snapshot, call)
                    sent = response.snapshot.index
                    store.cover(sent)
                elif frame == "batch":
                    if response.batch.prev_index > sent:
                        raise WrongLog(f"nothing was sent between {sent} and {response.batch.prev_index}")
                    for entry, result in store.apply(response.batch.entries):
                        self._complete(entry, result)
                    sent = response.batch.last_index
                    store.cover(sent)
                elif frame == "progress":
                    sent = max(sent, response.progress.index)
                    store.cover(sent)
                    if response.progress.snapshot_wanted:
                        self.snapshots.put_soon(stub)
                yield frame
        finally:
            give_up.cancel()
            call.cancel()

    def _complete(self, entry, result):
        events = self.waiting.get(entry.sequence) if entry.client_id == self.client_id else None
        if events is not None:
            events.put(result)

    def _attempts(self, deadline):
        for attempt in itertools.count():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            yield attempt, self.stubs[attempt % len(self.stubs)], min(remaining, ATTEMPT_SECONDS)

    def _pause_seconds(self, attempt, wait_seconds, deadline):
        self.retries += 1
        wait_seconds = max(wait_seconds, min(0.02 * 2**attempt, 0.5) * random.uniform(0.5, 1.0))
        return max(0.0, min(wait_seconds, deadline - time.monotonic()))


def next_event(events, seconds):
    """The next event, or None when none came in time."""
    try:
        return events.get(timeout=max(0.0, seconds))
    except queue.Empty:
        return None
