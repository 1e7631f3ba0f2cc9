"""A cluster whose nodes reach each other over links that a test can cut, and start again when they were killed."""

import contextlib
import signal
import socket
import subprocess
import threading
import time

from cluster import Cluster, Failed, end_process, require_free, sidecar


class Link:
    """One node's way to another, through a port of its own. What doesn't get through is held back, as by a network that
    loses all packets, until it is mended or the connections are broken."""

    def __init__(self, port, target):
        self.target, self.connections = target, set()
        # Set while the one that dials is heard, and while it hears.
        self.requests, self.answers = threading.Event(), threading.Event()
        self.mend()
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        self.requests.clear()
        self.answers.clear()

    def mend(self):
        self.requests.set()
        self.answers.set()

    def break_connections(self):
        for connection in list(self.connections):
            shut_down(connection)

    def close(self):
        shut_down(self.listener)
        self.listener.close()
        self.break_connections()
        self.mend()

    def _accept(self):
        while True:
            try:
                incoming, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(incoming,), daemon=True).start()

    def _connect(self, incoming):
        self.requests.wait()
        try:
            outgoing = socket.create_connection(("127.0.0.1", self.target), 5)
        except OSError:
            incoming.close()
            return
        outgoing.settimeout(None)
        for connection in (incoming, outgoing):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections.add(connection)
        back = threading.Thread(target=self._pass_on, args=(outgoing, incoming, self.answers), daemon=True)
        back.start()
        self._pass_on(incoming, outgoing, self.requests)
        back.join()
        for connection in (incoming, outgoing):
            self.connections.discard(connection)
            connection.close()

    def _pass_on(self, source, sink, is_open):
        try:
            while data := source.recv(65536):
                is_open.wait()
                sink.sendall(data)
        except OSError:
            pass
        shut_down(source)
        shut_down(sink)


def shut_down(connection):
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It was already.


class LinkedCluster(Cluster):
    """Nodes that are processes of `serve`, each started again when it was killed. A node's links to the others listen
    on its own port + 4 and above."""

    def __init__(self, folder, base_port, nodes=3, options=()):
        super().__init__(folder, base_port, nodes)
        self.options, self.links, self.processes = list(options), {}, {}
        self.lock, self.stopping, self.fallen = threading.Lock(), False, None
        # (node id, exit code) that a test has brought about.
        self.expected = set()

    def start(self):
        peer_ports = {node_id: self.base_port + 10 * k + 1 for k, node_id in enumerate(self.ids)}
        for k, node_id in enumerate(self.ids):
            (self.folder / node_id).mkdir(parents=True)
            for port in range(self.base_port + 10 * k, self.base_port + 10 * k + 3):
                require_free(port)
            for j, other in enumerate(self.ids):
                if other != node_id:
                    self.links[node_id, other] = Link(self.base_port + 10 * k + 4 + j, peer_ports[other])
        for node_id in self.ids:
            self._start_node(node_id)
        threading.Thread(target=self._restart_killed, daemon=True).start()
        self.wait_ready()

    def stop(self):
        with self.lock:
            self.stopping = True
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            end_process(process, signal.SIGTERM, 8)
        for link in self.links.values():
            link.close()

    def require_running(self):
        if self.fallen:
            raise Failed(self.fallen)

    def isolate(self, node_id, seconds):
        """Cuts a node off from all others for a while."""
        links = [link for ends, link in self.links.items() if node_id in ends]
        for link in links:
            link.cut()
        time.sleep(seconds)
        for link in links:
            link.mend()

    @contextlib.contextmanager
    def may_fall(self, node_id, code):
        """While this node may end by itself with this code. It is started again until it goes on."""
        self.expected.add((node_id, code))
        try:
            yield
        finally:
            self.expected.discard((node_id, code))

    def _start_node(self, node_id):
        k, folder = self.ids.index(node_id), self.folder / node_id
        port = self.base_port + 10 * k
        members = (
            f"{other}=127.0.0.1:{port + 1 if other == node_id else port + 4 + j}" for j, other in enumerate(self.ids)
        )
        command = [*sidecar(), "serve", "--id", node_id, "--cluster-id", "polyglot", "--data-dir", folder / "data"]
        command += ["--client-address", f"127.0.0.1:{port}", "--peer-address", f"127.0.0.1:{port + 1}"]
        command += ["--http-address", f"127.0.0.1:{port + 2}", "--initial-cluster", ",".join(members), *self.options]
        with (folder / "log").open("ab") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self.processes[node_id] = process
        (folder / "pid").write_text(f"{process.pid}\n")

    def _restart_killed(self):
        while True:
            time.sleep(0.1)
            with self.lock:
                if self.stopping:
                    return
                for node_id, process in list(self.processes.items()):
                    code = process.poll()
                    if code is None:
                        continue
                    if code not in (0, -signal.SIGKILL) and (node_id, code) not in self.expected:
                        self.fallen = f"{node_id} ended by itself with {code}: {self.folder / node_id / 'log'}"
                    self._start_node(node_id)
