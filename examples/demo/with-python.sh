#!/usr/bin/env bash
# Runs a Python program in the virtual environment of python-kv, which is made first where it is missing.
# Usage: with-python.sh PROGRAM [ARGUMENT...]
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
venv="$root/.cache/python-kv"
"$root/examples/python-kv/setup.sh" "$venv"
exec env PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$@"
