"""Transfers between accounts through all services at once, while leaders and services are killed and links are cut. A
transfer is two writes, so that one that is lost, or made twice, changes the bank's total."""

import random
import threading
import time
import uuid

from storm import restart_service
from world import GaveUp, expect, in_threads, log_pb2


class Bank:
    ACCOUNTS, BALANCE, WORKERS, TRANSFERS = 8, 1000, 6, 150

    def __init__(self, world):
        self.world, self.lock, self.trouble_over = world, threading.Lock(), False
        self.transfers, self.refused, self.repeated = 0, 0, 0

    def run(self):
        for account in range(self.ACCOUNTS):
            self.world.clients[0].put(f"account-{account}", f"{self.BALANCE} 0")
        in_threads([lambda k=k: self.work(random.Random(k)) for k in range(self.WORKERS)] + [self.make_trouble])

    def work(self, chance):
        """Goes on until the trouble is over, however many transfers that takes."""
        done = 0
        while done < self.TRANSFERS or not self.trouble_over:
            done += 1
            source, target = chance.sample(range(self.ACCOUNTS), 2)
            amount = chance.randint(1, 300)
            made = self.change(chance, source, -amount) and self.change(chance, target, amount)
            with self.lock:
                self.transfers += made
                self.refused += not made

    def change(self, chance, account, by):
        """Books on one account, and counts the bookings in the same value. False where that would overdraw it."""
        held = False
        while not held:
            value, version = chance.choice(self.world.clients).get(f"account-{account}")
            balance, bookings = map(int, value.split())
            if balance + by < 0:
                return False
            held = self.put(chance, f"account-{account}", f"{balance + by} {bookings + 1}", version)
        return True

    def put(self, chance, key, value, version):
        """Repeats one compare-and-set, at any of the services, until one of them says what became of it."""
        request_id = uuid.uuid4().hex
        while True:
            try:
                return chance.choice(self.world.clients).put(key, value, version, request_id, seconds=0)[0]
            except GaveUp:
                with self.lock:
                    self.repeated += 1

    def make_trouble(self):
        cluster = self.world.cluster
        try:
            for k in range(2):
                time.sleep(1)
                cluster.isolate(cluster.wait_leader(), 2)
                cluster.wait_ready()
                leader, pid = cluster.kill_leader()
                restart_service(self.world.services[k])
                cluster.wait_restarted(leader, pid)
        finally:
            self.trouble_over = True


def test_bank(world):
    """transfers between accounts go on while leaders and services are killed and links are cut"""
    world.bank = Bank(world)
    world.bank.run()
    expect(world.bank.transfers >= 300, f"only {world.bank.transfers} transfers were made")
    expect(world.bank.repeated > 0, "no write had to be repeated")


def test_bank_total(world):
    """the bank's total is what it was at the start, and each acknowledged transfer was made once, on every copy"""
    for client in world.clients:
        accounts = [client.get(f"account-{account}")[0].split() for account in range(Bank.ACCOUNTS)]
        total, bookings = (sum(int(account[k]) for account in accounts) for k in range(2))
        expect(total == Bank.ACCOUNTS * Bank.BALANCE, f"{client.service.name} has {total}")
        made = 2 * world.bank.transfers
        expect(bookings == made, f"{client.service.name} has {bookings} bookings, {made} were acknowledged")


def test_bank_log(world):
    """no proposal stands in the log twice, although the services repeated some"""
    last = min(status["applied"] for status in world.settled())
    expect(sum(client.status()["retries"] for client in world.clients) > 0, "no service had to repeat a proposal")
    found, stream = set(), world.cluster.stubs[0].ApplyStream(log_pb2.ApplyStreamRequest(), timeout=60)
    for response in stream:
        for entry in response.batch.entries:
            proposal = (entry.client_id, entry.sequence)
            expect(proposal not in found, f"{proposal} is in the log a second time at {entry.index}")
            if entry.client_id:
                found.add(proposal)
        if response.batch.last_index >= last:
            break
    stream.cancel()
    expect(len(found) > 2 * world.bank.transfers, f"the log has only {len(found)} proposals of services")


def test_bank_copies(world):
    """the three copies are equal after all that"""
    statuses = world.settled()
    expect(len({(s["records"], s["applied"], s["digest"]) for s in statuses}) == 1, f"the copies differ: {statuses}")
