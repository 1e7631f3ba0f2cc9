"""What the polyglot tests share: a cluster with its services, and small tools."""

import http.client
import pathlib
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "examples" / "demo"), str(ROOT / "examples" / "python-kv")]

from cluster import (  # noqa: E402, F401
    Client,
    Failed,
    GaveUp,
    Service,
    end_process,
    log_pb2,
    stop_on_signals,
    wait_until,
)
from links import LinkedCluster  # noqa: E402

SERVICES = 3
GO_KV = ROOT / ".cache" / "go-kv"


def expect(holds, text):
    if not holds:
        raise Failed(text)


class GoService(Service):
    """One go-kv process. It has no database: at its start it reads the log."""

    def program(self):
        return [GO_KV]


KINDS = {"python": Service, "go": GoService}


class World:
    """A cluster of three nodes with three services of the given kinds, and a client of each."""

    def __init__(self, folder, base_port, kinds, options=()):
        self.folder, self.base_port = folder, base_port
        self.cluster = LinkedCluster(folder / "nodes", base_port, options=options)
        self.services = [KINDS[kind](self.cluster, folder, k) for k, kind in enumerate(kinds)]
        self.clients = [Client(service) for service in self.services]

    def start(self):
        self.folder.mkdir()
        self.cluster.start()
        for service in self.services:
            service.start()

    def stop(self):
        for service in self.services:
            service.stop()
        self.cluster.stop()

    def settled(self, seconds=30):
        """The statuses of the services once all have applied the same index."""

        def equal():
            statuses = [client.status() for client in self.clients]
            return statuses if len({status["applied"] for status in statuses}) == 1 else None

        return wait_until("services that have applied the same index", equal, seconds)

    def node_pid(self, k):
        return self.cluster.pid(self.cluster.ids[k])


def in_threads(works):
    """Runs all at once, waits for all, and raises the first error."""
    errors = []

    def guarded(work):
        try:
            work()
        except Exception as error:  # Whatever it is, it is the result of this thread.
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def raw(service, method, path, body=None, headers=None):
    """One request without any retry."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=40)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()
