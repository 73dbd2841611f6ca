{{/* The name of everything in the release. */}}
{{- define "meshtap.name" -}}
{{- if eq .Release.Name .Chart.Name }}{{ .Chart.Name }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "meshtap.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "meshtap.labels" -}}
{{ include "meshtap.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "meshtap.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "meshtap.name" .) }}
{{- end }}

{{- define "meshtap.priority" -}}
{{ .Values.priorityClass.name | default (include "meshtap.name" .) }}
{{- end }}

{{- define "meshtap.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* "true" where the plaintext of TLS is read. */}}
{{- define "meshtap.tls" -}}
{{- $ztunnel := dig "capture" "tls" "ztunnel" "off" .Values.config | toString }}
{{- $reads := has $ztunnel (list "identity" "flows") }}
{{- if or (dig "capture" "tls" "enabled" false .Values.config) $reads }}true{{ end -}}
{{- end }}

{{/* "true" where processes of other pods are looked at: for TLS, and to name them in spans. */}}
{{- define "meshtap.processes" -}}
{{- if or (include "meshtap.tls" .) (eq (dig "span" "profile" "mesh" .Values.config) "semconv") }}true{{ end -}}
{{- end }}

{{/* "true" where the Kubernetes API is asked. */}}
{{- define "meshtap.api" -}}
{{- if ne (dig "kubernetes" "mode" "auto" .Values.config) "off" }}true{{ end -}}
{{- end }}

{{/* The port of health and metrics; empty where there is none. */}}
{{- define "meshtap.port" -}}
{{- $listen := dig "telemetry" "listen" "" .Values.config -}}
{{- if regexMatch `^(127\.|\[::1\])` ($listen | default "") }}
{{- fail (printf "config.telemetry.listen: %s is inside of the pod: probes and Prometheus come from outside; set 0.0.0.0:PORT, or null for neither" $listen) }}
{{- end }}
{{- if $listen }}{{ splitList ":" $listen | last }}{{ end -}}
{{- end }}

{{/* Where the agents of the release meet, in the pod; empty where they do not. */}}
{{- define "meshtap.handover" -}}
{{- $config := .Values.config -}}
{{- if hasKey (default dict $config.handover) "folder" -}}
{{- $config.handover.folder | default "" -}}
{{- else if .Values.handover.enabled -}}
/run/meshtap
{{- end -}}
{{- end }}

{{/*
The same on the node: of this release alone, for an agent hands over to whoever it meets there. Not
below `/run/meshtap`, which is the folder of the systemd unit.
*/}}
{{- define "meshtap.handoverOnNode" -}}
{{- .Values.handover.hostPath | default (printf "/run/meshtap-agents/%s/%s" .Release.Namespace .Release.Name) -}}
{{- end }}

{{/* Without a hand-over, two agents of a node would each emit everything. */}}
{{- define "meshtap.updateStrategy" -}}
{{- if .Values.updateStrategy }}
{{- toYaml .Values.updateStrategy }}
{{- else if include "meshtap.handover" . -}}
type: RollingUpdate
rollingUpdate: {maxSurge: 10%, maxUnavailable: 0}
{{- else -}}
type: RollingUpdate
rollingUpdate: {maxSurge: 0, maxUnavailable: 10%}
{{- end }}
{{- end }}

{{/* The configuration, with what the chart itself adds. */}}
{{- define "meshtap.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- with include "meshtap.handover" . -}}
{{- $_ := set $config "handover" (dict "folder" .) -}}
{{- end -}}
{{- toYaml $config -}}
{{- end }}

{{/* What the agent's container may do: deploy/README.md gives the reason of each. */}}
{{- define "meshtap.securityContext" -}}
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
# Capabilities reach a program that is not root's only through its file, which an
# image does not keep.
runAsUser: 0
capabilities:
  drop: [ALL]
  add:
    - BPF
    - NET_ADMIN
    - PERFMON
    {{- if include "meshtap.processes" . }}
    - SYS_PTRACE
    - DAC_READ_SEARCH
    - SYS_ADMIN
    {{- end }}
{{- end }}

{{- define "meshtap.env" -}}
- name: MESHTAP_KUBERNETES__NODE
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "meshtap.mounts" -}}
- {name: config, mountPath: /etc/meshtap, readOnly: true}
- name: cgroup
  mountPath: /host/sys/fs/cgroup
  readOnly: true
  {{- with .Values.cgroup.recursiveReadOnly }}
  recursiveReadOnly: {{ . }}
  {{- end }}
{{- with include "meshtap.handover" . }}
- {name: run, mountPath: {{ . }}}
{{- end }}
{{- with .Values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "meshtap.volumes" -}}
- name: config
  configMap: {name: {{ include "meshtap.name" . }}}
- name: cgroup
  hostPath: {path: {{ .Values.cgroup.hostPath }}, type: Directory}
{{- if include "meshtap.handover" . }}
- name: run
  hostPath: {path: {{ include "meshtap.handoverOnNode" . }}, type: DirectoryOrCreate}
{{- end }}
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
