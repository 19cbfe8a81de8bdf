{{/*
The alerts, as YAML.  What each means and what to do about it: docs/deploying.md, a heading for each.
*/}}
{{- define "meepo2-cdc.alerts" -}}
{{- $full := include "meepo2-cdc.fullname" . -}}
{{- $rule := .Values.prometheusRule -}}
{{- $capture := printf "namespace=%q,service=\"%s-capture\"" .Release.Namespace $full -}}
{{- /* What an instance that stands by tells of the source means nothing. */ -}}
{{- $active := printf "and on (pod) meepo2_cdc_active{%s} == 1" $capture -}}
{{- $workloads := include "meepo2-cdc.workloads" . | fromYaml -}}
{{- $services := list -}}
{{- $connectors := list -}}
{{- range $name, $_ := $workloads -}}
{{- $services = append $services (printf "%s-%s" $full $name) -}}
{{- if ne $name "capture" }}{{ $connectors = append $connectors (printf "%s-%s" $full $name) }}{{ end -}}
{{- end -}}
{{- $connector := printf "namespace=%q,service=~%q" .Release.Namespace (join "|" $connectors) -}}
{{- $pods := printf "namespace=%q,container=\"meepo2-cdc\",pod=~\"(%s)-.+\"" .Release.Namespace (join "|" $services) -}}
{{- if hasKey $workloads "capture" }}
- alert: Meepo2CdcNoActiveCapture
  expr: (sum(meepo2_cdc_active{ {{- $capture -}} }) or vector(0)) < 1
  for: 1m
  severity: critical
  summary: No instance of {{ $full }} captures.
  description: Changes stay in the source's log, and are read from there once an instance captures again, unless the log is purged first.
- alert: Meepo2CdcSeveralActiveCaptures
  expr: sum(meepo2_cdc_active{ {{- $capture -}} }) > 1
  for: 2m
  severity: warning
  summary: '{{ "{{ $value }}" }} instances of {{ $full }} believe that they capture.'
  description: Kafka fences all but the last, which ends them with exit 4; if this stays, two captures share a prefix and a source's name.
- alert: Meepo2CdcSourceNotConnected
  expr: meepo2_cdc_source_connected{ {{- $capture -}} } == 0 {{ $active }}
  for: 2m
  severity: critical
  summary: '{{ "{{ $labels.pod }}" }} does not follow the log of its source.'
  description: The server is away, silent, or refuses the connection; the log of the pod says why.
- alert: Meepo2CdcSourceLag
  expr: max(meepo2_cdc_source_lag_seconds{ {{- $capture -}} } {{ $active }}) > {{ $rule.sourceLagSeconds | int64 }}
  for: 5m
  severity: warning
  summary: '{{ $full }} is {{ "{{ $value | humanizeDuration }}" }} behind its source.'
  description: It catches up after a stop or a large transaction; if it does not, the source writes faster than the capture or Kafka takes records.
- alert: Meepo2CdcRetentionLeft
  expr: min(meepo2_cdc_source_retention_left_seconds{ {{- $capture -}} } {{ $active }}) < {{ $rule.retentionLeftSeconds | int64 }}
  for: 5m
  severity: warning
  summary: The log of {{ $full }}'s position is purged in {{ "{{ $value | humanizeDuration }}" }}.
  description: Once it is purged the capture ends with exit 3 and there is a gap. Have the server keep its log for longer, or find out why the capture is behind.
- alert: Meepo2CdcRetentionEnds
  expr: min(meepo2_cdc_source_retention_left_seconds{ {{- $capture -}} } {{ $active }}) < {{ div ($rule.retentionLeftSeconds | int64) 4 }}
  for: 1m
  severity: critical
  summary: The log of {{ $full }}'s position is purged in {{ "{{ $value | humanizeDuration }}" }}.
  description: Once it is purged the capture ends with exit 3 and there is a gap. Have the server keep its log for longer now.
- alert: Meepo2CdcEventsUnreadable
  expr: sum by (event_type) (increase(meepo2_cdc_events_unreadable_total{ {{- $capture -}} }[15m])) > 0
  for: 0m
  severity: critical
  summary: '{{ $full }} passed over events ({{ "{{ $labels.event_type }}" }}) that it cannot read.'
  description: Their rows are missing in Kafka; each is an error line in the log. Bring the targets of that table up to date from the source.
{{- end }}
{{- if $connectors }}
- alert: Meepo2CdcConsumerLag
  expr: sum by (service) (meepo2_cdc_consumer_lag_records{ {{- $connector -}} }) > {{ $rule.consumerLagRecords | int64 }}
  for: 10m
  severity: warning
  summary: '{{ "{{ $labels.service }}" }} has {{ "{{ $value | humanize }}" }} records to apply.'
  description: Its target takes records slower than they come, or not at all. More pods help as long as there are fewer than partitions.
- alert: Meepo2CdcTargetAway
  expr: meepo2_cdc_target_ready{ {{- $connector -}} } == 0
  for: 5m
  severity: critical
  summary: The target of {{ "{{ $labels.pod }}" }} does not take records.
  description: They are tried again until it does; nothing is lost meanwhile. The log of the pod says what the target answers.
- alert: Meepo2CdcDeadLetters
  expr: sum by (service, connector) (increase(meepo2_cdc_dead_letters_total{ {{- $connector -}} }[15m])) > 0
  for: 0m
  severity: warning
  summary: '{{ "{{ $labels.service }}" }} set {{ "{{ $value | humanize }}" }} records aside.'
  description: The target does not have these changes. `meepo2-cdc dead-letters` shows each with its reason, and replays them.
{{- end }}
{{- if and $rule.exitCodes $workloads }}
{{- range $code, $told := include "meepo2-cdc.exitCodes" . | fromYaml }}
- alert: {{ $told.alert }}
  expr: >-
    increase(kube_pod_container_status_restarts_total{ {{- $pods -}} }[15m]) > 0
    and on (namespace, pod, container) kube_pod_container_status_last_terminated_exitcode{ {{- $pods -}} } == {{ $code }}
  for: 0m
  severity: {{ $told.severity }}
  summary: '{{ "{{ $labels.pod }}" }} was started anew after exit {{ $code }}: {{ $told.summary }}.'
  description: {{ $told.description | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "meepo2-cdc.exitCodes" -}}
"2":
  alert: Meepo2CdcConfiguration
  severity: critical
  summary: something must be edited
  description: A setting, a grant or a server variable. The last lines of the log name it, and the statement that mends it.
"3":
  alert: Meepo2CdcPositionLost
  severity: critical
  summary: what follows the checkpoint is gone from the source
  description: A restart does not help. The page on operations says which ways there are.
"4":
  alert: Meepo2CdcFenced
  severity: warning
  summary: another instance took over
  description: Once is a takeover. Again and again, two releases capture the same source under the same prefix, and each takes it from the other.
"5":
  alert: Meepo2CdcUnreadable
  severity: critical
  summary: an event or a record cannot be read
  description: Nothing was passed over. The last lines of the log name its place and the way on.
{{- end -}}
