"""What a client of the services may rely on while nothing fails."""

from world import SERVICES, expect, in_threads, log_pb2, raw, wait_until


def test_reads_on_every_service(world):
    """a write is read on every service as soon as it is acknowledged"""
    for n in range(30):
        world.clients[n % SERVICES].put("shared", str(n))
        for client in world.clients:
            expect(client.get("shared")[0] == str(n), f"{client.service.name} answered an older value than {n}")


def test_compare_and_set(world):
    """a compare-and-set writes only over the version that it names"""
    a, b, c = world.clients
    expect(a.put("cas", "one", if_version=0)[0], "creating an absent key was refused")
    _, version = b.get("cas")
    expect(not b.put("cas", "two", if_version=0)[0], "a key was created twice")
    expect(not c.put("cas", "two", if_version=version + 1000)[0], "another version was accepted")
    held, newer = c.put("cas", "two", if_version=version)
    expect(held and newer > version, "the present version was refused")
    expect(a.put("cas", "three", if_version=version) == (False, newer), "an older version was accepted")
    expect(a.get("cas") == ("two", newer), "the value isn't that of the one that won")


def test_one_of_many_creates(world):
    """of many concurrent creations of one key through all services exactly one succeeds"""
    for n in range(5):
        won = []

        def create(k, n=n, won=won):
            if world.clients[k % SERVICES].put(f"race-{n}", str(k), if_version=0)[0]:
                won.append(k)

        in_threads([lambda k=k: create(k) for k in range(9)])
        expect(len(won) == 1, f"{len(won)} of 9 creations succeeded")
        expect(world.clients[0].get(f"race-{n}")[0] == str(won[0]), "the value isn't that of the one that won")


def test_retry_with_same_id(world):
    """a write repeated under the same id at another service is applied once and answered as the first time"""
    a, b, c = world.clients
    first = a.put("once", "1", if_version=0, request_id="polyglot-once")
    expect(
        b.put("once", "1", if_version=0, request_id="polyglot-once") == first, "the repetition was answered otherwise"
    )
    a.put("once", "2")
    expect(
        c.put("once", "1", if_version=0, request_id="polyglot-once") == first, "the repetition was answered otherwise"
    )
    expect(b.get("once")[0] == "2", "the repetition was applied again")


def test_delete(world):
    """a deleted key is gone on every service"""
    world.clients[0].put("gone", "soon")
    status, _, _ = raw(world.services[1], "DELETE", "/kv/gone")
    expect(status == 200, f"the deletion was answered with {status}")
    expect(all(client.get("gone") == (None, 0) for client in world.clients), "the key is still there")


def test_foreign_commands(world):
    """commands that another program proposed to the log are skipped by every copy"""
    foreign = [
        b"hello",
        b"\xff\xfe",
        b"kv1 - 0 1 1\n",
        b"kv1 - 0 1 1\nkvv",
        b"kv1 - 0 1 1 \nkv",
        b"kv1 -1 0 1 1\nkv",
        b"kv1 - +0 1 1\nkv",
        b"kv1 12345678901234567 0 1 1\nkv",
        b"kv1 - 9999999 9999999 9999999\nkv",
        "kv1 - 0 1 \u0661\nkv".encode(),
        b"kv1 - 1 1 1\n\xffkv",
        b"kv1 - 0 2 1\n\xed\xa0v",
        b"kv1 - 0 1 1\nk\xc0",
        b"kv1 - 0 1 1\r\nkv",
        b"\nkv1 - 0 1 1\nkv",
    ]
    before, stub = world.settled()[0], world.cluster.stubs[0]
    for command in foreign:
        last = stub.Propose(log_pb2.ProposeRequest(command=command), timeout=30).index
    wait_until("services past the foreign commands", lambda: world.settled()[0]["applied"] >= last, 30)
    statuses = world.settled()
    expect(len({status["digest"] for status in statuses}) == 1, "the copies differ")
    expect(statuses[0]["digest"] == before["digest"], "a foreign command changed the state")


def test_bad_requests(world):
    """a request that can't be served is refused, and changes nothing"""
    service = world.services[0]
    for method, path, body, headers in (
        ("PUT", "/kv/", b"v", {}),
        ("PUT", "/elsewhere", b"v", {}),
        ("PUT", "/kv/" + "k" * 2000, b"v", {}),
        ("PUT", "/kv/k", b"v" * 200_000, {}),
        ("PUT", "/kv/k", b"\xff", {}),
        ("PUT", "/kv/k", b"v", {"If-Match": "none"}),
        ("PUT", "/kv/k", b"v", {"If-Match": '"12345678901234567"'}),
        ("PUT", "/kv/k", b"v", {"Idempotency-Key": "i" * 200}),
        ("PUT", "/kv/k", b"v", {"Idempotency-Key": "\u00e9"}),
        ("GET", "/kv/%ff", None, {}),
    ):
        try:
            status, _, _ = raw(service, method, path, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            status = 400  # Refused before the whole body was sent.
        expect(status == 400, f"{method} {path[:20]} was answered with {status}")
    expect(world.clients[1].get("k") == (None, 0), "a refused request wrote")
