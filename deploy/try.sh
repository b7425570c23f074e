#!/usr/bin/env bash
# Tries the compose files for real: brings one up, records a session of xfreerdp to FreeRDP's shadow server through it, verifies and replays
# it, and shows that the root of each container is read-only and has no shell. Needs the images (deploy/build.sh), docker or podman's socket
# (DOCKER_HOST), `npm ci`, and .ci/install-peers. `deploy/try.sh [compose.yaml | compose.embedded.yaml] [more files …]`
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- compose.yaml
files=()
for file; do files+=(-f "deploy/$file"); done
export PEERS_DIR=${PEERS_DIR:-$(mktemp -d)} LUCID_PUBLIC_RDP_HOST=127.0.0.1 LUCID_PUBLIC_RDP_PORT=${LUCID_PUBLIC_RDP_PORT:-13389}
export PORT=${PORT:-13390} DSP=${DSP:-:41} CDSP=${CDSP:-:42}
work=$(mktemp -d)
compose() { docker compose -p lucid-try "${files[@]}" "$@"; }
lucid() { node_modules/.bin/node apps/lucid-sessions/bin/lucid-sessions.js --api "http://127.0.0.1:${SESSION_API_PORT:-8087}" --token-file "$work/token" "$@"; }
finish() {
  local code=$?
  testkit/peers/client-xfreerdp.sh stopx
  testkit/peers/desktop-shadow.sh stop
  [ $code = 0 ] || compose logs --tail 30
  [ -n "${KEEP:-}" ] || compose down -v >/dev/null 2>&1
  exit $code
}
trap finish EXIT
eventually() { # eventually WHAT COMMAND…
  local what=$1 i
  shift
  for i in $(seq 240); do "$@" >"$work/last" 2>&1 && return 0; sleep 0.5; done
  echo "$what did not happen: $(cat "$work/last")" >&2
  return 1
}

compose up -d --no-build 2>&1 | tail -n 1
eventually 'a healthy API' curl -fsS "http://127.0.0.1:${SESSION_API_PORT:-8087}/health"
api=$(compose config --services | grep -x session-api || echo lucid-sessions)
script -qec "docker compose -p lucid-try ${files[*]} run --rm --no-deps $api token --user admin --role admin" /dev/null | grep -o 'eyJ[A-Za-z0-9._-]*' >"$work/token"
chmod 600 "$work/token"

echo '# containers'
for name in $(compose ps --format '{{.Name}}'); do
  docker inspect --format '{{.Name}} image={{.Config.Image}} user={{.Config.User}} read-only={{.HostConfig.ReadonlyRootfs}}' "$name"
done
for name in $(compose ps --format '{{.Name}} {{.Image}}' | sed -n 's/ .*lucid-sessions\/.*//p'); do
  docker exec "$name" /usr/bin/node -e '
    const fs = require("node:fs");
    const tried = ["/x", "/opt/lucid-sessions/x", "/home/nonroot/x"].map((path) => { try { fs.writeFileSync(path, ""); return "written"; } catch ({ code }) { return code; } });
    const status = fs.readFileSync("/proc/1/status", "utf8");
    console.log(`${process.argv[1]}: uid ${process.getuid()}, ${/CapEff:\s*\S+/.exec(status)[0].replace(/\s+/, " ")}, writing: ${tried}, shell: ${fs.existsSync("/bin/sh")}`);' "$name"
  docker exec "$name" /usr/bin/node /opt/lucid-sessions/lucid-sessions.js health | tail -n +2
done

echo '# a session'
gateway=$(docker network inspect lucid-network --format '{{(index .IPAM.Config 0).Gateway}}')
testkit/peers/desktop-shadow.sh start noauth /bind-address:0.0.0.0
lucid sessions create "$gateway:$PORT" --name try --ignore-cert --rdp-file "$work/try.rdp" >"$work/created"
id=$(lucid --json sessions list | node_modules/.bin/node -e 'console.log(JSON.parse(require("node:fs").readFileSync(0, "utf8")).sessions[0].session_id)')
testkit/peers/client-xfreerdp.sh start "$work/try.rdp"
status() { lucid --json sessions show "$id" | grep -q "\"status\": \"$1\""; }
eventually 'a recording' status recording
sleep 3
testkit/peers/client-xfreerdp.sh click 150 150
sleep 1
testkit/peers/client-xfreerdp.sh type 'echo recorded in a container'
sleep 2
testkit/peers/client-xfreerdp.sh stop
# A client that is ended by a signal says no goodbye.
lucid sessions stop "$id" >/dev/null
eventually 'the end of the session' status completed
echo '# verified'
lucid verify "$id"
echo '# replayed'
rm -f "${PICTURE:-}"
lucid picture "$id" --at end --out "${PICTURE:-$work/recorded.png}"
echo "${PICTURE:-$work/recorded.png}"
