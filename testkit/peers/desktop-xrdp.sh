#!/bin/bash
# xrdp + sesman, no systemd. Session type is chosen by the client: /d:Xorg (xorgxrdp) or /d:Xvnc.
# desktop-xrdp.sh start | stop | endsessions        127.0.0.1:$PORT (3391), user rdpuser / Rdp-pass1
# SEC=negotiate|tls|rdp  (xrdp.ini security_layer)  BULK=true|false
. "$(dirname "$0")/lib.sh"; PORT=${PORT:-3391} SEC=${SEC:-negotiate} BULK=${BULK:-true} U=${RDPUSER:-rdpuser} P=${RDPPASS:-Rdp-pass1}
case $1 in
start) id $U >/dev/null 2>&1 || useradd -m -s /bin/bash $U; echo "$U:$P" | chpasswd
  cat >"$RUN/startwm.sh" <<'W'
#!/bin/sh
display -window root @RUN@/wall.png
xeyes -geometry 200x150+700+50 &
xclock -update 1 -geometry 200x200+700+300 &
exec xterm -geometry 80x24+20+20 -e bash -c 'while read -r l; do echo "GOT:$l"; echo "$l" >>$HOME/typed.log; done'
W
  # The session runs as another user, who must get at script and picture.
  cp "$HERE/wall.png" "$RUN/"; sed -i "s#@RUN@#$RUN#" "$RUN/startwm.sh"; chmod 755 "$PEERS_DIR" "$RUN" "$RUN/startwm.sh"; chmod 644 "$RUN/wall.png"
  sed -e "s#^port=3389#port=tcp://127.0.0.1:$PORT#;s#^security_layer=.*#security_layer=$SEC#;s#^bulk_compression=.*#bulk_compression=$BULK#" \
      -e "s#^LogFile=.*#LogFile=$LOGS/xrdp.log#;s#^LogLevel=INFO#LogLevel=DEBUG#;s#^EnableSyslog=true#EnableSyslog=false#" /etc/xrdp/xrdp.ini >"$RUN/xrdp.ini"
  sed -e "s#^EnableUserWindowManager=.*#EnableUserWindowManager=false#;s#^DefaultWindowManager=.*#DefaultWindowManager=$RUN/startwm.sh#" \
      -e "s#^LogFile=.*#LogFile=$LOGS/sesman.log#;s#^EnableSyslog=true#EnableSyslog=false#" /etc/xrdp/sesman.ini >"$RUN/sesman.ini"
  sh /usr/share/xrdp/socksetup          # creates /run/xrdp/sockdir
  bg sesman xrdp-sesman --nodaemon -c "$RUN/sesman.ini"; for _ in $(seq 50); do ss -ltn | grep -q ":3350 " && break; sleep .1; done   # Debian's sesman listens on [::1]:3350, not 127.0.0.1
  bg xrdp xrdp --nodaemon -c "$RUN/xrdp.ini"; wait_port $PORT;;
endsessions) read -r p _ <"$RUN/sesman.pid"; for c in $(pgrep -P $p); do kill $(for d in $(pgrep -P $c); do tree $d; done) 2>/dev/null; done; sleep 1;;
stop) off xrdp sesman;;
esac
