#!/usr/bin/env bash
# The demo, in the virtual environment of python-kv. Needs a built dist/. Options: run.sh --help
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
exec "$here/with-python.sh" "$here/demo.py" "$@"
