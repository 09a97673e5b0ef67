#!/bin/sh
# Appends what happens to a journal, and keeps it for 90 days: audit-log.sh WHO WHAT…
#
# A job that goes on without its log: audit-log.sh … || true
set -eu
who=$1
shift
flock-cache journal append -w 2s audit "$(date -u +%FT%TZ) $who: $*" > /dev/null

# Once in a while: the oldest records go, in whole segments.
case $(($(date +%s) % 100)) in
    0) flock-cache journal trim audit --max-age 90d ;;
esac
