#!/bin/sh
# Processes each distinct content below a directory once, with parallel workers.
#
#     dedup-directory.sh DIRECTORY [COMMAND [WORKERS]]
#
# COMMAND gets a file's path as its last word, and what it prints is kept as the content's value;
# without one, lines are counted. Prints a line for each file:
#
#     PROCESSED HASH FILE    this run's COMMAND made the value
#     KNOWN HASH FILE        it was there, or another worker made it
#     FAILED HASH FILE       COMMAND failed, or the store did; the next who asks tries again
#
# Ends with 0, or 1 when anything failed. See dedup-directory.md.
set -u

flock_cache=${FLOCK_CACHE:-flock-cache}

# One file; run by xargs.
if [ "${1-}" = --worker ]; then
    file=$2
    hash=-
    # Where nobody reads on, 255 makes xargs stop.
    end() { trap '' PIPE; printf '%s %s %s\n' "$1" "$hash" "$file" || exit 255; exit "$2"; }

    # The claim is this worker's: when it is killed, another takes over.
    export FLOCK_CACHE_OWNER=$$
    hash=$(sha256sum < "$file") || end FAILED 1
    hash=${hash%% *}
    rc=0; out=$("$flock_cache" claim -w 10m -- "$hash") || rc=$?
    case $rc in
        0) ;;
        1) end KNOWN 0 ;;
        *) end FAILED 1 ;;
    esac
    if value=$(sh -c "$DEDUP_COMMAND"' "$1"' sh "$file"); then
        "$flock_cache" finalize --generation "$out" -- "$hash" "$value" || end FAILED 1
        end PROCESSED 0
    fi
    "$flock_cache" abandon --generation "$out" -- "$hash"
    end FAILED 1
fi

if [ $# -lt 1 ] || [ $# -gt 3 ] || [ ! -d "$1" ]; then
    echo "usage: $0 DIRECTORY [COMMAND [WORKERS]]" >&2
    exit 64
fi
if ! command -v "$flock_cache" > /dev/null; then
    echo "$0: no program $flock_cache; put it into PATH, or its path into FLOCK_CACHE" >&2
    exit 127
fi
directory=$1
case $directory in -*) directory=./$directory ;; esac
export DEDUP_COMMAND="${2:-wc -l <}"

# xargs ends with 125 when a worker was killed, and leaves the rest undone: go over it again. What is
# done is KNOWN by now.
passes=100
while
    find "$directory" -type f -print0 | xargs -0 -r -n 1 -P "${3:-8}" sh "$0" --worker
    rc=$?
    passes=$((passes - 1))
    [ $rc -eq 125 ] && [ $passes -gt 0 ]
do :; done
[ $rc -eq 0 ] || exit 1
