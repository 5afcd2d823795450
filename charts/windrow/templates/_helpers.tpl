{{- define "windrow.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Labels that never change: what a Deployment selects its pods by. Takes a list: the root, the component. */ -}}
{{- define "windrow.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "windrow.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "windrow.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- end -}}

{{- define "windrow.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "windrow.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* An image reference. Takes a list: the root, the component's own image or an empty map. */ -}}
{{- define "windrow.image" -}}
{{- $root := index . 0 -}}
{{- $own := index . 1 | default dict -}}
{{- $of := ternary $own $root.Values.image (not (empty $own.repository)) -}}
{{- $repository := $of.repository -}}
{{- $tag := $own.tag | default $of.tag | default $root.Chart.AppVersion -}}
{{- $digest := $own.digest | default $of.digest -}}
{{- /* A tag of one's own must not be overruled by the shared image's digest. */ -}}
{{- if and $own.tag (not $own.digest) -}}{{- $digest = "" -}}{{- end -}}
{{- if $digest -}}{{ $repository }}@{{ $digest }}{{- else -}}{{ $repository }}:{{ $tag }}{{- end -}}
{{- end -}}

{{- /* A variable's value as text. YAML's numbers arrive as floats: large ones would become 1e+12. */ -}}
{{- define "windrow.text" -}}
{{- if kindIs "float64" . -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{- /* The data of a program's ConfigMap. Takes a list: the root, the program's section. */ -}}
{{- define "windrow.data" -}}
{{- $root := index . 0 -}}
{{- $section := index . 1 -}}
{{- range $name, $value := merge (dict) $section.config $root.Values.config }}
{{- if not (kindIs "invalid" $value) }}
{{ $name }}: {{ include "windrow.text" $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- /* Nine tenths of a memory quantity in bytes. */ -}}
{{- define "windrow.goMemLimit" -}}
{{- $text := toString . -}}
{{- $units := dict "" 1 "k" 1000 "Ki" 1024 "M" 1000000 "Mi" 1048576 "G" 1000000000 "Gi" 1073741824 "T" 1000000000000 "Ti" 1099511627776 -}}
{{- if kindIs "float64" . -}}{{- $text = toString (int64 .) -}}{{- end -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- if not (hasKey $units $unit) -}}{{- fail (printf "resources.limits.memory: %s: write it with Ki, Mi, Gi, k, M or G" $text) -}}{{- end -}}
{{- divf (mulf (float64 (trimSuffix $unit $text)) (float64 (get $units $unit)) 9.0) 10.0 | floor | int64 -}}
{{- end -}}

{{- /* The pod template of a program. Takes a dict: root, component, section, image, command, and once for one that ends. */ -}}
{{- define "windrow.pod" -}}
{{- $root := .root -}}
{{- $s := .section -}}
{{- $v := $root.Values -}}
{{- if not (or $v.config.REDIS_URL $v.existingSecret) -}}
{{- fail "config.REDIS_URL is required, or existingSecret with a key REDIS_URL" -}}
{{- end -}}
{{- $name := printf "%s-%s" (include "windrow.fullname" $root) .component -}}
metadata:
  annotations:
    checksum/config: {{ include "windrow.data" (list $root $s) | sha256sum }}
    {{- with $s.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "windrow.labels" (list $root .component) | nindent 4 }}
    {{- with $s.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- if .once }}
  restartPolicy: Never
  {{- end }}
  serviceAccountName: {{ include "windrow.serviceAccountName" $root }}
  automountServiceAccountToken: false
  # A Service named kafka or redis must not put variables of its own among ours.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add $v.shutdownTimeoutSeconds 5 }}
  {{- with $s.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    {{- if not (kindIs "invalid" $v.runAsUser) }}
    runAsUser: {{ int64 $v.runAsUser }}
    runAsGroup: {{ int64 $v.runAsUser }}
    {{- end }}
    seccompProfile:
      type: RuntimeDefault
  {{- with $v.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "windrow.image" (list $root .image) | quote }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      command:
        {{- toYaml .command | nindent 8 }}
      envFrom:
        - configMapRef:
            name: {{ $name }}
        {{- with $v.existingSecret }}
        - secretRef:
            name: {{ . }}
        {{- end }}
      env:
        {{- if ne .component "ingest" }}
        - name: WORKER
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        {{- end }}
        - name: HTTP_ADDR
          value: ":8080"
        - name: SHUTDOWN_TIMEOUT
          value: {{ printf "%ds" (int64 $v.shutdownTimeoutSeconds) | quote }}
        {{- with (($s.resources).limits).memory }}
        - name: GOMEMLIMIT
          value: {{ include "windrow.goMemLimit" . | quote }}
        {{- end }}
        {{- if $v.kafkaTLS.existingSecret }}
        - name: KAFKA_TLS
          value: "true"
        {{- range $variable, $file := dict "KAFKA_TLS_CA" $v.kafkaTLS.ca "KAFKA_TLS_CERT" $v.kafkaTLS.cert "KAFKA_TLS_KEY" $v.kafkaTLS.key }}
        {{- with $file }}
        - name: {{ $variable }}
          value: {{ printf "/etc/windrow/kafka-tls/%s" . | quote }}
        {{- end }}
        {{- end }}
        {{- end }}
        {{- range concat $v.extraEnv $s.extraEnv }}
        - {{- toYaml . | nindent 10 }}
        {{- end }}
      ports:
        - name: http
          containerPort: 8080
      {{- if not .once }}
      # Liveness asks whether the program's own loops turn; it never looks at Kafka or Redis.
      startupProbe:
        httpGet: {path: /livez, port: http}
        periodSeconds: 2
        failureThreshold: 30
      livenessProbe:
        httpGet: {path: /livez, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 5
        timeoutSeconds: 5
      {{- end }}
      {{- with $s.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      {{- if $v.kafkaTLS.existingSecret }}
      volumeMounts:
        - name: kafka-tls
          mountPath: /etc/windrow/kafka-tls
          readOnly: true
      {{- end }}
  {{- if $v.kafkaTLS.existingSecret }}
  volumes:
    - name: kafka-tls
      secret:
        secretName: {{ $v.kafkaTLS.existingSecret }}
  {{- end }}
  {{- with $s.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $s.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $s.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $s.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- /* The Deployment of a program. Takes a dict: root, component, section, image, command. */ -}}
{{- define "windrow.deployment" -}}
{{- $root := .root -}}
{{- $s := .section -}}
{{- $name := printf "%s-%s" (include "windrow.fullname" $root) .component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "windrow.labels" (list $root .component) | nindent 4 }}
spec:
  replicas: {{ $s.replicas }}
  selector:
    matchLabels:
      {{- include "windrow.selectorLabels" (list $root .component) | nindent 6 }}
  template:
    {{- include "windrow.pod" . | nindent 4 }}
{{- end -}}

{{- /* The ConfigMap of a program. Takes a dict: root, component, section. */ -}}
{{- define "windrow.configmap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ printf "%s-%s" (include "windrow.fullname" .root) .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "windrow.labels" (list .root .component) | nindent 4 }}
data:
  {{- include "windrow.data" (list .root .section) | nindent 2 }}
{{- end -}}
