#!/usr/bin/env bash
# Local images under the names that Dockerfile and compose files ask for, for a machine that reaches Debian's mirror, npm's and Maven's
# registries and no registry of images. Needs root, podman, mmdebstrap; for mongo a JDK 17 and Maven. `stand-ins.sh [base|build|redis|mongo …]`
#   base   gcr.io/distroless/cc-debian12:nonroot    the same Debian packages, unpacked: no shell, no package manager
#   build  docker.io/library/node:26-bookworm-slim  Debian with this repository's Node and npm
#   redis  docker.io/library/redis:8-bookworm       Debian's Redis 7
#   mongo  docker.io/library/mongo:8                mongo-java-server (BSD-3): MongoDB's wire protocol, in memory
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
  local root=$work/mongo build=$work/mongo-build
  debian minbase openjdk-17-jre-headless "$root"
  mkdir -p "$build" "$root"/{opt/mongo,data/db,usr/local/bin}
  cat >"$build/pom.xml" <<'X'
<project><modelVersion>4.0.0</modelVersion><groupId>t</groupId><artifactId>t</artifactId><version>1</version><dependencies>
<dependency><groupId>de.bwaldvogel</groupId><artifactId>mongo-java-server</artifactId><version>1.47.0</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>2.0.16</version></dependency></dependencies></project>
X
  cat >"$build/Main.java" <<'X'
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;

public class Main {
  public static void main(String[] args) throws Exception {
    MongoServer server = new MongoServer(new MemoryBackend());
    server.bind("0.0.0.0", 27017);
    Runtime.getRuntime().addShutdownHook(new Thread(server::shutdown));
    Thread.currentThread().join();
  }
}
X
  mvn -q -B -f "$build/pom.xml" dependency:copy-dependencies -DoutputDirectory="$root/opt/mongo"
  javac -cp "$root/opt/mongo/*" -d "$root/opt/mongo" "$build/Main.java"
  # What compose.yaml runs in MongoDB's own image.
  printf '#!/bin/sh\nexec java -Xmx512m -cp "/opt/mongo/*:/opt/mongo" Main\n' >"$root/usr/local/bin/mongod"
  printf '#!/bin/sh\nexec timeout 2 bash -c "exec 3<>/dev/tcp/127.0.0.1/27017"\n' >"$root/usr/local/bin/mongosh"
  chmod 755 "$root"/usr/local/bin/mongo{d,sh}
  import "$root" docker.io/library/mongo:8 'VOLUME /data/db' 'CMD ["mongod"]'
}

[ $# -gt 0 ] || set -- base build redis mongo
for name; do "make_$name"; done
