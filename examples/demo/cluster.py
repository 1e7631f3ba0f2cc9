"""Nodes and python-kv services on loopback, each a process of its own, for the demo and the polyglot test."""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from urllib.parse import quote

ROOT = pathlib.Path(__file__).resolve().parents[2]
KV = ROOT / "examples" / "python-kv"
sys.path.insert(0, str(KV / "stubs"))

import grpc  # noqa: E402
from raft.v1 import log_pb2, log_pb2_grpc  # noqa: E402

CHANNEL_OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]


class Failed(Exception):
    """What the demo or the test was to show does not hold, or it could not be started."""


def stop_on_signals():
    """Makes SIGTERM and SIGHUP end the program as Ctrl-C does: by way of the `finally` blocks that end processes."""

    def interrupt(*_):
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def wait_until(what, check, seconds):
    """Polls until `check` returns something true, and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failed(f"gave up after {seconds} s of waiting for {what}")
        time.sleep(0.05)


def end_process(process, number, seconds):
    """Ends one process that we started; with SIGKILL when it doesn't heed `number` in time."""
    if process.poll() is not None:
        return
    process.send_signal(number)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def sidecar():
    """The start of a command line of the sidecar that was built here."""
    node, main = ROOT / "node_modules/.bin/node", ROOT / "dist/main.js"
    if not node.exists() or not main.exists():
        raise Failed(f"{main.relative_to(ROOT)} or the pinned Node is missing: run `make build`")
    return [node, main]


class Cluster:
    """`raft-sidecar dev --restart` in a folder of its own: a node that is killed comes back by itself."""

    def __init__(self, folder, base_port, nodes=3):
        self.folder, self.base_port = pathlib.Path(folder), base_port
        self.ids = [f"n{k + 1}" for k in range(nodes)]
        self.addresses = [f"127.0.0.1:{base_port + 10 * k}" for k in range(nodes)]
        channels = [grpc.insecure_channel(address, options=CHANNEL_OPTIONS) for address in self.addresses]
        self.stubs = [log_pb2_grpc.LogServiceStub(channel) for channel in channels]
        self.process = None

    def start(self):
        for port in (self.base_port + 10 * k + j for k in range(len(self.ids)) for j in range(4)):
            require_free(port)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.output = self.folder.parent / f"{self.folder.name}.out"
        command = [*sidecar(), "dev", "--nodes", str(len(self.ids)), "--base-port", str(self.base_port)]
        command += ["--data-dir", self.folder, "--restart"]
        with self.output.open("ab") as output:
            # A session of its own: Ctrl-C at our terminal reaches only us, and we end the rest in order.
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self.wait_ready()

    def stop(self):
        if self.process is None:
            return
        pids = {node_id: self.pid(node_id) for node_id in self.ids}
        end_process(self.process, signal.SIGINT, 15)
        for pid in filter(None, pids.values()):
            if self.is_ours(pid):
                os.kill(pid, signal.SIGKILL)

    def is_ours(self, pid):
        """Whether a process with this id still runs one of our nodes: the id may have been given to another since."""
        try:
            return str(self.folder).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    def pid(self, node_id):
        try:
            return int((self.folder / node_id / "pid").read_text())
        except (OSError, ValueError):
            return None

    def states(self):
        """What each node says of itself; None for a node that doesn't answer."""
        calls = [stub.GetState.future(log_pb2.GetStateRequest(), timeout=1.0) for stub in self.stubs]
        return [None if call.exception() else call.result() for call in calls]

    def leader(self):
        """Id of the leader of the highest term, or None."""
        leaders = [state for state in self.states() if state and state.role == log_pb2.ROLE_LEADER]
        return max(leaders, key=lambda state: state.term).id if leaders else None

    def ready(self):
        """Whether every node answers, and all agree on one leader and term."""
        self.require_running()
        states = self.states()
        return (
            all(states) and len({(state.term, state.leader_id) for state in states}) == 1 and states[0].leader_id != ""
        )

    def require_running(self):
        if self.process.poll() is not None:
            raise Failed(f"the cluster ended by itself:\n{self.output.read_text(errors='replace')[-2000:]}")

    def wait_ready(self):
        wait_until("nodes that agree on a leader", self.ready, 60)

    def wait_leader(self):
        return wait_until("a leader", self.leader, 30)

    def kill_leader(self):
        """Kills the leader with SIGKILL and returns its node id and process id."""
        leader = self.wait_leader()
        pid = self.pid(leader)
        os.kill(pid, signal.SIGKILL)
        return leader, pid

    def wait_restarted(self, node_id, old_pid):
        wait_until(f"{node_id} to be started again", lambda: self.pid(node_id) not in (None, old_pid), 30)
        self.wait_ready()


