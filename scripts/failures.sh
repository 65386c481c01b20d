#!/usr/bin/env bash
# The failures that take minutes, with real servents on hosts of their own: a partition and a
# frozen servent of two minutes, twenty joins a second for a minute, the return of a source
# behind a firewall; a storm on a published folder, and fifty kills while it is published.
# Needs root, ip and /dev/net/tun. Arguments go to the test program: a part of a test's name,
# --nocapture ...
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
PART2PART_NAMESPACES=required cargo test --locked --test failures --test mesh --test watching -- --ignored "$@"
