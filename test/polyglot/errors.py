"""What clients in Python and Go read back when a proposal fails: code, ErrorInfo, RetryInfo, BadRequest, trailers."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import grpc
from world import ROOT, Failed, LinkedCluster, end_process, expect, log_pb2, wait_until

GO_CLIENT = ROOT / "test/polyglot/go-client"
CLIENTS = {
    "python": [sys.executable, ROOT / "test/polyglot/client.py"],
    "go": [ROOT / ".cache/polyglot-client"],
}
# Elections are slow, so that a leader without followers stays one for a while.
SLOW_ELECTIONS = ["--election-timeout-min-ms", "1500", "--election-timeout-max-ms", "2000"]


class Caller:
    """A process of a client that is connected to a node, and proposes when it is told to."""

    def __init__(self, language, address, **fields):
        asked = {"command_bytes": 5, "client_id": "", "sequence": 0, "expected_term": 0}
        asked |= {"timeout_seconds": 20, "at_once": 1, **fields}
        command = [*CLIENTS[language], address, json.dumps(asked)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            expect(self.process.stdout.readline() == "ready\n", "the client could not connect")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        end_process(self.process, signal.SIGKILL, 5)
        self.process.stdin.close()
        self.process.stdout.close()

    def propose(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def answer(self):
        try:
            return json.loads(self.process.communicate(timeout=30)[0])
        except (subprocess.TimeoutExpired, ValueError) as error:
            raise Failed(f"the client said nothing: {error}") from error


class World:
    """Three nodes that elect slowly, and one of its own that takes one proposal at a time."""

    def __init__(self, folder, base_port, language):
        self.language = language
        self.cluster = LinkedCluster(folder / "three", base_port, options=SLOW_ELECTIONS)
        self.narrow = LinkedCluster(folder / "one", base_port + 100, nodes=1, options=["--max-proposals", "1"])

    def start(self):
        self.narrow.start()
        self.cluster.start()

    def stop(self):
        self.cluster.stop()
        self.narrow.stop()

    def caller(self, node_id, **fields):
        return Caller(self.language, self.cluster.addresses[self.cluster.ids.index(node_id)], **fields)

    def ask(self, node_id, **fields):
        """What one proposal at a node is answered with."""
        with self.caller(node_id, **fields) as caller:
            caller.propose()
            return caller.answer()

    def roles(self):
        """The leader, and the others, once all agree."""
        self.cluster.wait_ready()
        leader = self.cluster.wait_leader()
        return leader, [node_id for node_id in self.cluster.ids if node_id != leader]

    def state(self, node_id):
        """What a node says of itself; None for one that doesn't answer."""
        try:
            return self.cluster.stubs[self.cluster.ids.index(node_id)].GetState(log_pb2.GetStateRequest(), timeout=1.0)
        except grpc.RpcError:
            return None

    @contextlib.contextmanager
    def hung(self, *node_ids):
        """While these nodes hang."""
        pids = [self.cluster.pid(node_id) for node_id in node_ids]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def appended(self, leader, at=None):
        """A caller whose proposal, made at a node or at the leader, is in the leader's log and has no answer yet."""
        last = self.state(leader).last_index
        with self.caller(at or leader) as caller:
            caller.propose()
            wait_until("the proposal in the leader's log", lambda: self.state(leader).last_index > last, 10)
            yield caller


def is_definite(answer, code, reason, *, retry_seconds=None, violations=(), metadata=None, leader=None):
    """Checks all that a status of the sidecar's own carries. leader: whom the trailers name, where that is certain."""
    expect(answer["code"] == code and answer.get("reason") == reason, f"{code} {reason} was expected: {answer}")
    expect(answer["domain"] == "raft-sidecar", f"another domain: {answer}")
    expect(answer.get("retry_seconds") == retry_seconds, f"a RetryInfo of {retry_seconds} was expected: {answer}")
    expect(answer["violations"] == list(violations), f"violations of {violations} were expected: {answer}")
    expect((answer.get("metadata") or {}) == (metadata or {}), f"the metadata {metadata} was expected: {answer}")
    trailers = answer["trailers"]
    expect(int(trailers["raft-term"]) > 0, f"no term: {answer}")
    if leader is not None:
        named = (trailers.get("raft-leader-id"), trailers.get("raft-leader-address"))
        expect(named == leader, f"the leader {leader} was expected: {answer}")


def is_unknown(answer, code):
    """Checks that nothing in a status claims to come from the sidecar."""
    expect(answer["code"] == code, f"{code} was expected: {answer}")
    expect("reason" not in answer and not answer["trailers"], f"it has details: {answer}")


def test_empty(world):
    """an empty command: INVALID_ARGUMENT, BadRequest"""
    leader, (other, _) = world.roles()
    address = world.cluster.addresses[world.cluster.ids.index(leader)]
    answer = world.ask(other, command_bytes=0)
    is_definite(answer, "INVALID_ARGUMENT", "INVALID_ARGUMENT", violations=["command"], leader=(leader, address))


def test_oversize(world):
    """a command of more than 1 MiB: INVALID_ARGUMENT, BadRequest"""
    answer = world.ask(world.roles()[0], command_bytes=1024 * 1024 + 1)
    is_definite(answer, "INVALID_ARGUMENT", "INVALID_ARGUMENT", violations=["command"])


def test_sequence_alone(world):
    """a sequence without a client_id: INVALID_ARGUMENT, BadRequest"""
    answer = world.ask(world.roles()[0], sequence=1)
    is_definite(answer, "INVALID_ARGUMENT", "INVALID_ARGUMENT", violations=["client_id"])


