"""Load through all services at once while leaders and a service are killed, and what must hold of it."""

import itertools
import threading
import time

from world import SERVICES, expect, in_threads


class Storm:
    """Records, counters and a register, written and read through all services at once while leaders are killed."""

    # Writing goes on until the last kill is over, however many more records that takes.
    RECORDS, WRITERS, INCREMENTS, KILLS = 2000, 9, 40, 3

    def __init__(self, world):
        self.world, self.lock = world, threading.Lock()
        self.acknowledged, self.increments = {}, {"counter-0": 0, "counter-1": 0}
        self.finished, self.killed, self.killed_service, self.kills_over = False, 0, False, False
        # Of the register: the last value sent, and the newest value that anybody was told.
        self.sent, self.known, self.reads, self.stale = 0, 0, 0, []

    def run(self):
        loads = [lambda k=k: self.write_records(k) for k in range(self.WRITERS)]
        loads += [lambda k=k: self.increment(k) for k in range(2 * SERVICES)]

        def run_loads():
            try:
                in_threads(loads)
            finally:
                self.finished = True

        in_threads(
            [run_loads, self.kill, self.write_register, lambda: self.read_register(1), lambda: self.read_register(2)]
        )

    def write_records(self, k):
        for n in itertools.count(k, self.WRITERS):
            if n >= self.RECORDS and self.kills_over:
                return
            self.world.clients[k % SERVICES].put(f"record-{n}", f"value {n}")
            with self.lock:
                self.acknowledged[f"record-{n}"] = (f"value {n}", k % SERVICES)

    def increment(self, k):
        client, key = self.world.clients[k % SERVICES], f"counter-{k % 2}"
        for _ in range(self.INCREMENTS):
            held = False
            while not held:
                value, version = client.get(key)
                held, _ = client.put(key, str(int(value or 0) + 1), if_version=version)
            with self.lock:
                self.increments[key] += 1

    def write_register(self):
        while not self.finished:
            with self.lock:
                self.sent += 1
            self.world.clients[0].put("register", str(self.sent))
            self.learn(self.sent)

    def read_register(self, k):
        while not self.finished:
            with self.lock:
                oldest = self.known
            value = int(self.world.clients[k].get("register")[0] or 0)
            with self.lock:
                newest = self.sent
            self.reads += 1
            if not oldest <= value <= newest:
                self.stale.append(f"kv{k + 1} read {value}, where {oldest} to {newest} was possible")
            self.learn(value)

    def learn(self, value):
        with self.lock:
            self.known = max(self.known, value)

    def kill(self):
        try:
            self.kill_leaders()
        finally:
            self.kills_over = True

    def kill_leaders(self):
        cluster = self.world.cluster
        while not self.finished and self.killed < self.KILLS:
            with self.lock:
                done = len(self.acknowledged)
            if done >= self.RECORDS * (self.killed + 1) // (self.KILLS + 1):
                leader, pid = cluster.kill_leader()
                self.killed += 1
                if self.killed == 2:
                    restart_service(self.world.services[1])
                    self.killed_service = True
                cluster.wait_restarted(leader, pid)
            time.sleep(0.02)


def restart_service(service):
    service.process.kill()
    service.process.wait()
    service.start()


def test_storm(world):
    """records, counters and a register are written through all services while leaders and a service are killed"""
    world.storm = Storm(world)
    world.storm.run()
    expect(world.storm.killed == Storm.KILLS, f"the leader was killed only {world.storm.killed} times")
    expect(world.storm.killed_service, "no service was killed")
    expect(len(world.storm.acknowledged) >= Storm.RECORDS, "records were not acknowledged")


def test_storm_records(world):
    """every acknowledged record is read back from a service that did not write it"""
    records = list(world.storm.acknowledged.items())

    def check(part):
        for key, (value, k) in records[part::6]:
            found, _ = world.clients[(k + 1) % SERVICES].get(key)
            expect(found == value, f"{key} is {found!r}")

    in_threads([lambda part=part: check(part) for part in range(6)])


def test_storm_counters(world):
    """counters incremented by compare-and-set stand at the number of acknowledged increments"""
    for key, count in world.storm.increments.items():
        expect(count == SERVICES * Storm.INCREMENTS, f"{count} increments of {key} were acknowledged")
        for client in world.clients:
            value, _ = client.get(key)
            expect(value == str(count), f"{client.service.name} has {key} at {value}, {count} were acknowledged")


def test_storm_register(world):
    """a read never returns less than what any service had acknowledged or returned before it began"""
    expect(world.storm.reads > 100, f"only {world.storm.reads} reads were made")
    expect(not world.storm.stale, "; ".join(world.storm.stale[:3]))


def test_copies_equal(world):
    """the three copies are equal in records, last applied index and digest"""
    statuses = world.settled()
    expect(len({(s["records"], s["applied"], s["digest"]) for s in statuses}) == 1, f"the copies differ: {statuses}")
    expect(statuses[0]["records"] >= Storm.RECORDS + 3, "records are missing")
