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
# Most servents of a mesh: a star's middle keeps no more links that it was asked for.
readonly MOST=64

usage() {
    cat <<'END'
A mesh of real servents on this machine.

  mesh.sh demo                 a story that checks itself: eight servents in a line
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
        wait_until "$PATIENCE" has_neighbours "$servent" "$wanted" ||
            die "servent $servent has fewer than $wanted neighbours: see $MESH/$servent/log"
    done < <(servents)
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
    [[ ${1:-} =~ ^[1-9][0-9]?$ && -d $MESH/$1 ]] || die "which servent? 'mesh.sh status' lists them"
}

# count 3 file: "3 files".
count() {
    if (($1 == 1)); then printf '1 %s' "$2"; else printf '%s %ss' "$1" "$2"; fi
}

# ---- commands -------------------------------------------------------------------------

up() {
    local n=${1:-8} shape=${2:-random} servent
    [[ $n =~ ^[1-9][0-9]?$ ]] && ((n <= MOST)) || die "up wants 1 to $MOST servents"
    case $shape in
    line | ring | star | random) ;;
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
        printf '%2s  s%s~%s  %s  %s\n' "$servent" "$servent" "${id:0:8}" "$address" "$state"
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

# Ends the daemon of servent I, so that somebody can sit down at it: with FLAGS.
make_room() {
    local servent=$1 home=$MESH/$1 other address pid
    if pid=$(pid_of "$servent"); then
        kill "$pid"
        wait_until "$PATIENCE" rests "$servent" || die "servent $servent does not stop"
    fi
    address=$(<"$home/address")
    FLAGS=(--listen "${address#*@}" --state "$home/state" --downloads "$home/downloads")
    FLAGS+=(--name "s$servent")
    [[ $(<"$MESH/$MARK") == random ]] || FLAGS+=(--manual)
    while read -r other; do
        FLAGS+=(--join "$(<"$MESH/$other/address")")
    done <"$home/links"
}

# Takes servent I from its daemon to a prompt, and back when the user quits.
prompt() {
    local code=0
    make_room "$1"
    # Ctrl-C is for the prompt.
    trap : INT
    "$BIN" "${FLAGS[@]}" || code=$?
    start_servent "$1"
    return "$code"
}

# ---- the demo -------------------------------------------------------------------------

readonly MIB=$((1024 * 1024))
step=0
bold='' green='' plain=''

# A heading of the story.
scene() {
    step=$((step + 1))
    printf '\n%s%s. %s%s\n' "$bold" "$step" "$*" "$plain"
}

tell() { printf '   %s\n' "$*"; }

seen() { printf '   %s✓%s %s\n' "$green" "$plain" "$*"; }

