#!/usr/bin/env bash
# Generates the stubs from log.proto into raftv1/, with buf from the repository's packages and the plugins that go.mod
# names, and builds the service. Usage: setup.sh [FILE]   (default: go-kv beside this file).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$here/../.."
program="$(realpath -m "${1:-$here/go-kv}")"

if ! (cd "$here" && go list -m) >/dev/null 2>&1; then
  echo "go-kv needs Go 1.24 or newer on the PATH." >&2
  exit 1
fi
if [ ! -x "$root/node_modules/.bin/buf" ]; then
  echo "go-kv needs buf, which compiles log.proto: run \`make setup\` in the repository's root first." >&2
  exit 1
fi
cd "$here"
PATH="$root/node_modules/.bin:$PATH" buf generate "$root/proto" --path "$root/proto/raft/v1/log.proto"
go build -o "$program" .
