#!/bin/sh
# Uploads files, each content once however many of these run at the same time, and prints "HASH ID FILE" lines.
#
#   UPLOAD='curl -fsS -T' sh upload.sh FILE...
#
# UPLOAD is a command that takes a file and prints the id that the service gave it. The ids are kept in the store
# (FLOCK_CACHE_DIR), so a file that anybody has uploaded before is not uploaded again.
set -eu
for file in "$@"; do
    hash=$(sha256sum <"$file" | cut -c1-64)
    # Of all that ask for a hash one runs the upload; the others wait for it and get the id that it printed. When
    # the upload fails or is killed, one of those who wait tries again.
    # shellcheck disable=SC2086 # UPLOAD is a command and its options
    id=$(flock-cache run -w 10m "upload/$hash" -- $UPLOAD "$file")
    echo "$hash $id $file"
done
