#!/usr/bin/env bash
# Make a video with its caption, with curl alone: examples/make_video.sh "a red circle moving left"
set -euo pipefail
url=${UNIVIGU_URL:-http://127.0.0.1:8000}
request=(curl --silent --show-error --fail-with-body --retry 3
  --header "Authorization: Bearer ${UNIVIGU_API_KEY:-unused}")
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# a repeat with the same key makes no second video
id=$("${request[@]}" "$url/v1/videos" --header "Idempotency-Key: $RANDOM$RANDOM" \
  --form-string "prompt=$1" --form-string seed=1 | field id)

status=queued
while [ "$status" = queued ] || [ "$status" = in_progress ]; do
  # the answer comes when the video is done, or after 60 seconds
  status=$("${request[@]}" "$url/v1/videos/$id?wait=60" | field status)
done
echo "$id is $status"

"${request[@]}" --output video.mp4 "$url/v1/videos/$id/content"
"${request[@]}" "$url/v1/videos/$id/content?variant=txt"
