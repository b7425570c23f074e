#!/usr/bin/env bash
# Checks the chart: lint, its schema (what must be refused is), templates of several settings. With kubernetes-validate (PyPI) against the
# schemas of Kubernetes; with KUBECONFIG against that API server: strict server-side checks, installation, upgrade, roll-back, removal, in a
# namespace that enforces the restricted pod security standard. No node is needed. HELM and KUBECTL name the programs.
set -euo pipefail
cd "$(dirname "$0")"
helm=${HELM:-helm} kubectl=${KUBECTL:-kubectl} version=${KUBE_VERSION:-1.34.4}
chart=lucid-sessions
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
template() { "$helm" template try "$chart" --kube-version "$version" "$@"; }

"$helm" lint "$chart" --strict --kube-version "$version"
for wrong in recorder.drainSeconds=-1 chunks.s3=http://x pipeline.replicas=2 storage.replicas=2 image.pullPolicy=Sometimes config.lower=1 api.oidcExistingSecret=oidc; do
  if template --set "$wrong" >/dev/null 2>&1; then echo "$wrong was taken" >&2; exit 1; fi
done
full=(--set 'recorder.listeners[0]=3390=host.example:3389' --set recorder.replicas=3,recorder.drainSeconds=600 --set config.RDP_TARGETS_ALLOW=10.0.0.0/8
  --set serviceTls.enabled=true --set log.s3=s3://log/prefix,pipeline.replicas=2,chunks.s3=s3://bucket/prefix,chunks.s3ExistingSecret=s3,storage.replicas=2 --set 'keys.retired[0]=identity-old.pub'
  --set api.tlsExistingSecret=tls,api.ingress.enabled=true,api.ingress.host=lucid.example,api.ingress.tlsSecret=tls
  --set api.oidcExistingSecret=oidc,api.publicUrl=https://lucid.example)
template >"$work/default.yaml"
template "${full[@]}" >"$work/full.yaml"
template --set serviceMonitor.enabled=true,serviceTls.enabled=true,api.tlsExistingSecret=tls,networkPolicy.enabled=false,processor.autoscaling.enabled=false >"$work/other.yaml"
if command -v "${KUBERNETES_VALIDATE:-kubernetes-validate}" >/dev/null; then
  "${KUBERNETES_VALIDATE:-kubernetes-validate}" -k "${version%.*}" --strict --quiet "$work/default.yaml" "$work/full.yaml"
  echo "kubernetes-validate: valid for ${version%.*}"
fi
[ -n "${KUBECONFIG:-}" ] || exit 0
namespace=lucid-chart-check-$$
"$kubectl" create namespace "$namespace" >/dev/null
trap '"$kubectl" delete namespace "$namespace" --wait=false >/dev/null; rm -rf "$work"' EXIT
"$kubectl" label namespace "$namespace" pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/warn=restricted >/dev/null
for file in default full; do
  "$kubectl" -n "$namespace" apply --server-side --dry-run=server --validate=strict -f "$work/$file.yaml" >"$work/applied" 2>&1 || { cat "$work/applied" >&2; exit 1; }
  if grep -i warning "$work/applied"; then exit 1; fi
  echo "server: $(wc -l <"$work/applied") objects of $file are valid"
done
"$helm" install lucid "$chart" -n "$namespace" >/dev/null
"$helm" upgrade lucid "$chart" -n "$namespace" --set recorder.replicas=3,recorder.drainSeconds=600,image.tag=0.2.0 >/dev/null
"$kubectl" -n "$namespace" get statefulset lucid-lucid-sessions-recorder -o jsonpath='upgraded: {.spec.replicas} recorders of {.spec.template.spec.containers[0].image}, {.spec.template.spec.terminationGracePeriodSeconds} s{"\n"}'
"$helm" rollback lucid 1 -n "$namespace" >/dev/null
"$helm" uninstall lucid -n "$namespace"
