#!/bin/sh
# Checks the model of the claim protocol, and that it fails when a precaution is taken away.
# Needs spin and a C compiler.
set -eu
cd "$(dirname "$0")"
model=$PWD/claim.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
passed=0 failed=0

# $1 is what is expected, the others are options of the model.
check() {
    expected=$1
    shift
    spin -a "$@" "$model" > /dev/null
    cc -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c
    # The longest path has a few hundred steps.
    ./pan -m20000 > log
    case $(sed -n 's/.*errors: \([0-9]*\).*/\1/p' log) in
        0) found=holds ;;
        *) found=fails ;;
    esac
    states=$(sed -n 's/ *\([0-9.e+]*\) states, stored.*/\1/p' log)
    if [ $found = "$expected" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    echo "$found (expected: $expected), $states states: $*"
}

check holds -DCRASHES=2 -DTHREE
check holds -DCRASHES=2 -DREADER -DREAPER
check holds -DCRASHES=2 -DREMOVER -DREADER
check fails -DNO_MUTEX
check fails -DNO_SECOND_LOOK
check fails -DCRASHES=0 -DREADER -DNO_THIRD_LOOK
check fails -DNO_GENERATION -DREAPER -DREMOVER
check fails -DUNLINK_FIRST -DREADER
check fails -DCRASHES=2 -DREMOVER -DNAME_FIRST
echo "$passed passed, $failed failed"
[ $failed = 0 ]
