{{/*
The workloads of the release, as YAML: capture and connectors, each with what holds for all of them.

    NAME: {args: [...], section: capture|run, settings: {...}, ...everything that `defaults` has}
*/}}
{{- define "meepo2-cdc.workloads" -}}
{{- $all := dict -}}
{{- if .Values.capture.enabled -}}
{{- $one := mergeOverwrite (deepCopy .Values.defaults) (deepCopy .Values.capture) -}}
{{- $_ := set $one "args" (list "capture" "--standby") -}}
{{- $_ := set $one "section" "capture" -}}
{{- $_ := set $one "where" "capture" -}}
{{- $_ := set $one "autoscaling" (dict "enabled" false) -}}
{{- $_ := set $all "capture" $one -}}
{{- end -}}
{{- range $name, $given := .Values.connectors -}}
{{- $one := mergeOverwrite (deepCopy $.Values.defaults) (deepCopy (default dict $given)) -}}
{{- if ne (toString (get $one "enabled")) "false" -}}
{{- $connector := default ($name | replace "-" "_") (get $one "connector") -}}
{{- $_ := set $one "connector" $connector -}}
{{- $_ := set $one "args" (list "run" $connector) -}}
{{- $_ := set $one "section" "run" -}}
{{- $_ := set $one "where" (printf "connectors.%s" $name) -}}
{{- $_ := set $all $name $one -}}
{{- end -}}
{{- end -}}
{{- range $name, $one := $all -}}
{{- $_ := set $one "settings" (mergeOverwrite (deepCopy $.Values.settings) (deepCopy (default dict $one.settings))) -}}
{{- include "meepo2-cdc.refuseSecrets" $one -}}
{{- include "meepo2-cdc.requireAddresses" $one -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}

{{/* Fails where a pod could only end with exit 2. */}}
{{- define "meepo2-cdc.requireAddresses" -}}
{{- $kafka := default dict .settings.kafka -}}
{{- if not (or (get $kafka "bootstrap.servers") (hasKey .secrets "kafka.bootstrap.servers")) -}}
{{- fail "\n\nsettings.kafka has no bootstrap.servers.\nSet it:  settings: {kafka: {bootstrap.servers: \"kafka:9092\"}}\n" -}}
{{- end -}}
{{- $source := default dict .settings.source -}}
{{- if and (eq .section "capture") (not (or $source.dsn $source.dsn_file (hasKey .secrets "source.dsn"))) -}}
{{- fail "\n\ncapture has no source.dsn, so there is no server to read from.\nPut the address into a Secret, and name that:  capture: {secrets: {source.dsn: {existingSecret: NAME, key: KEY}}}\n" -}}
{{- end -}}
{{- end -}}

{{- define "meepo2-cdc.image" -}}
{{- /* A digest belongs to one image, so another image does not inherit it. */ -}}
{{- $image := mergeOverwrite (ternary (omit .root.Values.image "digest") (deepCopy .root.Values.image) (not (empty .one.image))) (deepCopy .one.image) -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default .root.Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{/* Environment of one workload: where its settings are, and those of them that are secret. */}}
{{- define "meepo2-cdc.environment" -}}
- name: MEEPO2_CONFIG
  value: /etc/meepo2-cdc/settings.toml
- name: MEEPO2_LOG_LEVEL
  value: {{ .root.Values.logs.level }}
- name: MEEPO2_LOG_FORMAT
  value: {{ .root.Values.logs.format }}
- name: {{ include "meepo2-cdc.variable" (printf "%s.metrics_host" .one.section) }}
  value: {{ .root.Values.http.host | quote }}
- name: {{ include "meepo2-cdc.variable" (printf "%s.metrics_port" .one.section) }}
  value: {{ .root.Values.http.port | int | quote }}
{{- range $name, $value := .one.env }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- range $setting, $secret := .one.secrets }}
- name: {{ include "meepo2-cdc.variable" $setting }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret.existingSecret }}
      key: {{ $secret.key | quote }}
{{- end }}
{{- end -}}

{{- define "meepo2-cdc.mounts" -}}
- name: settings
  mountPath: /etc/meepo2-cdc
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- range $name, $secret := .one.secretFiles }}
- name: secret-{{ $name }}
  mountPath: /run/secrets/{{ $name }}
  readOnly: true
{{- end }}
{{- with .one.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "meepo2-cdc.volumes" -}}
- name: settings
  configMap:
    name: {{ include "meepo2-cdc.fullname" .root }}-{{ .name }}
- name: tmp
  emptyDir:
    sizeLimit: 16Mi
{{- range $name, $secret := .one.secretFiles }}
- name: secret-{{ $name }}
  secret:
    secretName: {{ $secret.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- with .one.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "meepo2-cdc.spread" -}}
{{- range .one.topologySpread.topologyKeys }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: {{ $.one.topologySpread.whenUnsatisfiable }}
  labelSelector:
    matchLabels:
      {{- include "meepo2-cdc.selector" $.root | nindent 6 }}
      app.kubernetes.io/component: {{ $.name }}
{{- end }}
{{- end -}}
