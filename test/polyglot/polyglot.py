"""The python-kv example against live clusters whose leaders, nodes and services are killed; `make test-polyglot`.
The last line counts: `N passed, N failed`."""

import argparse
import pathlib
import shutil
import signal
import sys
import tempfile
import time
import traceback

import failures
import semantics
import storm
from world import Failed, World, stop_on_signals


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-port", type=int, default=28420, help="first of 124 ports (default %(default)s)")
    parser.add_argument("--only", help="run only tests with this in their names, beside the storm that they need")
    options = parser.parse_args()
    stop_on_signals()
    modules = (semantics, storm, failures)
    tests = [value for module in modules for name, value in vars(module).items() if name.startswith("test_")]
    if options.only:
        tests = [t for t in tests if options.only in t.__name__ or (t is storm.test_storm and "storm_" in options.only)]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="raft-sidecar-polyglot-"))
    world, passed, failed = World(folder, options.base_port), 0, 0
    try:
        world.start()
        for test in tests:
            begun = time.monotonic()
            try:
                test(world)
                passed += 1
                print(f"ok      {test.__doc__} ({time.monotonic() - begun:.1f} s)", flush=True)
            except Exception as error:  # Any error is a failure of this test; the next ones still run.
                failed += 1
                print(f"FAILED  {test.__doc__}: {error}", flush=True)
                if not isinstance(error, Failed):
                    traceback.print_exc()
    except Failed as error:
        failed += 1
        print(f"FAILED  the cluster starts: {error}")
    except KeyboardInterrupt:
        failed += 1
        print("interrupted")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        world.stop()
    if failed:
        print(f"data and logs are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
