#!/usr/bin/env bash
# Local images under the names that Dockerfile and compose files ask for, for a machine that reaches Debian's mirror, npm's and Maven's
# registries and no registry of images. Needs root, podman, mmdebstrap, for mongo a JDK 17 and Maven. `stand-ins.sh [base|build|redis|mongo …]`
#   base   gcr.io/distroless/cc-debian12:nonroot    the same Debian packages, unpacked: no shell, no package manager
#   build  docker.io/library/node:26-bookworm-slim  Debian with this repository's Node and npm
#   redis  docker.io/library/redis:8-bookworm       Debian's Redis 7
#   mongo  docker.io/library/mongo:8                the stand-in of the tests (.ci/install-mongo-stand-in): MongoDB's protocol, in memory
# What Debian's images trust goes along (SSL_CERT_FILE), so that a build behind a proxy of its own CA reaches npm.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}

import() { # import DIRECTORY NAME CHANGE…
  local directory=$1 name=$2 changes=()
  shift 2
  for change; do changes+=(--change "$change"); done
  install -D -m 644 "$certificates" "$directory/etc/ssl/certs/ca-certificates.crt"
  tar -C "$directory" --numeric-owner -c . | podman import "${changes[@]}" - "$name" >/dev/null
  podman image inspect --format "{{.Size}}" "$name" | awk -v name="$name" '{ printf "%s: %.1f MB\n", name, $1 / 1e6 }'
}

debian() { # debian VARIANT PACKAGES DIRECTORY
  mmdebstrap --quiet --variant="$1" --include="$2" bookworm "$3" 2>"$work/mmdebstrap.log" || { cat "$work/mmdebstrap.log" >&2; exit 1; }
}

make_base() {
  local root=$work/base
  debian extract base-files,netbase,tzdata,media-types,libc6,libssl3,libgcc-s1,gcc-12-base,libgomp1,libstdc++6 "$root"
  rm -rf "$root"/var/lib/{apt,dpkg} "$root"/var/cache "$root"/usr/share/{doc,man,locale,lintian,bash-completion}
  mkdir -p "$root"/{home/nonroot,tmp,etc}
  chmod 1777 "$root/tmp"
  printf 'root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$root/etc/passwd"
  printf 'root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n' >"$root/etc/group"
  chown 65532:65532 "$root/home/nonroot"
  import "$root" gcr.io/distroless/cc-debian12:nonroot 'USER 65532' 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' 'WORKDIR /home/nonroot'
}

make_build() {
  local root=$work/build npm
  debian minbase ca-certificates,libatomic1 "$root"
  npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
  mkdir -p "$root/usr/local/lib/node_modules"
  cp -rL "$npm" "$root/usr/local/lib/node_modules/npm"
  cp -L "$here/../node_modules/.bin/node" "$root/usr/local/bin/node"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"
  import "$root" docker.io/library/node:26-bookworm-slim 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt'
}

make_redis() {
  local root=$work/redis
  debian minbase redis-server "$root"
  mkdir -p "$root/data"
  chroot "$root" chown redis:redis /data
  import "$root" docker.io/library/redis:8-bookworm 'WORKDIR /data' 'VOLUME /data' 'USER redis' 'CMD ["redis-server"]'
}

make_mongo() {
  local root=$work/mongo
  debian minbase openjdk-17-jre-headless "$root"
  MONGO_STAND_IN_DIR=$work/mongo-built "$here/../.ci/install-mongo-stand-in"
  mkdir -p "$root"/{opt/mongo,data/db,usr/local/bin}
  cp "$work/mongo-built/lib/"* "$root/opt/mongo/"
  printf '#!/bin/sh\nexec java -Dio.netty.eventLoopThreads=1 -Xmx512m -cp "/opt/mongo/*:/opt/mongo" MongoStandIn 27017 0.0.0.0\n' >"$root/usr/local/bin/mongod"
  chmod 755 "$root/usr/local/bin/mongod"
  import "$root" docker.io/library/mongo:8 'VOLUME /data/db' 'CMD ["mongod"]'
}

[ $# -gt 0 ] || set -- base build redis mongo
for name; do "make_$name"; done
