#!/usr/bin/env bash
# Installs the systems that the bench compares with into a folder, and builds the load generator there. Needs Go.
# Usage: setup.sh FOLDER
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$here/.."
folder="$(realpath -m "$1")"

if ! (cd "$here" && go list -m) >/dev/null 2>&1; then
  echo "The bench needs Go 1.24 or newer on the PATH, and the module proxy." >&2
  exit 1
fi
GOBIN="$folder" go install github.com/nats-io/nats-server/v2@v2.15.2
# Its module replaces others, which `go install` at a version refuses: here it is a tool of a module of its own.
(cd "$here/etcd" && go build -o "$folder/etcd" go.etcd.io/etcd/server/v3)
cd "$here"
PATH="$root/node_modules/.bin:$PATH" buf generate "$root/proto" --path "$root/proto/raft/v1/log.proto"
go build -o "$folder/bench" .