fail() {
    printf '   %s✗ %s%s\n' "$bold" "$*" "$plain" >&2
    # What the servents themselves complained of.
    grep -v -e '^listening on ' -e '^joined ' -- "$MESH"/*/log >&2 || true
    exit 1
}

# say I COMMAND...: servent I obeys; what it answers is shown and kept in SAID and CODE.
say() {
    local servent=$1 line
    shift
    printf '   s%s> %s\n' "$servent" "$*"
    CODE=0
    SAID=$(ctl "$servent" "$@" 2>&1) || CODE=$?
    while IFS= read -r line; do
        printf '      %s\n' "$line"
    done <<<"$SAID"
}

# must_say TEXT: the last answer has this in it.
must_say() {
    [[ $SAID == *"$1"* ]] || fail "'$1' was expected"
}

random_file() { head -c "$1" /dev/urandom >"$2"; }

# The content id of a file, by the program's own hash command.
hash_of() {
    local line
    line=$("$BIN" hash "$1") || fail "$1 cannot be hashed"
    line=${line#\\}
    printf '%s' "${line%% *}"
}

# The verified bytes of download 1 of servent I.
verified() {
    local all
    all=$(ctl "$1" --json downloads) || return 1
    [[ $all =~ \"verified\":([0-9]+) ]] && printf '%s' "${BASH_REMATCH[1]}"
}

has_verified() {
    local bytes
    bytes=$(verified "$1") && ((bytes >= $2))
}

# Whether a download of servent I stands still.
waits() {
    [[ $(ctl "$1" --json downloads) == *'"waiting":'* ]]
}

# sit_down I [FLAG...]: somebody types at servent I from now on, one for the whole demo.
sit_down() {
    local servent=$1 home=$MESH/$1 pid
    shift
    make_room "$servent"
    mkfifo -- "$home/keys"
    # Open for writing as well: the keyboard stays when nobody types.
    exec 9<>"$home/keys"
    : >"$home/screen"
    set -m
    "$BIN" "${FLAGS[@]}" "$@" <"$home/keys" >"$home/screen" 2>&1 9>&- &
    pid=$!
    set +m
    disown "$pid"
    printf '%s %s\n' "$pid" "$(birth_of "$pid")" >"$home/pid"
}

# type_line I LINE: and it is seen to be typed.
type_line() {
    tell "s$1> $2"
    printf '%s\n' "$2" >&9
}

shows() { grep -q -- "$2" "$MESH/$1/screen"; }

# await I SECONDS PATTERN: until the screen of servent I shows it; it is then the line SAID.
await() {
    wait_until "$2" shows "$1" "$3" || {
        cat -- "$MESH/$1/screen" >&2
        fail "the user of s$1 does not see '$3'"
    }
    SAID=$(grep -m1 -A1 -- "$3" "$MESH/$1/screen")
    local line
    while IFS= read -r line; do
        tell "   $line"
    done <<<"$SAID"
}

# Turns one bit in the middle of a file.
flip_a_bit() {
    local at byte
    at=$(($(wc -c <"$1") / 2))
    byte=$(od -An -tu1 -j "$at" -N 1 -- "$1")
    # shellcheck disable=SC2059 # the byte is the format
    printf "\\x$(printf '%02x' $((byte ^ 1)))" | dd of="$1" bs=1 seek="$at" conv=notrunc 2>/dev/null
}

# same_file ORIGINAL COPY ID: the copy is the original, to the last byte.
same_file() {
    [[ -f $2 && ! -L $2 ]] || fail "$2 is not there"
    cmp -- "$1" "$2" || fail "$2 differs from what was published"
    [[ $(hash_of "$2") == "$3" ]] || fail "$2 does not hash to $3"
}

demo_files() {
    local shelf=$1
    mkdir -- "$shelf"
    : >"$shelf/mesh 0 bytes.txt"
    printf 'x' >"$shelf/mesh 1 byte.txt"
    random_file 65535 "$shelf/mesh 65,535 bytes.bin"
    random_file 65536 "$shelf/mesh 65,536 bytes.bin"
    random_file 65537 "$shelf/mesh 65,537 bytes.bin"
    random_file $((MIB - 1)) "$shelf/mesh 1 MiB - 1.bin"
    random_file "$MIB" "$shelf/mesh 1 MiB.bin"
    random_file $((MIB + 1)) "$shelf/mesh 1 MiB + 1.bin"
    random_file $((200 * MIB)) "$shelf/mesh 200 MiB.iso"
    random_file 1001 "$shelf/mesh with   three spaces.txt"
    random_file 1002 "$shelf/it's a \"mesh\".txt"
    random_file 1003 "$shelf/mesh à la crème brûlée.txt"
    random_file 1004 "$shelf/mesh 🦀.txt"
    random_file 1005 "$shelf/-mesh with a leading dash.txt"
}

demo() {
    local began=$SECONDS line servent shelf reel file rest number id size hops bytes before
    local -A published=()
    [[ ! -t 1 || -n ${NO_COLOR:-} || ${TERM:-dumb} == dumb ]] ||
        bold=$'\e[1m' green=$'\e[32m' plain=$'\e[0m'
    LIMIT=(timeout --foreground 120)
    find_program
    MESH=$(mktemp -d -- "$TEMPORARY/part2part-demo.XXXXXX")
    trap 'tear_down; rm -rf -- "$MESH"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    shelf=$MESH/shelf reel=$MESH/reel

    printf '%spart2part: eight servents, no server%s\n' "$bold" "$plain"
    scene "Eight servents start; each knows nobody but the one before it"
    lay_out 8 line
    for ((servent = 1; servent <= 8; servent++)); do
        start_servent "$servent"
    done
    await_links
    tell "s1 ─── s2 ─── s3 ─── s4 ─── s5 ─── s6 ─── s7 ─── s8"
    while IFS= read -r line; do
        tell "$line"
    done < <(status)
    seen "eight processes, seven links"

    scene "s8, at the far end, publishes what is awkward to carry"
    demo_files "$shelf"
    for file in "$shelf"/*; do
        published[$(hash_of "$file")]=$file
    done
    say 8 publish -- "$shelf"
    must_say "sharing ${#published[@]} files"

    scene "s1 asks within three hops, and no further"
    say 1 search --ttl 3 mesh
    must_say "asked 3 servents within 3 hops, all answered: nobody has it"
    seen "exactly three were asked; the files are seven hops away"

    scene "s1 asks the whole mesh"
    say 1 search mesh
    must_say "asked 7 servents"
    must_say "all answered: ${#published[@]} files"
    rest=$(ctl 1 --json results)
    bytes=0
    local -a found=()
    while [[ $rest =~ \"number\":([0-9]+),\"id\":\"([0-9a-f]{64})\",\"size\":([0-9]+),(.*)$ ]]; do
        number=${BASH_REMATCH[1]} id=${BASH_REMATCH[2]} size=${BASH_REMATCH[3]}
        rest=${BASH_REMATCH[4]}
        [[ -n ${published[$id]:-} ]] || fail "result $number was never published"
        ((size == $(wc -c <"${published[$id]}"))) || fail "result $number has the wrong size"
        [[ $rest =~ \"hops\":([0-9]+) ]] || fail "nobody says how far result $number is"
        hops=${BASH_REMATCH[1]}
        ((hops == 7)) || fail "result $number is $hops hops away, not 7"
        found[number]=$id
        bytes=$((bytes + size))
    done
    ((${#found[@]} == ${#published[@]})) || fail "${#found[@]} of ${#published[@]} files found"
    seen "${#published[@]} files of $bytes bytes found, every one of them 7 hops away"

    scene "s1 downloads them all, straight from s8, and we compare"
    for number in "${!found[@]}"; do
        id=${found[number]} file=${published[${found[number]}]}
        size=$(wc -c <"$file")
        CODE=0
        SAID=$(ctl 1 download "$number" --wait --once 2>&1) || CODE=$?
        ((CODE == 0)) || fail "download $number: $SAID"
        must_say "verified: same as b3sum $id"
        tell "s1> download $number --wait --once"
        tell "   $(count "$size" byte), b3sum ${id:0:8}...: ${file##*/}"
    done
    if [[ -n ${PART2PART_DEMO_FLIP:-} ]]; then
        tell "(PART2PART_DEMO_FLIP: one bit of one file is turned now)"
        flip_a_bit "$MESH/1/downloads/mesh 1 MiB.bin"
    fi
    for id in "${found[@]}"; do
        file=${published[$id]}
        same_file "$file" "$MESH/1/downloads/${file##*/}" "$id"
    done
    seen "the names are the same, the bytes are the same, the hashes are the same"
    say 8 unpublish "$shelf"
    rm -rf -- "$shelf" "$MESH/1/downloads"

    scene "s2 downloads 200 MiB that s8 alone has, and s8 is killed"
    mkdir -- "$reel"
    random_file $((200 * MIB)) "$reel/the only reel.mkv"
    id=$(hash_of "$reel/the only reel.mkv")
    say 8 publish -- "$reel"
    # Slow enough for its source to be lost on the way.
    sit_down 2 --max-download 40MB
    wait_until "$PATIENCE" has_neighbours 2 2 || fail "s2 does not find back into the line"
    type_line 2 "search only reel"
    await 2 "$PATIENCE" "the only reel.mkv  s8~.*6 hops"
    type_line 2 "download 1 --wait"
    wait_until "$PATIENCE" has_verified 2 $((64 * MIB)) || fail "no 64 MiB came"
    tell "... $(($(verified 2) / MIB)) MiB have come"
    kill -9 "$(pid_of 8)"
    wait_until "$PATIENCE" rests 8 || fail "s8 lives on"
    tell "kill -9 s8"
    await 2 "$PATIENCE" "lost its only source s8~.*redialling in"
    before=$(verified 2)
    ((before < 200 * MIB)) || fail "the download was over before its source was lost"
    wait_until "$PATIENCE" waits 2 || fail "the download does not wait"
    say 2 downloads
    must_say "waits: "
    seen "its user is told at once what happened, and what happens next"

    scene "s8 comes back where it was, and the download goes on"
    start_servent 8 --share "$reel"
    wait_until "$PATIENCE" has_neighbours 8 1 || fail "s8 is alone"
    tell "s8 listens on $(<"$MESH/8/address") again"
    await 2 90 "goes on, from source s8~"
    await 2 90 "^download 1 .* done: 2"
    must_say "verified: same as b3sum $id"
    same_file "$reel/the only reel.mkv" "$MESH/2/downloads/the only reel.mkv" "$id"
    rest=$(ctl 2 --json status)
    [[ $rest =~ \"received\":([0-9]+) ]] || fail "s2 does not say what it received"
    bytes=${BASH_REMATCH[1]}
    ((bytes < 200 * MIB + 8 * MIB)) || fail "$bytes bytes were received for 200 MiB"
    seen "the same bytes; $((before / MIB)) MiB from before the loss were kept"

    scene "s1 asks for what nobody has"
    say 1 search unobtainium
    must_say "asked 7 servents within 8 hops, all answered: nobody has it"
    ((CODE == 4)) || fail "the exit code is $CODE, not 4"
    seen "the search ended by itself, and it knows"

    scene "Everybody goes home"
    local -a pids=()
    for servent in $(servents); do
        pids+=("$(<"$MESH/$servent/pid")")
    done
    tear_down
    for rest in "${pids[@]}"; do
        [[ $(birth_of "${rest% *}") != "${rest#* }" ]] || fail "process ${rest% *} is still there"
    done
    [[ ! -e $MESH ]] || fail "$MESH is still there"
    seen "no process and no file is left"
    printf '\n%sThe demo took %s seconds.%s\n' "$bold" $((SECONDS - began)) "$plain"
}

forget_settings
command=${1:-help}
(($# == 0)) || shift
case $command in
demo) demo ;;
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
