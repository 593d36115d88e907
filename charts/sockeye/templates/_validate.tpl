{{/* Values that contradict each other: one sentence that says which and what would be right. */}}
{{- define "sockeye.validate" -}}
{{- $tls := .Values.tls }}
{{- $token := .Values.auth.token.enabled }}
{{- if .Values.api.podNetwork.enabled }}
{{- if not $tls.enabled }}
{{- fail "api.podNetwork.enabled needs tls.enabled: without TLS everybody on the network reads the stream" }}
{{- end }}
{{- if not (or $tls.requireClientCert $token) }}
{{- fail "api.podNetwork.enabled needs callers that prove who they are: set tls.requireClientCert or auth.token.enabled" }}
{{- end }}
{{- if eq (int .Values.api.podNetwork.port) (int .Values.api.port) }}
{{- fail "api.podNetwork.port and api.port are the same: the pod's loopback has a port of its own" }}
{{- end }}
{{- if eq (int .Values.api.podNetwork.port) (int .Values.admin.port) }}
{{- fail "api.podNetwork.port and admin.port are the same: the admin port is one of its own" }}
{{- end }}
{{- else }}
{{- if $tls.enabled }}
{{- fail "tls.enabled has no effect without api.podNetwork.enabled: loopback and unix socket are plain" }}
{{- end }}
{{- if $token }}
{{- fail "auth.token.enabled has no effect without api.podNetwork.enabled: loopback and unix socket ask for no token" }}
{{- end }}
{{- if ne .Values.auth.authorize "tokens" }}
{{- fail "auth.authorize: all has no effect without api.podNetwork.enabled: loopback and unix socket know no callers" }}
{{- end }}
{{- end }}
{{- if eq (int .Values.api.port) (int .Values.admin.port) }}
{{- fail "api.port and admin.port are the same: the admin port is one of its own" }}
{{- end }}
{{- if $tls.enabled }}
{{- $issuer := $tls.auto.certManagerIssuerRef.name }}
{{- if $tls.server.existingSecret }}
{{- if or $issuer (eq $tls.auto.method "certmanager") }}
{{- fail "tls.server.existingSecret and tls.auto.method: certmanager exclude each other: one of them brings the certificate" }}
{{- end }}
{{- if or $tls.server.extraDnsNames $tls.server.extraIpAddresses }}
{{- fail "tls.server.extraDnsNames and extraIpAddresses have no effect with tls.server.existingSecret: its certificate has its names already" }}
{{- end }}
{{- else if not $tls.auto.enabled }}
{{- fail "tls.enabled needs a certificate: set tls.server.existingSecret, or tls.auto.enabled to have one made" }}
{{- else if and (eq $tls.auto.method "certmanager") (not $issuer) }}
{{- fail "tls.auto.method: certmanager needs tls.auto.certManagerIssuerRef.name" }}
{{- else if and (eq $tls.auto.method "helm") $issuer }}
{{- fail "tls.auto.certManagerIssuerRef.name has no effect with tls.auto.method: helm; set the method to certmanager" }}
{{- end }}
{{- end }}
{{- if and .Values.auth.token.enabled (not .Values.serviceAccount.automount) }}
{{- fail "auth.token.enabled needs serviceAccount.automount: the agent asks the API server about tokens" }}
{{- end }}
{{- if and .Values.serviceAccount.automount .Values.rbac.create (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.create: false with rbac.create would give the agent's rights to the namespace's default ServiceAccount; set serviceAccount.name" }}
{{- end }}
{{- if and .Values.hostNetwork (not .Values.api.podNetwork.enabled) }}
{{- fail "hostNetwork leaves the API on its unix socket alone, because the node's loopback is everybody's; set api.podNetwork.enabled, too, or leave hostNetwork off" }}
{{- end }}
{{- if and .Values.hostNetwork .Values.networkPolicy.enabled }}
{{- fail "networkPolicy.enabled has no effect with hostNetwork: policies do not hold for pods on the node's network" }}
{{- end }}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled }}
{{- fail "podMonitor.enabled and serviceMonitor.enabled exclude each other: every agent would be scraped twice" }}
{{- end }}
{{- if and .Values.prometheusScrapeAnnotations.enabled (or .Values.podMonitor.enabled .Values.serviceMonitor.enabled) }}
{{- fail "prometheusScrapeAnnotations.enabled and a podMonitor or serviceMonitor exclude each other: every agent would be scraped twice" }}
{{- end }}
{{- range $key, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels }}
{{- range $label, $_ := $labels }}
{{- if or (eq $label "helm.sh/chart") (has $label (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/part-of" "app.kubernetes.io/managed-by")) }}
{{- fail (printf "%s cannot set %s: the chart sets it, and agents are found by it" $key $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- $security := .Values.securityContext }}
{{- if and $security.privileged (not $security.allowPrivilegeEscalation) }}
{{- fail "securityContext.privileged needs securityContext.allowPrivilegeEscalation: Kubernetes refuses one without the other (Sockeye needs neither)" }}
{{- end }}
{{- if and $security.runAsNonRoot (not $security.runAsUser) }}
{{- fail "securityContext.runAsNonRoot: a container gets its capabilities as root only; the agent is root without root's rights" }}
{{- end }}
{{- if and $security.runAsUser (ne (int $security.runAsUser) 0) }}
{{- fail "securityContext.runAsUser: a container gets its capabilities as root only; the agent is root without root's rights" }}
{{- end }}
{{- if and (hasKey $security "capabilities") .Values.extraCapabilities }}
{{- fail "securityContext.capabilities replaces the agent's capabilities, so extraCapabilities has no effect; put all of them into one" }}
{{- end }}
{{- end }}
