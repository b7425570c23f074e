#!/bin/bash
# GNOME Remote Desktop on a headless mutter: demands NLA and the graphics pipeline.
# desktop-gnome.sh start | stop        127.0.0.1:$PORT (3395), user $GRDUSER (made when missing: needs root), logon rdpuser / Rdp-pass1
# Typed lines land in home/typed.log
. "$(dirname "$0")/lib.sh"; PORT=${PORT:-3395} U=${GRDUSER:-lucidgnome} HOMEDIR=$PEERS_DIR/home
case $1 in
start) id $U >/dev/null 2>&1 || useradd -M -s /bin/bash $U
  mkdir -p "$HOMEDIR" "$PEERS_DIR/xdg"; chown $U "$HOMEDIR" "$PEERS_DIR/xdg" "$LOGS"; chmod 700 "$PEERS_DIR/xdg"; chmod 755 "$PEERS_DIR" "$RUN"
  gcc -O2 -shared -fPIC -o "$RUN/loopback-only.so" "$HERE/loopback-only.c" -ldl
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=gnome.test -keyout "$HOMEDIR/tls.key" -out "$HOMEDIR/tls.crt" 2>/dev/null
  cat >"$HOMEDIR/server.sh" <<W
cd "\$HOME"; L=$LOGS
pipewire >\$L/pipewire.log 2>&1 &
for i in \$(seq 50); do [ -S "\$XDG_RUNTIME_DIR/pipewire-0" ] && break; sleep .1; done
wireplumber >\$L/wireplumber.log 2>&1 &
printf '\n' | gnome-keyring-daemon --unlock --components=secrets >\$L/keyring.log 2>&1
mutter --headless --virtual-monitor 1024x768 --wayland --no-x11 --wayland-display gnome-peer >\$L/mutter.log 2>&1 &
for i in \$(seq 100); do [ -S "\$XDG_RUNTIME_DIR/gnome-peer" ] && break; sleep .1; done; sleep 1
{ grdctl rdp set-tls-key "\$HOME/tls.key"; grdctl rdp set-tls-cert "\$HOME/tls.crt"; grdctl rdp set-credentials rdpuser Rdp-pass1
gsettings set org.gnome.desktop.remote-desktop.rdp screen-share-mode mirror-primary
grdctl rdp disable-view-only; grdctl rdp enable; } >\$L/grdctl.log 2>&1
LD_PRELOAD=$RUN/loopback-only.so /usr/libexec/gnome-remote-desktop-daemon --rdp-port $PORT >\$L/gnome.log 2>&1 &
WAYLAND_DISPLAY=gnome-peer foot --window-size-pixels=800x500 bash -c 'while read -r l; do echo "\$l" >>"\$HOME/typed.log"; done' >\$L/foot.log 2>&1 &
wait
W
  chmod 644 "$HOMEDIR"/tls.* "$HOMEDIR/server.sh"
  bg gnome-session runuser -u $U -- env -i PATH="$PATH" LANG=C.UTF-8 HOME="$HOMEDIR" XDG_RUNTIME_DIR="$PEERS_DIR/xdg" XDG_SESSION_TYPE=wayland \
    XDG_CURRENT_DESKTOP=GNOME LIBGL_ALWAYS_SOFTWARE=1 NO_AT_BRIDGE=1 GSETTINGS_BACKEND=keyfile dbus-run-session -- bash "$HOMEDIR/server.sh"
  for _ in $(seq 300); do grep -q "$(printf ':%04X' "$PORT") " /proc/net/tcp /proc/net/tcp6 && exit 0; sleep .1; done; echo "port $PORT not up" >&2; exit 1;;
stop) off gnome-session;;
esac
