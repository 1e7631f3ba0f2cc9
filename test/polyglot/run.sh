#!/usr/bin/env bash
# The polyglot tests, in the virtual environment of python-kv. Needs a built dist/. Options: run.sh --help
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
exec "$here/../../examples/demo/with-python.sh" "$here/polyglot.py" "$@"
