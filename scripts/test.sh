#!/usr/bin/env bash
# Every test: that the demo notices what it is there to notice, that `try` leads a newcomer
# to a file, then cargo's own.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
log=$(mktemp)
trap 'rm -f -- "$log"' EXIT

# refuses SENTENCE: the demo fails, for this reason, and cleans up all the same.
refuses() {
    local mine
    mine=$(mktemp -d)
    if TMPDIR=$mine scripts/mesh.sh demo >"$log" 2>&1; then
        printf 'the demo passed where it should have said: %s\n' "$1" >&2
        exit 1
    fi
    if ! grep -qF -- "$1" "$log"; then
        cat -- "$log" >&2
        printf 'the demo failed, but not with: %s\n' "$1" >&2
        exit 1
    fi
    # Fails when the demo has left something in it.
    rmdir -- "$mine"
    printf 'the demo says: %s\n' "$1"
}

printf 'Does the demo notice a program that does nothing?\n'
PART2PART_BIN=$(type -P true) refuses "servent 1 ended before it was ready"
printf 'Does the demo notice one wrong bit?\n'
PART2PART_DEMO_FLIP=1 refuses "differs from what was published"

printf 'Does a newcomer to a mesh find and fetch what it has?\n'
newcomer=$(printf 'search blue train\ndownload 1 --wait\n' | scripts/mesh.sh try 2>&1) || {
    printf '%s\n' "$newcomer" >&2
    exit 1
}
grep -F 'verified: same as b3sum' <<<"$newcomer"

# The examples in the documentation first: the last lines are those of the last test file.
cargo test --locked --doc
# Most tests wait for servents, and these for their clocks: two of them a core are done sooner.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}
cargo test --locked --lib --bins --tests
