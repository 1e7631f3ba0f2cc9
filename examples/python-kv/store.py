"""The state machine: keys and values in SQLite, and in the same transactions how far the log was applied."""

import contextlib
import hashlib
import json
import re
import sqlite3
import threading
import time

# How many log positions the result of a caller's request is remembered. A repetition later than that is a new request.
REMEMBERED = 100_000

# How `snapshot` writes the state: a JSON object on each line, for a record or for a remembered request, and those in
# the order of the log. go-kv writes and reads the same.
FORMAT = "kv-json/1"

# Condition, then the lengths of id, key and value in bytes: as strict as can be, so that in every language the same
# commands are valid.
HEADER = re.compile(rb"kv1 (-|[0-9]{1,16}) ([0-9]{1,7}) ([0-9]{1,7}) (-|[0-9]{1,7})\n")

SCHEMA = """
CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value TEXT NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS request (id TEXT PRIMARY KEY, at INTEGER NOT NULL, status INTEGER NOT NULL,
                                    version INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS request_at ON request (at);
CREATE TABLE IF NOT EXISTS position (applied INTEGER NOT NULL, term INTEGER NOT NULL, log_id BLOB NOT NULL);
INSERT INTO position SELECT 0, 0, x'' WHERE NOT EXISTS (SELECT * FROM position);
"""


def encode(request_id, key, value, if_version):
    """A command. A value of None deletes; if_version None means always, 0 means only where the key is absent. An empty
    request_id is none."""
    parts = [request_id.encode(), key.encode(), b"" if value is None else value.encode()]
    condition = "-" if if_version is None else if_version
    header = f"kv1 {condition} {len(parts[0])} {len(parts[1])} {'-' if value is None else len(parts[2])}\n"
    return header.encode() + b"".join(parts)


def decode(data):
    """The four fields of a command, or None for what another program proposed to the same log."""
    header = HEADER.match(data)
    if header is None:
        return None
    condition, *lengths = header.groups()
    id_end, key_size, value_size = (0 if length == b"-" else int(length) for length in lengths)
    rest, key_end = data[header.end() :], id_end + key_size
    if len(rest) != key_end + value_size:
        return None
    try:
        request_id, key, value = rest[:id_end].decode(), rest[id_end:key_end].decode(), rest[key_end:].decode()
    except UnicodeDecodeError:
        return None
    return request_id, key, None if lengths[2] == b"-" else value, None if condition == b"-" else int(condition)


class Store:
    def __init__(self, path):
        self.path = path
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # After a power cut the last transactions may be gone, but state and position together: the log has the rest.
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.executescript(SCHEMA)
        # Guards the connection and what follows, and tells readers when `covered` rises.
        self.changed = threading.Condition()
        self.applied, self.term, self.log_id = self.db.execute("SELECT applied, term, log_id FROM position").fetchone()
        # Index of the last snapshot that this process has restored; 0 for none.
        self.restored = 0
        # Every command up to here is applied. Above `applied` by the sidecar's own entries, which we never see.
        self.covered = self.applied

    def name_log(self, log_id):
        """Remembers which log this state was made from."""
        with self.changed:
            self.db.execute("UPDATE position SET log_id = ?", (log_id,))
            self.log_id = log_id

    def apply(self, entries):
        """Applies committed entries in one transaction with their position, and skips those it already has. Returns
        (entry, (HTTP status, version)) of each that it applied."""
        applied, term, results = self.applied, self.term, []
        with self.changed:
            with self._transaction():
                for entry in entries:
                    if entry.index > applied:
                        results.append((entry, self._apply_one(entry.index, entry.command)))
                        applied, term = entry.index, entry.term
                self.db.execute("DELETE FROM request WHERE at <= ?", (applied - REMEMBERED,))
                self.db.execute("UPDATE position SET applied = ?, term = ?", (applied, term))
            self.applied, self.term = applied, term
        return results

    def snapshot(self):
        """(index, term, lines) of the state as it is now. The lines come from a connection of its own, which sees this
        one state for as long as it reads, while the apply loop goes on."""
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        db.execute("BEGIN")
        index, term = db.execute("SELECT applied, term FROM position").fetchone()
        return index, term, read_lines(db)

    def restore(self, index, term, lines):
        """Replaces everything by a snapshot, in one transaction with its position."""
        with self.changed:
            with self._transaction():
                self.db.execute("DELETE FROM kv")
                self.db.execute("DELETE FROM request")
                for line in lines:
                    fields = json.loads(line)
                    if "key" in fields:
                        self.db.execute("INSERT INTO kv VALUES (:key, :value, :version)", fields)
                    else:
                        self.db.execute("INSERT INTO request VALUES (:id, :at, :status, :version)", fields)
                self.db.execute("UPDATE position SET applied = ?, term = ?", (index, term))
            self.applied, self.term, self.restored = index, term, index

    @contextlib.contextmanager
    def _transaction(self):
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    def _apply_one(self, index, data):
        # Nothing here may depend on anything but the log up to `index`, or the replicas would come apart. That is why
        # a remembered request is looked up by position: old rows are deleted at different moments on each replica.
        command = decode(data)
        if command is None:
            return None
        request_id, key, value, if_version = command
        if request_id:
            known = "SELECT status, version FROM request WHERE id = ? AND at > ?"
            result = self.db.execute(known, (request_id, index - REMEMBERED)).fetchone()
            if result:
                return result
        row = self.db.execute("SELECT version FROM kv WHERE key = ?", (key,)).fetchone()
        version, status = row[0] if row else 0, 412
        if if_version is None or if_version == version:
            status = 200
            if value is None:
                version = 0
                self.db.execute("DELETE FROM kv WHERE key = ?", (key,))
            else:
                version = index
                self.db.execute("INSERT OR REPLACE INTO kv VALUES (?, ?, ?)", (key, value, version))
        if request_id:
            self.db.execute("INSERT OR REPLACE INTO request VALUES (?, ?, ?, ?)", (request_id, index, status, version))
        return status, version

    def cover(self, index):
        """Everything up to index is applied: lets the requests go on that wait for it."""
        with self.changed:
            if index > self.covered:
                self.covered = index
                self.changed.notify_all()

    def wait_for(self, index, deadline):
        """Waits until everything up to index is applied. False when the deadline (time.monotonic) came first."""
        with self.changed:
            return self.changed.wait_for(lambda: self.covered >= index, max(0.0, deadline - time.monotonic()))

    def get(self, key):
        """(value, version), or None."""
        with self.changed:
            return self.db.execute("SELECT value, version FROM kv WHERE key = ?", (key,)).fetchone()

    def status(self):
        """Count, position and a SHA-256 over the sorted keys and values, each preceded by its length in bytes."""
        digest, records = hashlib.sha256(), 0
        with self.changed:
            for pair in self.db.execute("SELECT key, value FROM kv ORDER BY key"):
                records += 1
                for text in pair:
                    data = text.encode()
                    digest.update(b"%d:" % len(data) + data)
            position = {"applied": self.applied, "restored": self.restored}
            return {"records": records, "digest": digest.hexdigest(), **position}


def read_lines(db):
    """A snapshot's lines, of the state that the connection sees. Closes it at the end."""
    with contextlib.closing(db):
        for columns, rows in (
            (("key", "value", "version"), "FROM kv ORDER BY key"),
            (("id", "at", "status", "version"), "FROM request ORDER BY at"),
        ):
            for row in db.execute(f"SELECT {', '.join(columns)} {rows}"):
                line = json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False)
                yield line.encode() + b"\n"
