"""A replicated key-value service: HTTP in front, SQLite behind, a raft-sidecar beside it that keeps copies equal."""

import argparse
import json
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from sidecar import NotWritten, OutcomeUnknown, Refused, Sidecar, WrongLog
from snapshots import Snapshots
from store import Store, encode

REQUEST_SECONDS = 15.0
MAX_KEY_BYTES = 1024
MAX_VALUE_BYTES = 128 * 1024
MAX_ID_BYTES = 128
MAX_REQUESTS = 64


class BadRequest(Exception):
    pass


class Server(ThreadingHTTPServer):
    request_queue_size = MAX_REQUESTS

    def __init__(self, port, sidecar, store):
        super().__init__(("127.0.0.1", port), Handler)
        self.sidecar, self.store, self.slots = sidecar, store, threading.BoundedSemaphore(MAX_REQUESTS)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60  # of a connection on which nothing comes
    wbufsize = -1

    def do_GET(self):
        self.handle_limited(self.read)

    def do_PUT(self):
        self.handle_limited(self.write)

    def do_DELETE(self):
        self.handle_limited(self.write)

    def read(self, deadline):
        sidecar, store = self.server.sidecar, self.server.store
        if self.path == "/_status":
            return self.answer(200, {**store.status(), "retries": sidecar.retries, "put": sidecar.snapshots.put})
        key = self.key()
        # Only after this barrier is every write included that was answered before.
        if not sidecar.barrier(deadline):
            raise NotWritten()
        found = store.get(key)
        if found is None:
            return self.answer(404, {"error": "no such key"})
        self.answer(200, found[0].encode(), {"ETag": f'"{found[1]}"'})

    def write(self, deadline):
        value, key, if_version = self.value(), self.key(), self.condition()
        request_id = self.headers.get("Idempotency-Key", "")
        if len(request_id) > MAX_ID_BYTES or not request_id.isascii():
            raise BadRequest(f"an Idempotency-Key has at most {MAX_ID_BYTES} bytes, all ASCII")
        try:
            # Whether the condition held is known only once the command is applied, here as everywhere.
            status, version = self.server.sidecar.propose(encode(request_id, key, value, if_version), deadline)
        except OutcomeUnknown:
            error = "outcome unknown; a retry, at any of the services, is safe with the same Idempotency-Key only"
            return self.answer(504, {"error": error})
        self.answer(status, {"version": version}, {"ETag": f'"{version}"'})

    def key(self):
        key = unquote(self.path.removeprefix("/kv/"), errors="strict")
        if not self.path.startswith("/kv/") or not 1 <= len(key.encode()) <= MAX_KEY_BYTES:
            raise BadRequest(f"the path is /kv/KEY, with 1 to {MAX_KEY_BYTES} bytes of key")
        return key

    def value(self):
        if self.command == "DELETE":
            return None
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_VALUE_BYTES:
            self.close_connection = True  # The body stays unread.
            raise BadRequest(f"a Content-Length of 0 to {MAX_VALUE_BYTES} is needed")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise BadRequest("the connection ended within the body")
        return body.decode()

    def condition(self):
        """If-Match: "7" means only over version 7; If-None-Match: * means only where there is nothing yet."""
        if self.headers.get("If-None-Match") == "*":
            return 0
        match = self.headers.get("If-Match")
        if match is None:
            return None
        if not re.fullmatch(r'"?[0-9]{1,16}"?', match):
            raise BadRequest("If-Match takes one ETag, as a GET returns it")
        return int(match.strip('"'))

    def handle_limited(self, handle):
        retry_soon = {"Retry-After": "1"}
        if not self.server.slots.acquire(blocking=False):
            self.close_connection = True
            return self.answer(503, {"error": "too many requests at once; nothing was done"}, retry_soon)
        try:
            handle(time.monotonic() + REQUEST_SECONDS)
        except NotWritten:
            self.answer(503, {"error": "no quorum could be reached; nothing was written"}, retry_soon)
        except (BadRequest, Refused, UnicodeDecodeError) as error:
            self.answer(400, {"error": str(error)})
        finally:
            self.server.slots.release()

    def answer(self, status, body, headers=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode() + b"\n"
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/plain; charset=utf-8" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="HTTP port, on loopback")
    parser.add_argument("--database", required=True, help="SQLite file; made where it is missing")
    parser.add_argument(
        "--nodes", required=True, help="host:port of each node's client listener, our own sidecar first"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    store = Store(options.database)
    server = Server(options.port, Sidecar(options.nodes.split(","), store, Snapshots(store)), store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{options.port}/kv/", flush=True)
    try:
        # In the main thread: when the store or the log fails, so does the process.
        server.sidecar.follow()
    except WrongLog as error:
        sys.exit(f"{options.database} does not go with this log: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
