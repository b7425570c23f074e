{{- define "lucid.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- /* Of { root, part }: what selects the pods of one service. */}}
{{- define "lucid.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "lucid.labels" -}}
{{ include "lucid.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "lucid.port" -}}
{{- get (dict "pipeline" "8083" "recorder" "8084" "processor" "8085" "storage" "8086" "api" "8087") .part }}
{{- end }}

{{- define "lucid.scheme" -}}
{{ if .Values.serviceTls.enabled }}https{{ else }}http{{ end }}
{{- end }}

{{- define "lucid.recorderUrls" -}}
{{- $name := include "lucid.name" . }}
{{- $urls := list }}
{{- range until (int .Values.recorder.replicas) }}
{{- $urls = append $urls (printf "%s://%s-recorder-%d.%s-recorders:8084" (include "lucid.scheme" $) $name . $name) }}
{{- end }}
{{- join "," $urls }}
{{- end }}

{{- /* Files of the keys' secret that each service needs, and no more (docs/operations.md, Several machines). */}}
{{- define "lucid.keyFiles" -}}
{{- $files := dict
  "recorder" (list "spool.key" "rdp.crt" "rdp.key")
  "processor" (list "identity.pem" "local.key")
  "storage" (list)
  "pipeline" (list "log.pem" "log.pub" "secrets.key")
  "api" (list "identity.pub" "log.pub" "local.key" "accounts.key" "rdp.crt" "rdp.key" "jwt-secret") }}
{{- $shared := ternary (list) (list "service-secret") .root.Values.serviceTls.enabled }}
{{- $own := concat $shared (get $files .part) }}
{{- if has .part (list "processor" "api") }}{{ $own = concat $own .root.Values.keys.retired }}{{ end }}
{{- toJson $own }}
{{- end }}

{{- /* Of { root, part, values, volumes, mounts, env }: the pod of a service. */}}
{{- define "lucid.pod" -}}
{{- $name := include "lucid.name" .root }}
{{- $usesDatabase := has .part (list "pipeline" "storage") }}
{{- $serviceTls := .root.Values.serviceTls }}
{{- $scheme := include "lucid.scheme" .root }}
metadata:
  labels: {{- include "lucid.labels" . | nindent 4 }}
spec:
  serviceAccountName: {{ $name }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ if eq .part "recorder" }}{{ add .root.Values.recorder.drainSeconds 60 }}{{ else }}60{{ end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets: {{- range . }}
    - name: {{ . }}
  {{- end }}
  {{- end }}
  {{- with .root.Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector: { matchLabels: {{ include "lucid.selector" $ | fromYaml | toJson }} }
  {{- end }}
  containers:
    - name: {{ .part }}
      image: {{ printf "%s/%s:%s" .root.Values.image.repository .part (default .root.Chart.AppVersion .root.Values.image.tag) }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      env:
        - { name: LUCID_KEYS_PATH, value: /keys }
        - { name: LUCID_LOG_ORIGIN, value: {{ .root.Values.logOrigin | quote }} }
        - { name: SESSION_PIPELINE_URL, value: "{{ $scheme }}://{{ $name }}-pipeline:8083" }
        - { name: CHUNK_PROCESSOR_URL, value: "{{ $scheme }}://{{ $name }}-processor:8085" }
        - { name: SESSION_STORAGE_URL, value: "{{ $scheme }}://{{ $name }}-storage:8086" }
        - { name: SESSION_RECORDER_URL, value: {{ include "lucid.recorderUrls" .root | quote }} }
        {{- if $serviceTls.enabled }}
        - { name: LUCID_SERVICE_TLS_CERT, value: /service-tls/tls.crt }
        - { name: LUCID_SERVICE_TLS_KEY, value: /service-tls/tls.key }
        - { name: LUCID_SERVICE_TLS_CA, value: /service-tls/ca.crt }
        {{- else }}
        - { name: LUCID_SERVICE_SECRET_FILE, value: /keys/service-secret }
        {{- end }}
        {{- if $usesDatabase }}
        - { name: SESSION_METADATA_DB_FILE, value: /database/url }
        {{- end }}
        {{- if and (has .part (list "pipeline" "api")) .root.Values.log.s3 }}
        - { name: LUCID_LOG_PATH, value: {{ .root.Values.log.s3 | quote }} }
        {{- end }}
        {{- range .env }}
        - {{ toJson . }}
        {{- end }}
        {{- range $key, $value := .root.Values.config }}
        - { name: {{ $key }}, value: {{ $value | quote }} }
        {{- end }}
      {{- $usesBucket := or (and (eq .part "storage") .root.Values.chunks.s3) (and (has .part (list "pipeline" "api")) .root.Values.log.s3) }}
      {{- if and $usesBucket .root.Values.chunks.s3ExistingSecret }}
      envFrom:
        - secretRef: { name: {{ .root.Values.chunks.s3ExistingSecret }} }
      {{- end }}
      ports:
        - { name: http, containerPort: {{ include "lucid.port" . }} }
        {{- range .ports }}
        - {{ toJson . }}
        {{- end }}
      {{- $isTls := ternary (ne .root.Values.api.tlsExistingSecret "") $serviceTls.enabled (eq .part "api") }}
      {{- $probeScheme := ternary "HTTPS" "HTTP" $isTls }}
      startupProbe:
        httpGet: { path: /livez, port: http, scheme: {{ $probeScheme }} }
        periodSeconds: 2
        failureThreshold: 150
      livenessProbe:
        httpGet: { path: /livez, port: http, scheme: {{ $probeScheme }} }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /readyz, port: http, scheme: {{ $probeScheme }} }
        periodSeconds: 5
        timeoutSeconds: 5
      {{- if eq .part "recorder" }}
      lifecycle:
        preStop:
          exec:
            command: [/usr/bin/node, /opt/lucid-sessions/lucid-sessions.js, drain, --wait, {{ .root.Values.recorder.drainSeconds | quote }}]
      {{- end }}
      resources: {{- toYaml .values.resources | nindent 8 }}
      volumeMounts:
        - { name: keys, mountPath: /keys, readOnly: true }
        - { name: tmp, mountPath: /tmp }
        {{- if $serviceTls.enabled }}
        - { name: service-tls, mountPath: /service-tls, readOnly: true }
        {{- end }}
        {{- if $usesDatabase }}
        - { name: database, mountPath: /database, readOnly: true }
        {{- end }}
        {{- range .mounts }}
        - {{ toJson . }}
        {{- end }}
  volumes:
    - name: keys
      {{- with include "lucid.keyFiles" . | fromJsonArray }}
      secret:
        secretName: {{ $.root.Values.keys.existingSecret }}
        defaultMode: 0440
        items: {{- range . }}
          - { key: {{ . }}, path: {{ . }} }
        {{- end }}
      {{- else }}
      emptyDir: {}
      {{- end }}
    - name: tmp
      emptyDir: { sizeLimit: 256Mi }
    {{- if $serviceTls.enabled }}
    - name: service-tls
      secret: { secretName: {{ printf "%s%s" $serviceTls.secretPrefix .part }}, defaultMode: 0440 }
    {{- end }}
    {{- if $usesDatabase }}
    - name: database
      secret:
        secretName: {{ .root.Values.database.existingSecret }}
        defaultMode: 0440
        items: [{ key: {{ .root.Values.database.key }}, path: url }]
    {{- end }}
    {{- range .volumes }}
    - {{ toJson . }}
    {{- end }}
{{- end }}

{{- /* Of { name, volume }: a claim of a StatefulSet. */}}
{{- define "lucid.claim" -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: {{ .name }} }
spec:
  accessModes: [ReadWriteOnce]
  {{- with .volume.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources: { requests: { storage: {{ .volume.size }} } }
{{- end }}
