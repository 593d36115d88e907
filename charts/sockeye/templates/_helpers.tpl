{{/* Names. */}}
{{- define "sockeye.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sockeye.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* Objects of the whole cluster carry the namespace: two releases of one name do not meet. */}}
{{- define "sockeye.clusterName" -}}
{{- printf "%s-%s" (include "sockeye.namespace" .) (include "sockeye.fullname" .) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "sockeye.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "sockeye.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/*
Labels that never change for a release: what selectors may use. `kubectl sockeye` finds agents by name and component,
whatever the objects are called.
*/}}
{{- define "sockeye.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: agent
{{- end }}

{{- define "sockeye.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "sockeye.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: sockeye
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sockeye.image" -}}
{{- $image := .Values.image }}
{{- $name := $image.repository }}
{{- if $image.registry }}
{{- $name = printf "%s/%s" $image.registry $name }}
{{- end }}
{{- if $image.digest }}
{{- printf "%s@%s" $name $image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{/*
What the container may do. Root, because only root's processes get a container's capabilities, but without root's rights:
  BPF         load programs, make maps
  PERFMON     tracing programs, which read kernel memory through typed pointers
  SYS_PTRACE  links of other processes in /proc: whose a socket is that is older than the agent
*/}}
{{- define "sockeye.securityContext" -}}
{{- $add := concat (list "BPF" "PERFMON" "SYS_PTRACE") .Values.extraCapabilities | uniq }}
{{- $capabilities := dict "drop" (list "ALL") "add" $add }}
{{- $context := dict
  "allowPrivilegeEscalation" false
  "capabilities" $capabilities
  "readOnlyRootFilesystem" true
  "runAsGroup" 0
  "runAsNonRoot" false
  "runAsUser" 0
  "seccompProfile" (dict "type" "RuntimeDefault") }}
{{- range $key, $value := .Values.securityContext }}
{{- $_ := set $context $key $value }}
{{- end }}
{{- toYaml $context }}
{{- end }}

{{- define "sockeye.serverSecret" -}}
{{- default (printf "%s-server-tls" (include "sockeye.fullname" .)) .Values.tls.server.existingSecret }}
{{- end }}

{{- define "sockeye.clientSecret" -}}
{{- printf "%s-client-tls" (include "sockeye.fullname" .) }}
{{- end }}

{{/* Names in the server's certificate: one name for all agents, which clients ask for (SNI) whatever the address. */}}
{{- define "sockeye.dnsNames" -}}
{{- $name := printf "%s.%s.svc" (include "sockeye.fullname" .) (include "sockeye.namespace" .) }}
{{- $names := list $name (printf "*.%s" $name) (printf "%s.cluster.local" $name) (printf "*.%s.cluster.local" $name) "localhost" }}
{{- concat $names .Values.tls.server.extraDnsNames | uniq | toJson }}
{{- end }}
