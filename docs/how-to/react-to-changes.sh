#!/bin/sh
# Runs a command for each change of a store, also for those that were made while this script was not running.
#
#     react-to-changes.sh [-w D] POSITION COMMAND [ARGUMENT...]
#
# COMMAND gets three more arguments: the event, the key (percent-encoded) and the generation. The file POSITION holds
# the number of the next change. It is written after COMMAND has succeeded, so a change whose COMMAND was
# interrupted is handed to it again. -w D: end with 124 after D without a change.
set -u
limit=forever
if [ "$1" = -w ]; then
    limit=$2
    shift 2
fi
position=$1
shift
tab=$(printf '\t')
next=$(cat "$position" 2> /dev/null) || next=1

{
    flock-cache watch --from "$next" -w "$limit"
    echo "end$tab$?"
} | while IFS=$tab read -r number time event key generation; do
    if [ "$number" = end ]; then exit "$time"; fi
    if [ "$event" = restarted ]; then
        # The machine was restarted: what is in the store may be older than the changes so far.
        "$@" restarted / 0 || exit
    else
        "$@" "$event" "$key" "$generation" || exit
    fi
    echo $((number + 1)) > "$position.new" && mv "$position.new" "$position" || exit
done
