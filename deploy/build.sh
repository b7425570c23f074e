#!/usr/bin/env bash
# Builds the images (docker or podman: CONTAINER_TOOL) and prints their sizes. `deploy/build.sh [target …]`
set -euo pipefail
cd "$(dirname "$0")/.."
tool=${CONTAINER_TOOL:-docker}
version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' apps/lucid-sessions/package.json)
epoch=$(git log -1 --format=%ct)
arguments=(--build-arg "VERSION=$version" --build-arg "SOURCE_DATE_EPOCH=$epoch" --build-arg "REVISION=$(git rev-parse HEAD)"
  --build-arg "CREATED=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)")
# Podman's own format has no HEALTHCHECK.
[ "$("$tool" --version | cut -d' ' -f1)" != podman ] || arguments+=(--format docker)
read -ra more <<<"${BUILD_OPTIONS:-}"
[ $# -gt 0 ] || set -- pipeline recorder processor storage api all-in-one
for target; do
  name=lucid-sessions/$target:$version
  "$tool" build --quiet -f deploy/Dockerfile --target "$target" -t "$name" "${arguments[@]}" "${more[@]}" . >/dev/null
  "$tool" image inspect --format '{{.Size}}' "$name" | awk -v name="$name" '{ printf "%s: %.1f MB\n", name, $1 / 1e6 }'
done
