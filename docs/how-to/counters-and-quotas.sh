#!/bin/sh
# What counters-and-quotas.md shows, with many processes at once. Uses the store of FLOCK_CACHE_DIR.
set -eu

# A counter: a hundred processes, each adds 1.
n=0
while [ $n -lt 100 ]; do
    flock-cache increment views > /dev/null &
    n=$((n + 1))
done
wait
echo "$(flock-cache get views) page views"

# A quota: sixty processes, fifty permits.
try() {
    rc=0; flock-cache increment --max 50 permits > /dev/null || rc=$?
    case $rc in
        0) echo got ;;
        1) echo none ;;
        *) exit $rc ;;
    esac
}
got=$(n=0; while [ $n -lt 60 ]; do try & n=$((n + 1)); done; wait)
echo "$(printf '%s\n' "$got" | grep -c got) of $(printf '%s\n' "$got" | grep -c .) got a permit"

# An account: 100 credits, two that spend 60 each.
flock-cache increment credits 100 > /dev/null
spend() { flock-cache increment credits -60 --min 0 > /dev/null && echo paid || echo refused; }
paid=$(spend & spend & wait)
echo "$(printf '%s\n' "$paid" | grep -c paid) of 2 could pay, $(flock-cache get credits) left"

# An update: read, compute, and put only if nobody has put anything meanwhile; otherwise again.
add_line() {
    while :; do
        # The value, and its generation: both of one look.
        line=$(flock-cache get --json list) || line=
        if [ -n "$line" ]; then
            generation=$(printf '%s' "$line" | sed 's/.*"generation":\([0-9]*\).*/\1/')
            value=$(printf '%s' "$line" | sed 's/.*"value":"\(.*\)"}$/\1/')
            new="$value $1"
            if_unchanged="--if-generation $generation"
        else
            new=$1
            if_unchanged=--if-absent
        fi
        # shellcheck disable=SC2086 # an option and its value
        rc=0; flock-cache put $if_unchanged -- list "$new" > /dev/null || rc=$?
        case $rc in
            0) return ;;
            1) ;;                   # somebody was faster
            *) exit $rc ;;
        esac
    done
}
n=0
while [ $n -lt 20 ]; do
    add_line "line-$n" &
    n=$((n + 1))
done
wait
echo "20 workers added $(flock-cache get list | tr ' ' '\n' | grep -c line) lines"
