#!/usr/bin/env bash
# A mesh of real servents on this machine. Needs bash and cargo, works from any directory.
set -euo pipefail

readonly ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# absolute PATH: the same from every directory.
absolute() {
    if [[ -z $1 || $1 == /* ]]; then printf '%s' "$1"; else printf '%s' "$PWD/$1"; fi
}

TEMPORARY=$(absolute "${TMPDIR:-/tmp}")
# Where the mesh lives: a folder for each servent, with its state, downloads, pid and log.
MESH=$(absolute "${PART2PART_MESH_DIR:-$TEMPORARY/part2part-mesh-$UID}")
# What marks a folder as this script's own, and names the shape of the mesh in it.
readonly MARK=.part2part-mesh
# The program; built when nobody names one.
BIN=$(absolute "${PART2PART_BIN:-}")
# Seconds that a servent gets to start, to link, and to stop.
readonly PATIENCE=20
# What no command of the demo exceeds: `timeout` and its flags; otherwise nothing.
LIMIT=()
# Most servents of a mesh: about 3 MiB of memory each that they do not share.
readonly MOST=1000
# Most servents of a star: its middle keeps no more links that it was asked for.
readonly MOST_OF_A_STAR=64

usage() {
    cat <<'END'
A mesh of real servents on this machine.

  mesh.sh demo                 a story that checks itself: eight servents in a line
  mesh.sh try                  eight servents with samples, and you sit down as the ninth
  mesh.sh up N [SHAPE]         start N servents; SHAPE is line, ring, star, or random,
                               where they find their neighbours by themselves (default)
  mesh.sh run I COMMAND...     have servent I obey one command, as 'search ferris'
  mesh.sh each COMMAND...      have every servent obey it
  mesh.sh prompt I             sit down at servent I; on quit it goes on without you
  mesh.sh status               who runs, where, with how many neighbours
  mesh.sh kill I               end servent I without a goodbye (kill -9)
  mesh.sh start I              bring servent I back
  mesh.sh down                 end the mesh, leave no process and no file

PART2PART_BIN      use this program instead of building one
PART2PART_MESH_DIR keep the mesh in this folder
END
}

die() {
    printf 'mesh.sh: %s\n' "$*" >&2
    exit 1
}

# Settings of the user's own servent are none of this mesh's business.
forget_settings() {
    local name
    for name in "${!PART2PART_@}"; do
        case $name in
        PART2PART_BIN | PART2PART_MESH_DIR | PART2PART_DEMO_FLIP) ;;
        *) unset "$name" ;;
        esac
    done
}

# ---- one servent ----------------------------------------------------------------------

find_program() {
    if [[ -n $BIN ]]; then
        [[ -x $BIN ]] || die "$BIN (PART2PART_BIN) is not a program"
        return
    fi
    local built
    built=$(cd -- "$ROOT" && cargo build --release --locked --bin part2part \
        --message-format=json-render-diagnostics) || die "the program does not build"
    [[ $built =~ \"executable\":\"([^\"]+)\" ]] || die "cargo names no program"
    BIN=${BASH_REMATCH[1]}
}

# wait_until SECONDS TEST...: polls until TEST holds; fails when the time is over.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS <= deadline)) || return 1
        sleep 0.05
    done
}

# When the process with this pid began: a pid alone may be somebody else's by now.
# Empty when there is none, or only its remains.
birth_of() {
    local stat fields
    if [[ -d /proc/self ]]; then
        { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
        read -ra fields <<<"${stat##*) }"
        [[ ${fields[0]} == Z ]] || printf '%s' "${fields[19]}"
    else
        ps -o lstart= -p "$1" || true
    fi
}

# The pid of servent I, if that process still runs.
pid_of() {
    local pid birth
    { read -r pid birth <"$MESH/$1/pid"; } 2>/dev/null || return 1
    [[ -n $birth && $(birth_of "$pid") == "$birth" ]] || return 1
    printf '%s' "$pid"
}

runs() { pid_of "$1" >/dev/null; }

rests() { ! runs "$1"; }

ctl() {
    local servent=$1
    shift
    "${LIMIT[@]}" "$BIN" ctl --state "$MESH/$servent/state" "$@"
}

# Whether servent I has said where it is; its process may also have ended.
has_spoken() {
    grep -q '^listening on ' "$MESH/$1/log" || ! runs "$1"
}

# start_servent I [FLAG...]: starts servent I where it was before, linked as drawn.
start_servent() {
    local servent=$1 home=$MESH/$1 other listen=127.0.0.1:0 pid
    shift
    local -a flags=(--state "$home/state" --downloads "$home/downloads" --name "s$servent")
    [[ ! -e $home/address ]] || listen=$(<"$home/address") listen=${listen#*@}
    [[ $(<"$MESH/$MARK") == random ]] || flags+=(--manual)
    while read -r other; do
        [[ ! -e $MESH/$other/address ]] || flags+=(--join "$(<"$MESH/$other/address")")
    done <"$home/links"
    : >"$home/log"
    # In a process group of its own: what the terminal sends is not meant for it.
    set -m
    "$BIN" daemon --listen "$listen" "${flags[@]}" "$@" </dev/null >"$home/log" 2>&1 &
    pid=$!
    set +m
    disown "$pid"
    printf '%s %s\n' "$pid" "$(birth_of "$pid")" >"$home/pid"
    wait_until "$PATIENCE" has_spoken "$servent" || die "servent $servent does not say where it is"
    local line
    line=$(grep -m1 '^listening on .* as .' "$home/log") || {
        cat -- "$home/log" >&2
        die "servent $servent ended before it was ready"
    }
    line=${line#listening on }
    printf '%s@%s\n' "${line##* as }" "${line%% as *}" >"$home/address"
}

# neighbours_of I: how many it has now; nothing when it does not answer.
neighbours_of() {
    local status
    status=$(ctl "$1" --json status 2>/dev/null) || return 1
    [[ $status =~ \"neighbours\":([0-9]+) ]] && printf '%s' "${BASH_REMATCH[1]}"
}

has_neighbours() {
    local count
    count=$(neighbours_of "$1") && ((count >= $2))
}

# shares_something I: whether it shares any file by now.
shares_something() {
    [[ $(ctl "$1" --json status 2>/dev/null) =~ \"shared_files\":[1-9] ]]
}

# ---- the mesh -------------------------------------------------------------------------

# The numbers of the servents, in order.
servents() {
    local servent
    for ((servent = 1; servent <= MOST; servent++)); do
        [[ ! -d $MESH/$servent ]] || printf '%s\n' "$servent"
    done
}

# Whom servent I of N is linked to in this shape, one a line.
links_in() {
    local shape=$1 i=$2 n=$3
    case $shape in
    line)
        ((i == 1)) || printf '%s\n' $((i - 1))
        ((i == n)) || printf '%s\n' $((i + 1))
        ;;
    ring)
        links_in line "$i" "$n"
        ((n < 3 || i > 1)) || printf '%s\n' "$n"
        ((n < 3 || i < n)) || printf '1\n'
        ;;
    star)
        if ((i > 1)); then
            printf '1\n'
        elif ((n > 1)); then
            seq 2 "$n"
        fi
        ;;
    # Somebody that is there already; the mesh does the rest.
    random) ((i == 1)) || printf '%s\n' $((RANDOM % (i - 1) + 1)) ;;
    esac
}

# lay_out N SHAPE: the folders of a mesh, private to this user.
lay_out() {
    local servent
    [[ -d $MESH ]] || (umask 077 && mkdir -p -- "$MESH")
    [[ -O $MESH && ! -L $MESH ]] || die "$MESH is not this user's own folder"
    # All of it goes with the mesh.
    [[ -z $(ls -A -- "$MESH") ]] || die "$MESH is not empty"
    printf '%s\n' "$2" >"$MESH/$MARK"
    printf '%s\n' "$BIN" >"$MESH/bin"
    for ((servent = 1; servent <= $1; servent++)); do
        mkdir -- "$MESH/$servent"
        links_in "$2" "$servent" "$1" >"$MESH/$servent/links"
    done
}

# Waits until every servent has the links that its shape wants.
await_links() {
    local servent wanted
    while read -r servent; do
        wanted=$(wc -l <"$MESH/$servent/links")
        if [[ $(<"$MESH/$MARK") == random ]]; then
            wanted=$(($(servents | wc -l) > 1 ? 1 : 0))
        fi
        progress "is servent $servent linked?"
        wait_until "$PATIENCE" has_neighbours "$servent" "$wanted" ||
            die "servent $servent has fewer than $wanted neighbours: see $MESH/$servent/log"
    done < <(servents)
    progress ""
}

# Ends every servent, politely first; leaves no process and no file.
tear_down() {
    local servent pid
    [[ -d $MESH && -e $MESH/$MARK ]] || return 0
    for servent in $(servents); do
        ! pid=$(pid_of "$servent") || kill "$pid" 2>/dev/null || true
    done
    for servent in $(servents); do
        if ! wait_until "$PATIENCE" rests "$servent"; then
            ! pid=$(pid_of "$servent") || kill -9 "$pid" 2>/dev/null || true
            wait_until "$PATIENCE" rests "$servent" || true
            printf 'servent %s did not stop when asked, and was killed\n' "$servent" >&2
        fi
    done
    rm -rf -- "$MESH"
}

# Finds the mesh that is up.
enter() {
    [[ -e $MESH/$MARK && -O $MESH ]] || die "no mesh is up; 'mesh.sh up 8' starts one"
    [[ -n $BIN ]] || BIN=$(<"$MESH/bin")
}

need_servent() {
    [[ ${1:-} =~ ^[1-9][0-9]{0,3}$ && -d $MESH/$1 ]] || die "which servent? 'mesh.sh status' lists them"
}

# progress TEXT: in the place of the one before, for somebody who watches; "" takes it away.
progress() { [[ ! -t 2 ]] || printf '\r\e[K%s' "$1" >&2; }

# count 3 file: "3 files".
count() {
    if (($1 == 1)); then printf '1 %s' "$2"; else printf '%s %ss' "$1" "$2"; fi
}

# ---- commands -------------------------------------------------------------------------

up() {
    local n=${1:-8} shape=${2:-random} servent
    [[ $n =~ ^[1-9][0-9]{0,3}$ ]] && ((n <= MOST)) || die "up wants 1 to $MOST servents"
    case $shape in
    line | ring | random) ;;
    star) ((n <= MOST_OF_A_STAR)) || die "a star has at most $MOST_OF_A_STAR servents" ;;
    *) die "the shapes are line, ring, star and random" ;;
    esac
    [[ ! -e $MESH/$MARK ]] || die "a mesh is up already in $MESH; 'mesh.sh down' ends it"
    find_program
    trap tear_down EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    lay_out "$n" "$shape"
    for ((servent = 1; servent <= n; servent++)); do
        start_servent "$servent"
        progress "$servent of $n servents are up"
    done
    await_links
    trap - EXIT INT TERM HUP
    status
}

status() {
    local servent id address said state
    while read -r servent; do
        IFS=@ read -r id address <"$MESH/$servent/address" || { id=- address=-; }
        if ! runs "$servent"; then
            state="is down"
        elif said=$(ctl "$servent" --json status) &&
            [[ $said =~ \"neighbours\":([0-9]+).*\"shared_files\":([0-9]+) ]]; then
            state="$(count "${BASH_REMATCH[1]}" neighbour), $(count "${BASH_REMATCH[2]}" file) shared"
        else
            state="does not answer"
        fi
        printf '%3s  s%s~%s  %s  %s\n' "$servent" "$servent" "${id:0:8}" "$address" "$state"
    done < <(servents)
}

each() {
    local servent worst=0
    (($# > 0)) || die "each wants a command"
    while read -r servent; do
        printf '== servent %s\n' "$servent"
        ctl "$servent" "$@" </dev/null || worst=$?
    done < <(servents)
    return "$worst"
}

# Attaches to servent I; it goes on when the user quits.
prompt() {
    runs "$1" || die "servent $1 is down; 'mesh.sh start $1' brings it back"
    "$BIN" --state "$MESH/$1/state"
}

# ---- sitting down in a mesh of strangers ----------------------------------------------

# A file of SIZE bytes under the name FILE; noise, which is all that a sample has to be.
sample() { head -c "$1" /dev/urandom >"$2"; }

# What servent I has to offer; some of it others have as well.
samples() {
    local servent=$1 shelf=$2
    mkdir -- "$shelf"
    printf 'minutes of meeting %s\n' "$servent" >"$shelf/minutes $servent.txt"
    cp -- "$ROOT/LICENSE" "$shelf/license (part2part).txt"
    case $servent in
    2 | 5 | 7) cp -- "$MESH/reel/blue train (live).flac" "$shelf" ;;
    3 | 6) cp -- "$MESH/reel/ferris the crab.png" "$shelf" ;;
    8)
        mkdir -- "$shelf/holiday"
        sample 300000 "$shelf/holiday/beach 1.jpg"
        sample 400000 "$shelf/holiday/beach 2.jpg"
        ;;
    esac
}

try() {
    local servent code=0 home
    find_program
    MESH=$(mktemp -d -- "$TEMPORARY/part2part-try.XXXXXX")
    trap 'tear_down; rm -rf -- "$MESH"' EXIT
    trap 'exit 143' TERM HUP
    # Ctrl-C is for the prompt.
    trap : INT
    lay_out 8 random
    mkdir -- "$MESH/reel"
    sample 48000000 "$MESH/reel/blue train (live).flac"
    sample 2500000 "$MESH/reel/ferris the crab.png"
    for ((servent = 1; servent <= 8; servent++)); do
        samples "$servent" "$MESH/$servent/shelf"
        # Slow enough for a download to be watched.
        start_servent "$servent" --share "$MESH/$servent/shelf" --max-upload 4MB
    done
    await_links
    for ((servent = 1; servent <= 8; servent++)); do
        wait_until "$PATIENCE" shares_something "$servent" ||
            die "servent $servent shares nothing: see $MESH/$servent/log"
    done
    home=$MESH/you
    mkdir -- "$home"
    cat <<'END'
Eight servents are running here, and you are about to be the ninth. Type, for example:

  peers                    who is linked to you
  search blue train        ask the mesh; each hit says who has it
  download 1 --wait        fetch result 1 from everybody who has it, and watch
  publish ~/some-folder    share something yourself
  help                     the rest

'quit' ends it, and all eight with it; what you downloaded here goes too.

END
    "$BIN" --listen 127.0.0.1:0 --state "$home/state" --downloads "$home/downloads" --name you \
        --join "$(<"$MESH/1/address")" || code=$?
    return "$code"
}

# shellcheck source=scripts/demo.sh
source "$ROOT/scripts/demo.sh"

forget_settings
command=${1:-help}
(($# == 0)) || shift
case $command in
demo) demo ;;
try) try ;;
up) up "$@" ;;
run)
    enter
    need_servent "${1:-}"
    (($# > 1)) || die "run wants a command, as 'mesh.sh run $1 peers'"
    ctl "$@"
    ;;
each)
    enter
    each "$@"
    ;;
prompt)
    enter
    need_servent "${1:-}"
    prompt "$1"
    ;;
status)
    enter
    status
    ;;
kill)
    enter
    need_servent "${1:-}"
    pid=$(pid_of "$1") || die "servent $1 is down already"
    kill -9 "$pid"
    wait_until "$PATIENCE" rests "$1" || die "servent $1 does not die"
    printf 'servent %s is dead; its neighbours were told nothing\n' "$1"
    ;;
start)
    enter
    need_servent "${1:-}"
    rests "$1" || die "servent $1 is up"
    start_servent "$1"
    status
    ;;
down)
    [[ -e $MESH/$MARK ]] || die "no mesh is up"
    tear_down
    printf 'the mesh is gone; no process and no file is left\n'
    ;;
help | -h | --help) usage ;;
*)
    usage >&2
    exit 2
    ;;
esac
