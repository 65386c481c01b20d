# The demo of mesh.sh, which sources this: a story that checks itself. It is told with the
# functions of mesh.sh, and ends the process with 1 where it does not come true.

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

# sit_down I: somebody types at servent I from now on, one for the whole demo.
sit_down() {
    local servent=$1 home=$MESH/$1
    mkfifo -- "$home/keys"
    # Open for writing as well: the keyboard stays when nobody types.
    exec 9<>"$home/keys"
    : >"$home/screen"
    set -m
    "$BIN" --state "$home/state" <"$home/keys" >"$home/screen" 2>&1 9>&- &
    SITTER=$!
    set +m
    disown "$SITTER"
    SITTER_BIRTH=$(birth_of "$SITTER")
}

has_left() { [[ $(birth_of "$SITTER") != "$SITTER_BIRTH" ]]; }

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
    sit_down 2
    type_line 2 "set max-download 40MB"
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

    scene "s8 comes back where it was and shares what it shared; the download goes on"
    start_servent 8
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
    wait_until "$PATIENCE" has_left || fail "who sat at s2 is still there"
    for rest in "${pids[@]}"; do
        [[ $(birth_of "${rest% *}") != "${rest#* }" ]] || fail "process ${rest% *} is still there"
    done
    [[ ! -e $MESH ]] || fail "$MESH is still there"
    seen "no process and no file is left"
    printf '\n%sThe demo took %s seconds.%s\n' "$bold" $((SECONDS - began)) "$plain"
}
