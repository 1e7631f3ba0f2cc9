"""The replicated log, as log.proto offers it: propose a command, ask for a read barrier, follow what was committed."""

import itertools
import pathlib
import random
import sys
import threading
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

sys.path.insert(0, str(pathlib.Path(__file__).parent / "stubs"))
from raft.v1 import log_pb2, log_pb2_grpc  # noqa: E402  (made by setup.sh)

# With these reasons, and no others, a command is certainly not in the log.
NOT_WRITTEN = {"NO_LEADER", "DRAINING", "NOT_APPENDED", "OVERLOADED"}
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
    """No node took the command or the barrier: a retry is safe, whatever the command."""


class OutcomeUnknown(Exception):
    """The command may be in the log, now or later. A retry is safe only with the same request id."""


class Refused(Exception):
    """The command can never be taken."""


class WrongLog(Exception):
    """Our state was not made from this cluster's log, or the log no longer reaches back to where we are."""


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
    def __init__(self, addresses):
        """addresses: host:port of every node's client listener, our own sidecar's first."""
        channels = [grpc.insecure_channel(address, options=CHANNEL_OPTIONS) for address in addresses]
        self.stubs = [log_pb2_grpc.LogServiceStub(channel) for channel in channels]
        self.retries = 0

    def propose(self, command, deadline):
        """Proposes until a node says that the command is committed, and returns its index. Since an attempt may succeed
        without our learning of it, the command may be committed more than once: it must carry an id, and the state
        machine must skip an id that it knows."""
        unknown = False
        request = log_pb2.ProposeRequest(command=command)
        for attempt, stub, timeout in self._attempts(deadline):
            try:
                return stub.Propose(request, timeout=timeout).index
            except grpc.RpcError as error:
                reason, wait_seconds = explain(error)
                if reason == "INVALID_ARGUMENT":
                    raise Refused(error.details()) from error
                unknown = unknown or reason not in NOT_WRITTEN
                self._pause(attempt, wait_seconds, deadline)
        raise OutcomeUnknown() if unknown else NotWritten()

    def read_index(self, deadline):
        """The index that must be applied before a read that came before this call may be answered."""
        for attempt, stub, timeout in self._attempts(deadline):
            try:
                return stub.ReadIndex(log_pb2.ReadIndexRequest(), timeout=timeout).index
            except grpc.RpcError as error:
                self._pause(attempt, explain(error)[1], deadline)
        raise NotWritten()

    def follow(self, store):
        """Feeds the store with what is committed, for ever: from our own sidecar where that answers, else from another
        node, which has the same log."""
        turn = 0
        while True:
            try:
                for _ in self._follow_once(self.stubs[turn % len(self.stubs)], store):
                    turn = -1  # This node answers. When the stream ends, start again with our own.
            except grpc.RpcError as error:
                reason, _ = explain(error)
                if reason in ("LOG_EPOCH_MISMATCH", "COMPACTED"):
                    raise WrongLog(error.details()) from error
            turn += 1
            time.sleep(random.uniform(0.02, 0.1))

    def _follow_once(self, stub, store):
        request = log_pb2.ApplyStreamRequest(after_index=store.applied, after_term=store.term, log_id=store.log_id)
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
                elif frame == "batch":
                    if not store.log_id:
                        return  # The node did not know its log's name when it sent the header. Now it does.
                    if response.batch.prev_index > sent:
                        raise WrongLog(f"nothing was sent between {sent} and {response.batch.prev_index}")
                    store.apply(response.batch.entries)
                    sent = response.batch.last_index
                    store.cover(sent)
                elif frame == "progress":
                    sent = max(sent, response.progress.index)
                    store.cover(sent)
                yield frame
        finally:
            give_up.cancel()
            call.cancel()

    def _attempts(self, deadline):
        for attempt in itertools.count():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            yield attempt, self.stubs[attempt % len(self.stubs)], min(remaining, ATTEMPT_SECONDS)

    def _pause(self, attempt, wait_seconds, deadline):
        self.retries += 1
        wait_seconds = max(wait_seconds, min(0.02 * 2**attempt, 0.5) * random.uniform(0.5, 1.0))
        time.sleep(max(0.0, min(wait_seconds, deadline - time.monotonic())))
