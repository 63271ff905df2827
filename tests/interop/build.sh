#!/bin/sh
# Builds what tests/interop talks to: programs of golang.org/x/mod, transparency-dev and
# Tessera, of the versions that go/go.mod and go/go.sum pin. Run by `make interop-tools`.
# Tests use no network: only this does. Where there is no Go nothing is done, and where
# the modules cannot be fetched bin/why says so; both skip the tests, and fail nothing.
set -eu
cd "$(dirname "$0")"
command -v go >/dev/null 2>&1 || exit 0
mkdir -p bin
inputs=$(cat go/go.mod go/go.sum go/judge/*.go build.sh | cksum; go version)
if test -e bin/built && test "$(cat bin/built)" = "$inputs"; then exit 0; fi
rm -f bin/built bin/why
echo "building the programs of tests/interop with $(go env GOVERSION)"
cd go
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly
if ! go list -deps ./judge tool >/dev/null 2>../bin/log; then
    tail -n 3 ../bin/log >&2
    echo "interop: the Go modules could not be fetched" | tee ../bin/why >&2
    exit 0
fi
go build -trimpath -buildvcs=false -o ../bin/ ./judge tool
cd ..
printf '%s\n' "$inputs" >bin/built
