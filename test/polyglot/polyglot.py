"""The example services, and clients' view of failures, against live clusters whose leaders, nodes and services are
killed, and against nodes that a test plays; `make test-polyglot`. Tests of Go are skipped where there is no Go. The last
line counts: `N passed, N failed`, and `N skipped` where some were."""

import argparse
import contextlib
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import bank
import compaction
import errors
import failures
import handover
import semantics
import storm
from world import GO_KV, KINDS, ROOT, Failed, World, stop_on_signals

NO_GO = "needs Go 1.24 or newer"


class Run:
    """Counts tests, and says of each what came of it."""

    def __init__(self):
        self.passed, self.failed, self.skipped = 0, 0, 0

    def skip(self, group, tests, why):
        self.skipped += len(tests)
        for test in tests:
            print(f"skipped {group}: {test.__doc__}: {why}", flush=True)

    def group(self, group, world, tests):
        """Tests of one world, which is started for them and ended after them."""
        try:
            world.start()
            for test in tests:
                self.test(f"{group}: {test.__doc__}", lambda test=test: test(world))
        except Failed as error:
            self.failed += 1
            print(f"FAILED  {group}: the cluster starts: {error}", flush=True)
        finally:
            with undisturbed():
                world.stop()

    def test(self, title, test):
        begun = time.monotonic()
        try:
            test()
            self.passed += 1
            print(f"ok      {title} ({time.monotonic() - begun:.1f} s)", flush=True)
        except Exception as error:  # Any error is a failure of this test; the next ones still run.
            self.failed += 1
            print(f"FAILED  {title}: {error}", flush=True)
            if not isinstance(error, Failed):
                traceback.print_exc()


@contextlib.contextmanager
def undisturbed():
    """Ctrl-C and the like would only leave something running."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def groups(folder, base_port):
    """(name, whether it needs Go, world, tests) of each group of tests."""
    whole = [semantics, storm, bank, failures]
    for name, kinds, modules in (
        ("python services", ["python"] * 3, whole),
        ("go services", ["go"] * 3, whole),
        ("mixed services", ["go", "python", "go"], [semantics, storm, bank]),
    ):
        yield name, "go" in kinds, World(folder / name.replace(" ", "-"), base_port, kinds), tests_in(*modules)
    # The first one is the only one that puts snapshots, so that each language restores those of each.
    for name, kinds in (("python snapshots", ["python", "python", "go"]), ("go snapshots", ["go", "python", "go"])):
        world = World(folder / name.replace(" ", "-"), base_port, kinds, compaction.OPTIONS)
        yield name, True, world, tests_in(compaction)
    for language in KINDS:
        world = handover.World(folder / f"{language}-handover", base_port, language)
        yield f"{language} handover", language == "go", world, tests_in(handover)
    for language in errors.CLIENTS:
        world = errors.World(folder / f"{language}-client", base_port, language)
        yield f"{language} client", language == "go", world, tests_in(errors)


def tests_in(*modules):
    return [value for module in modules for name, value in vars(module).items() if name.startswith("test_")]


def build_go():
    """Builds what is written in Go. False where there is no Go, or one that is too old."""
    go_kv = ROOT / "examples/go-kv"
    if shutil.which("go") is None or subprocess.run(["go", "list", "-m"], cwd=go_kv, capture_output=True).returncode:
        return False
    subprocess.run([go_kv / "setup.sh", GO_KV], check=True)
    for folder in (go_kv, errors.GO_CLIENT):
        subprocess.run(["go", "vet", "./..."], cwd=folder, check=True)
    subprocess.run(["go", "build", "-o", *errors.CLIENTS["go"], "."], cwd=errors.GO_CLIENT, check=True)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-port", type=int, default=28420, help="first of 124 ports (default %(default)s)")
    parser.add_argument("--only", default="", help="run only groups with this in their names, such as `go services`")
    options = parser.parse_args()
    stop_on_signals()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="raft-sidecar-polyglot-"))
    run = Run()
    try:
        has_go = build_go()
        for name, needs_go, world, tests in groups(folder, options.base_port):
            if options.only not in name:
                continue
            if needs_go and not has_go:
                run.skip(name, tests, NO_GO)
            else:
                run.group(name, world, tests)
    except KeyboardInterrupt:
        run.failed += 1
        print("interrupted")
    if run.failed:
        print(f"data and logs are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    skipped = f", {run.skipped} skipped" if run.skipped else ""
    print(f"{run.passed} passed, {run.failed} failed{skipped}")
    return 1 if run.failed or not run.passed else 0


if __name__ == "__main__":
    sys.exit(main())
