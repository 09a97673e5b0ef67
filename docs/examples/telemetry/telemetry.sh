#!/bin/sh
# Runs commands and records how they went, in a store (FLOCK_CACHE_DIR) that any number of these share.
#
#   telemetry.sh run NAME COMMAND [ARGUMENT...]   runs COMMAND; says the number of its record on standard error
#   telemetry.sh feedback NUMBER TEXT             notes what somebody thinks of a run
#   telemetry.sh report                           prints "NAME RUNS FAILED AVERAGE-MS" for each name
#   telemetry.sh show                             prints "NUMBER NAME MS CODE FEEDBACK" for each run
#
# COMMAND comes first: where the store cannot be written, or somebody has kept it for two seconds, the run is not
# recorded, and everything else goes on.
set -u
complain() { echo "telemetry.sh: $*" >&2; }
milliseconds() { echo $(($(date +%s%N) / 1000000)); }

run() {
    name=$1
    shift
    start=$(milliseconds)
    code=0
    "$@" || code=$?
    # One record, whole or not at all, with a number that no other has.
    if number=$(flock-cache journal append -w 2s runs "$name $(($(milliseconds) - start)) $code"); then
        complain "run $number"
    else
        complain "not recorded"
    fi
    return $code
}

feedback() {
    last=$(flock-cache journal list | awk -F '\t' '$1 == "runs" { print $3 }')
    if [ "$1" -lt 1 ] || [ "$1" -gt "${last:-0}" ]; then
        complain "there is no run $1"
        return 1
    fi
    # A record stays as it is. What is said of it later is a value of its own, under the record's number.
    flock-cache put "feedback/$1" "$2" > /dev/null
}

report() {
    flock-cache journal read runs -0 | tr '\0' '\n' | awk '
        { runs[$1]++; sum[$1] += $2; failed[$1] += $3 != 0 }
        END { for (name in runs) print name, runs[name], failed[name], int(sum[name] / runs[name]) }' | sort
}

show() {
    # A space is escaped there.
    flock-cache journal read runs | sed 's/%20/ /g' | while IFS='	' read -r number _ text; do
        echo "$number $text $(flock-cache get "feedback/$number")"
    done
}

case ${1-} in
    run | feedback)
        if [ $# -lt 3 ]; then complain "$1 needs two arguments"; exit 64; fi
        "$@"
        ;;
    report | show) "$1" ;;
    *) complain "usage: telemetry.sh run|feedback|report|show …"; exit 64 ;;
esac
