#!/usr/bin/env bash
# Makes a virtual environment with the pinned packages, and generates the stubs from log.proto into stubs/.
# Usage: setup.sh [FOLDER]   (default: .venv beside this file). Does nothing where everything is up to date.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="${1:-$here/.venv}"
proto="$here/../../proto"
python="${PYTHON:-python3}"

if ! command -v "$python" >/dev/null; then
  echo "python-kv needs Python 3.10 or newer, and there is no $python on the PATH. Install it, or set PYTHON." >&2
  exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
  echo "python-kv needs Python 3.10 or newer, this is $("$python" --version). Set PYTHON to a newer one." >&2
  exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "python-kv needs Python's venv module, which this $python lacks (Debian and Ubuntu: apt install python3-venv)." >&2
  exit 1
fi

if ! cmp -s "$here/requirements.txt" "$venv/requirements.installed"; then
  echo "Installing Python packages into $venv" >&2
  "$python" -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
  cp "$here/requirements.txt" "$venv/requirements.installed"
fi
stub="$here/stubs/raft/v1/log_pb2_grpc.py"
if [[ "$proto/raft/v1/log.proto" -nt "$stub" || "$here/requirements.txt" -nt "$stub" ]]; then
  mkdir -p "$here/stubs"
  "$venv/bin/python" -m grpc_tools.protoc --proto_path="$proto" --python_out="$here/stubs" \
    --grpc_python_out="$here/stubs" raft/v1/log.proto
fi