class Service:
    """One process of an example service, python-kv unless a subclass says otherwise, with the k-th node as its own
    sidecar."""

    def __init__(self, cluster, folder, k):
        self.name, self.k = f"kv{k + 1}", k
        self.port = cluster.base_port + 10 * k + 3
        self.folder, self.database = pathlib.Path(folder), pathlib.Path(folder) / f"kv{k + 1}.db"
        self.nodes = cluster.addresses[k:] + cluster.addresses[:k]
        self.process = None

    def start(self):
        require_free(self.port)
        command = [*self.program(), "--port", str(self.port), "--nodes", ",".join(self.nodes)]
        self.output = self.folder / f"{self.name}.out"
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        wait_until(f"{self.name} to listen", self.listening, 30)

    def program(self):
        return [sys.executable, KV / "kv.py", "--database", self.database]

    def listening(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.name} ended by itself:\n{self.output.read_text(errors='replace')[-2000:]}")
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def stop(self):
        if self.process is not None:
            end_process(self.process, signal.SIGTERM, 5)


def require_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Failed(f"port {port} is taken: free it, or choose others with --base-port") from error


class GaveUp(Exception):
    """A request had no definite answer within its time."""


class Client:
    """An HTTP client of one service with a connection per thread. Repeats what may be repeated, and counts it."""

    def __init__(self, service):
        self.service, self.local, self.lock = service, threading.local(), threading.Lock()
        self.retried = 0

    def get(self, key, seconds=60):
        """(value, version), or (None, 0)."""
        status, headers, body = self.request("GET", f"/kv/{quote(key, safe='')}", None, {}, seconds)
        return (body.decode(), int(headers["ETag"].strip('"'))) if status == 200 else (None, 0)

    def put(self, key, value, if_version=None, request_id=None, seconds=60):
        """(whether the condition held, version). Repeated under one id until there is a definite answer."""
        headers = {"Idempotency-Key": request_id or uuid.uuid4().hex}
        if if_version is not None:
            headers["If-Match"] = f'"{if_version}"'
        status, headers, _ = self.request("PUT", f"/kv/{quote(key, safe='')}", value.encode(), headers, seconds)
        return status == 200, int(headers["ETag"].strip('"'))

    def status(self):
        return json.loads(self.request("GET", "/_status", None, {}, 30)[2])

    def request(self, method, path, body, headers, seconds):
        deadline = time.monotonic() + seconds
        while True:
            try:
                status, answer_headers, answer = self.once(method, path, body, headers)
            except (OSError, http.client.HTTPException):
                self.local.connection = None
                status, answer_headers, answer = 0, {}, b""
            if status in (200, 404, 412):
                return status, answer_headers, answer
            if status == 400:
                raise Failed(f"{method} {path}: {answer.decode()}")
            with self.lock:
                self.retried += 1
            if time.monotonic() > deadline:
                raise GaveUp(f"{method} {path}: {status} {answer.decode()}")
            time.sleep(0.1)

    def once(self, method, path, body, headers):
        connection = getattr(self.local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=30)
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.local.connection = connection
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
