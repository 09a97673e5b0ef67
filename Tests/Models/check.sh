#!/bin/sh
# Checks the models of the claim protocol, of a lease, of the board, of the queue of a lock and of the journal of
# changes, and that they fail when a precaution is taken away.
# Needs spin and a C compiler.
set -eu
cd "$(dirname "$0")"
models=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
passed=0 failed=0

# $1 is what is expected, $2 the model, the others are its options.
check() {
    expected=$1 model=$2
    shift 2
    spin -a "$@" "$models/$model.pml" > /dev/null
    # Whether everybody is served in the end, where each process goes on: no circle without progress.
    case $expected in serves | starves) kind=-DNP search="-l -f" ;; *) kind=-DSAFETY search= ;; esac
    # Compiling with -O2 takes two seconds more than it saves, but for the queue's millions of states.
    if [ "$model" = lock ]; then optimised=-O2; else optimised=-O0; fi
    cc $optimised -w $kind -DCOLLAPSE -o pan pan.c
    # The longest path has a few hundred steps. In the queue some stop for ever, and a lease's time has an end.
    if [ "$model" = lock ] || [ "$model" = lease ]; then ends=-E; else ends=; fi
    ./pan $ends $search -m20000 > log
    case $(sed -n 's/.*errors: \([0-9]*\).*/\1/p' log) in
        0) found=holds ;;
        *) found=fails ;;
    esac
    case $expected$found in
        serves*holds | starvesholds) found=serves ;;
        serves*fails | starvesfails) found=starves ;;
    esac
    states=$(sed -n 's/ *\([0-9.e+]*\) states, stored.*/\1/p' log)
    if [ $found = "$expected" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    echo "$found (expected: $expected), $states states: $model $*"
}

check holds claim -DCRASHES=2 -DTHREE
check holds claim -DCRASHES=2 -DREADER -DREAPER
check holds claim -DCRASHES=2 -DREMOVER -DREADER
check fails claim -DNO_MUTEX
check fails claim -DNO_SECOND_LOOK
check fails claim -DCRASHES=0 -DREADER -DNO_THIRD_LOOK
check fails claim -DNO_GENERATION -DREAPER -DREMOVER
check fails claim -DUNLINK_FIRST -DREADER
check fails claim -DCRASHES=2 -DREMOVER -DNAME_FIRST
check holds claim -DBLOCK -DREMOVER
check holds claim -DBLOCK -DTHREE
check holds claim -DBLOCK -DOTHERS -DREMOVER -DREAPER
check fails claim -DBLOCK -DSEE_LATE
check fails claim -DBLOCK -DONLY_HIGHEST
check fails claim -DBLOCK -DNO_RECOUNT
check fails claim -DBLOCK -DONLY_COUNTS -DOTHERS
check holds lease
check holds lease -DREAPER
check fails lease -DNO_MUTEX
check fails lease -DNO_GENERATION
check fails lease -DCLOCK_AFTER
check fails lease -DLONG_SLEEP
check fails lease -DRENEW_FIRST
check fails lease -DREAPER -DNO_HIGHEST
check fails lease -DREAPER -DNO_FLOOR
check fails lease -DREAPER -DFLOOR_LAST
check holds board
check holds board -DWAITERS=3
check fails board -DLOOK_FIRST
check fails board -DWORD_LAST
check fails board -DNO_WORD
check fails board -DWAKE_FIRST
check fails board -DSHORT
check holds changes
check holds changes -DFAILS
check holds changes -DTRIM
check fails changes -DNO_NOTE
check fails changes -DSCAN_TAIL
check fails changes -DCLEAR_FIRST
check fails changes -DREADER_CLEARS
check fails changes -DUNTOLD_LAST
check fails changes -DTRIM -DTRIM_NAMED
# Each process comes once; with two rounds each the first alone has tens of millions of states.
check holds lock -DROUNDS=0
check holds lock -DROUNDS=0 -DWRITERS
check holds lock -DROUNDS=0 -DTIMEOUT
check fails lock -DROUNDS=0 -DLOOK_FIRST
check fails lock -DROUNDS=0 -DNO_WAKE
check fails lock -DROUNDS=0 -DTIMEOUT -DNO_PASSING_ON
for trouble in KILL STOP LOSE; do
    check holds lock -DROUNDS=0 -D$trouble
    check serves lock -DROUNDS=0 -D$trouble
done
check starves lock -DROUNDS=0 -DSTOP -DNO_PASS
echo "$passed passed, $failed failed"
[ $failed = 0 ]
