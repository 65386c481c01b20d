#!/usr/bin/env bash
# What a servent costs and how fast it is, measured on this machine. Needs bash and cargo.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

usage() {
    cat <<'END'
Measures real servents on this machine, in a release build.

  bench.sh search      time to the hit and to the certain end: by hop in a line, and in a
                       mesh of 100
  bench.sh weight      start, memory, idle processor time, size of the program
  bench.sh transfer [one] [sources] [bad] [crowd] [folder]
                       one source on loopback, several that are capped, some that are slow,
                       lie and stall, a crowd at one, a folder of small files; against raw
                       TCP and what is installed of nginx, curl, aria2c and rsync, in
                       interleaved rounds. Capped sources need root, and the programs ip
                       and tc
  bench.sh publish     one large file against b3sum, and many small ones until a neighbour
                       finds the last
  bench.sh engine      queries a second through the engine and the codec, without sockets
  bench.sh index       memory of the index of a million names, and the time of each kind of query
END
}

case ${1:-} in
search) cargo bench --locked --bench search ;;
weight)
    cargo bench --locked --bench weight
    cargo build --locked --release --bin part2part
    printf 'the stripped program: %s bytes\n' "$(stat -c %s target/release/part2part)"
    ;;
transfer) cargo bench --locked --bench transfer -- "${@:2}" ;;
publish) cargo bench --locked --bench hash ;;
engine) cargo bench --locked --bench flood --bench codec ;;
index) cargo bench --locked --bench index ;;
help | -h | --help) usage ;;
*)
    usage >&2
    exit 2
    ;;
esac
