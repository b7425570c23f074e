# shared helpers; sourced. All state lives in $PEERS_DIR, outside the tree: $RUN (pid files) and $LOGS.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd); PEERS_DIR=${PEERS_DIR:-${TMPDIR:-/tmp}/lucid-peers-$(id -u)}
RUN=$PEERS_DIR/run; LOGS=$PEERS_DIR/logs; mkdir -p "$RUN" "$LOGS"
# A pid is noted with when its process began: another that has it later is left alone.
born() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
note() { echo "$2 $(born "$2")" >"$RUN/$1.pid"; }
bg()   { local n=$1; shift; setsid "$@" >"$LOGS/$n.log" 2>&1 </dev/null & note "$n" $!; }
tree() { local c; for c in $(pgrep -P "$1"); do tree "$c"; done; echo "$1"; }        # pid + all descendants, leaves first
off()  { local n p at; for n; do read -r p at 2>/dev/null <"$RUN/$n.pid" || continue; [ -n "$at" ] && [ "$(born "$p")" = "$at" ] && kill $(tree "$p") 2>/dev/null; rm -f "$RUN/$n.pid"; done; }
wait_port() { for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0; sleep .1; done; echo "port $1 not up" >&2; return 1; }
wait_x() { for _ in $(seq 100); do DISPLAY=$1 xdpyinfo >/dev/null 2>&1 && return 0; sleep .1; done; echo "display $1 not up" >&2; return 1; }
