{{/*
Settings as TOML.  Helm's own toToml writes a whole number of a values file as 5.0, which librdkafka refuses.
*/}}
{{- define "meepo2-cdc.toml" -}}
{{- range $key := keys . | sortAlpha }}
{{- $value := index $ $key }}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
{{ $key }} = {{ include "meepo2-cdc.toml.value" $value }}
{{- end }}
{{- end }}
{{- range $section := keys . | sortAlpha }}
{{- $settings := index $ $section }}
{{- if kindIs "map" $settings }}

[{{ $section }}]
{{- range $key := keys $settings | sortAlpha }}
{{- if not (kindIs "invalid" (index $settings $key)) }}
{{ include "meepo2-cdc.toml.key" $key }} = {{ include "meepo2-cdc.toml.value" (index $settings $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "meepo2-cdc.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{- define "meepo2-cdc.toml.value" -}}
{{- if kindIs "map" . -}}
{{- $pairs := list -}}
{{- range $key := keys . | sortAlpha -}}
{{- $pairs = append $pairs (printf "%s = %s" (toJson $key) (include "meepo2-cdc.toml.value" (index $ $key))) -}}
{{- end -}}
{ {{- join ", " $pairs -}} }
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . }}{{ $items = append $items (include "meepo2-cdc.toml.value" .) }}{{ end -}}
[{{ join ", " $items }}]
{{- else if and (kindIs "float64" .) (eq . (floor .)) (lt . 9e15) (gt . -9e15) -}}
{{- int64 . -}}
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{/* The variable of a setting: source.dsn is MEEPO2_SOURCE_DSN. */}}
{{- define "meepo2-cdc.variable" -}}
MEEPO2_{{ . | replace "." "_" | replace "-" "_" | upper }}
{{- end -}}

{{/* Fails where a setting is secret: a ConfigMap and Helm's own record of the values would show it. */}}
{{- define "meepo2-cdc.refuseSecrets" -}}
{{- range $name, $value := .env -}}
{{- $path := $name | lower | trimPrefix "meepo2_" | replace "_" "." -}}
{{- include "meepo2-cdc.refuseSecret" (dict "where" $.where "in" "env" "path" $path "key" $path "value" $value) -}}
{{- end -}}
{{- range $section, $settings := .settings -}}
{{- if kindIs "map" $settings -}}
{{- range $key, $value := $settings -}}
{{- include "meepo2-cdc.refuseSecret" (dict "where" $.where "in" "settings" "path" (printf "%s.%s" $section $key) "key" $key "value" $value) -}}
{{- end -}}
{{- else -}}
{{- include "meepo2-cdc.refuseSecret" (dict "where" $.where "in" "settings" "path" $section "key" $section "value" $settings) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "meepo2-cdc.refuseSecret" -}}
{{- $named := regexMatch "(^|[._])(password|passwd|secret|token|api[._]key|headers|pem)$" .key | or (eq .path "webhook.url") -}}
{{- $text := kindIs "string" .value | ternary .value (toJson .value) -}}
{{- $address := regexMatch "://[^/?#]*:[^/?#]*@" $text -}}
{{- if and (or $named $address) .value -}}
{{- fail (printf "\n\n%s.%s: %s is a secret, and everybody who may read a ConfigMap or a Deployment would see it.\nPut it into a Secret, and name that: %s.secrets: {%s: {existingSecret: NAME, key: KEY}}\n" .where .in .path .where .path) -}}
{{- end -}}
{{- end -}}
