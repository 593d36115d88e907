{{/* A setting's value as the agent's file has it: numbers stay whole (helm holds them as floats), texts are quoted. */}}
{{- define "sockeye.scalar" -}}
{{- if kindIs "float64" . }}{{ int64 . }}{{ else if kindIs "string" . }}{{ toJson . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{/* The agent's configuration file: what the chart decides, then `config`. */}}
{{- define "sockeye.config" -}}
{{- $network := .Values.api.podNetwork -}}
listen:
  - unix:/run/sockeye/agent.sock
  {{- /* The node's loopback is everybody's. */}}
  {{- if not .Values.hostNetwork }}
  - 127.0.0.1:{{ .Values.api.port }}
  {{- end }}
  {{- if $network.enabled }}
  - {{ printf "%s:%v" .Values.listenAddress $network.port | quote }}
  {{- end }}
admin-listen: {{ printf "%s:%v" .Values.listenAddress .Values.admin.port | quote }}
{{- if .Values.tls.enabled }}
tls-cert-file: /etc/sockeye-tls/tls.crt
tls-key-file: /etc/sockeye-tls/tls.key
{{- if .Values.tls.requireClientCert }}
tls-client-ca-file: /etc/sockeye-tls/ca.crt
{{- end }}
{{- end }}
{{- if .Values.auth.token.enabled }}
token-auth: true
token-audience:
  {{- range .Values.auth.token.audiences }}
  - {{ toJson . }}
  {{- end }}
{{- end }}
authorize: {{ .Values.auth.authorize }}
{{- if not .Values.serviceAccount.automount }}
# Without a token there is nobody to ask.
kubernetes: "off"
{{- end }}
{{- range $name, $value := .Values.config }}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
{{ $name }}: {{ include "sockeye.scalar" $value }}
{{- end }}
{{- end }}
{{- end }}