def test_long_client_id(world):
    """a client_id of more than 64 bytes: INVALID_ARGUMENT, BadRequest"""
    answer = world.ask(world.roles()[0], client_id="i" * 65, sequence=1)
    is_definite(answer, "INVALID_ARGUMENT", "INVALID_ARGUMENT", violations=["client_id"])


def test_retry(world):
    """a retry of what is in the log: OK, duplicate"""
    leader, (other, _) = world.roles()
    for at, duplicate in ((leader, False), (other, True), (leader, True)):
        answer = world.ask(at, client_id="twice", sequence=7)
        expect(answer["code"] == "OK" and answer["duplicate"] == duplicate, f"it was answered with {answer}")


def test_sequence_too_old(world):
    """a sequence that has left the window: OUT_OF_RANGE, SEQUENCE_TOO_OLD"""
    _, (other, _) = world.roles()
    expect(world.ask(other, client_id="old", sequence=2000)["code"] == "OK", "the first was refused")
    answer = world.ask(other, client_id="old", sequence=976)
    metadata = {"client_id": "old", "sequence": "976", "known_above": "976"}
    is_definite(answer, "OUT_OF_RANGE", "SEQUENCE_TOO_OLD", metadata=metadata)


def test_term_changed(world):
    """an expected_term that is another: FAILED_PRECONDITION, TERM_CHANGED"""
    leader, (other, _) = world.roles()
    term = world.state(leader).term
    metadata = {"expected_term": str(term + 1), "term": str(term)}
    address = world.cluster.addresses[world.cluster.ids.index(leader)]
    answer = world.ask(other, expected_term=term + 1)
    is_definite(answer, "FAILED_PRECONDITION", "TERM_CHANGED", metadata=metadata, leader=(leader, address))


def test_overloaded(world):
    """more proposals at once than a node takes: RESOURCE_EXHAUSTED, OVERLOADED, RetryInfo"""
    with Caller(world.language, world.narrow.addresses[0], at_once=50) as caller:
        caller.propose()
        answer = caller.answer()
    is_definite(answer, "RESOURCE_EXHAUSTED", "OVERLOADED", retry_seconds=0.1, metadata={"limit": "1"})


def test_deadline(world):
    """a node that hangs: DEADLINE_EXCEEDED without ErrorInfo, the outcome is unknown"""
    _, (other, _) = world.roles()
    with world.caller(other, timeout_seconds=0.5) as caller, world.hung(other):
        caller.propose()
        is_unknown(caller.answer(), "DEADLINE_EXCEEDED")


def test_no_leader(world):
    """no leader: UNAVAILABLE, NO_LEADER, RetryInfo"""
    leader, (one, other) = world.roles()
    with world.caller(one) as caller, world.hung(leader, other):
        wait_until("a node without a leader", lambda: world.state(one).leader_id == "", 10)
        caller.propose()
        is_definite(caller.answer(), "UNAVAILABLE", "NO_LEADER", retry_seconds=0.5, leader=(None, None))


def test_storage_failed(world):
    """a node that finds its database gone: DATA_LOSS, RetryInfo"""
    leader, (one, other) = world.roles()
    database = world.cluster.folder / one / "data" / "raft.db"
    pid = world.cluster.pid(one)
    with world.caller(one) as caller, world.hung(leader, other):
        wait_until("a node without a leader", lambda: world.state(one).leader_id == "", 10)
        with world.cluster.may_fall(one, 74):
            database.rename(database.with_suffix(".away"))
            caller.propose()
            answer = caller.answer()
            database.with_suffix(".away").rename(database)
            wait_until("the node to run again", lambda: world.state(one), 20)
    is_definite(answer, "DATA_LOSS", "DATA_LOSS", retry_seconds=0, leader=(None, None))
    expect(world.cluster.pid(one) != pid, "the node went on")


def test_draining(world):
    """a node that shuts down: UNAVAILABLE, DRAINING, RetryInfo"""
    leader, others = world.roles()
    pid = world.cluster.pid(leader)
    with world.caller(leader) as caller, world.hung(*others), world.appended(leader):
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.3)  # For the signal to be taken. What is pending keeps the node for longer.
        caller.propose()
        answer = caller.answer()
    is_definite(answer, "UNAVAILABLE", "DRAINING", retry_seconds=0)
    world.cluster.wait_restarted(leader, pid)


def test_leadership_lost(world):
    """a leader that loses its followers after it appended: ABORTED, OUTCOME_UNKNOWN"""
    leader, others = world.roles()
    with world.hung(*others), world.appended(leader) as caller:
        is_definite(caller.answer(), "ABORTED", "OUTCOME_UNKNOWN")


def test_leader_killed(world):
    """a leader killed after it appended what another node forwarded: ABORTED, OUTCOME_UNKNOWN"""
    leader, (other, _) = world.roles()
    link, pid = world.cluster.links[other, leader], world.cluster.pid(leader)
    expect(world.ask(other)["code"] == "OK", "what a node forwards was refused")  # Now it has a stream to the leader.
    link.answers.clear()
    try:
        with world.appended(leader, at=other) as caller:
            os.kill(pid, signal.SIGKILL)
            link.break_connections()
            is_definite(caller.answer(), "ABORTED", "OUTCOME_UNKNOWN")
    finally:
        link.mend()
    world.cluster.wait_restarted(leader, pid)


def test_node_killed(world):
    """a node killed after it read a proposal: UNAVAILABLE without ErrorInfo, the outcome is unknown"""
    leader, others = world.roles()
    pid = world.cluster.pid(leader)
    with world.hung(*others), world.appended(leader) as caller:
        os.kill(pid, signal.SIGKILL)
        is_unknown(caller.answer(), "UNAVAILABLE")
    world.cluster.wait_restarted(leader, pid)
