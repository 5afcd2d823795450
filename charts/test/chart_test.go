// Package charts checks what is deployed: the Helm chart and the compose file. It is a module of its own, so that the
// dependencies of Kubernetes and compose stay out of the product.
package charts

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	psapi "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/windrow-io/windrow/internal/config"
)

var update = flag.Bool("update", false, "write the variables' part of values.schema.json anew")

const chartDir = "../windrow"

// release is what a values file renders to.
type release struct {
	configMaps      map[string]*corev1.ConfigMap
	deployments     map[string]*appsv1.Deployment
	cronJobs        map[string]*batchv1.CronJob
	serviceAccounts map[string]*corev1.ServiceAccount
	notes           string
}

func values(t *testing.T, file string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	v := map[string]any{}
	if err := yaml.UnmarshalStrict(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// render renders the chart as helm install does, schema included, and decodes all objects strictly.
func render(v map[string]any) (*release, error) {
	c, err := loader.Load(chartDir)
	if err != nil {
		return nil, err
	}
	if err := chartutil.ProcessDependenciesWithMerge(c, v); err != nil {
		return nil, err
	}
	all, err := chartutil.ToRenderValues(c, v, chartutil.ReleaseOptions{Name: "orders", Namespace: "streams", Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	r := &release{
		configMaps: map[string]*corev1.ConfigMap{}, deployments: map[string]*appsv1.Deployment{}, cronJobs: map[string]*batchv1.CronJob{}, serviceAccounts: map[string]*corev1.ServiceAccount{},
	}
	for name, text := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			r.notes = text
			continue
		}
		for _, doc := range strings.Split(text, "\n---\n") {
			if strings.TrimSpace(doc) == "" {
				continue
			}
			if err := r.add(doc); err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", name, err, doc)
			}
		}
	}
	return r, nil
}

func (r *release) add(doc string) error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
		return err
	}
	switch kind.APIVersion + " " + kind.Kind {
	case "v1 ConfigMap":
		o := new(corev1.ConfigMap)
		return put(doc, o, r.configMaps)
	case "apps/v1 Deployment":
		o := new(appsv1.Deployment)
		return put(doc, o, r.deployments)
	case "batch/v1 CronJob":
		o := new(batchv1.CronJob)
		return put(doc, o, r.cronJobs)
	case "v1 ServiceAccount":
		o := new(corev1.ServiceAccount)
		return put(doc, o, r.serviceAccounts)
	}
	return fmt.Errorf("an unexpected object: %s %s", kind.APIVersion, kind.Kind)
}

func put[T metav1.Object](doc string, o T, into map[string]T) error {
	if err := yaml.UnmarshalStrict([]byte(doc), o); err != nil {
		return err
	}
	if into[o.GetName()] = o; o.GetNamespace() != "streams" {
		return fmt.Errorf("%s is in the namespace %q", o.GetName(), o.GetNamespace())
	}
	return nil
}

func mustRender(t *testing.T, v map[string]any) *release {
	t.Helper()
	r, err := render(v)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var files = []string{"minimal.yaml", "full.yaml", "pipeline.yaml", "ingest.yaml", "job.yaml"}

// secret is what the Secret of the values files holds.
var secret = map[string]string{
	"REDIS_URL": "rediss://u:p@redis:6379", "MONGO_URL": "mongodb://u:p@mongo/?authSource=admin",
}

// environment is what the container of a deployment finds, without what other values refer to.
func (r *release) environment(t *testing.T, d *appsv1.Deployment) map[string]string {
	t.Helper()
	return r.environmentOf(t, d.Name, &d.Spec.Template.Spec)
}

func (r *release) environmentOf(t *testing.T, name string, pod *corev1.PodSpec) map[string]string {
	t.Helper()
	c := pod.Containers[0]
	env := map[string]string{}
	for _, from := range c.EnvFrom {
		switch {
		case from.ConfigMapRef != nil:
			m := r.configMaps[from.ConfigMapRef.Name]
			if m == nil {
				t.Fatalf("%s refers to the ConfigMap %s, which is not there", name, from.ConfigMapRef.Name)
			}
			maps.Copy(env, m.Data)
		case from.SecretRef != nil:
			maps.Copy(env, secret)
			if env["KAFKA_SASL_MECHANISM"] != "" {
				env["KAFKA_SASL_PASSWORD"] = "p"
			}
		}
	}
	for _, e := range c.Env {
		switch {
		case e.ValueFrom == nil:
			env[e.Name] = e.Value
		case e.ValueFrom.FieldRef != nil:
			env[e.Name] = "some-" + strings.ReplaceAll(e.ValueFrom.FieldRef.FieldPath, ".", "-")
		default:
			t.Fatalf("%s: %s comes from elsewhere", name, e.Name)
		}
	}
	return env
}

// onlyTheirs takes away, for the test, what the environment of the tests has and a pod would not.
func onlyTheirs(t *testing.T) {
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "KAFKA_") {
			t.Setenv(name, value) // restores it
			os.Unsetenv(name)
		}
	}
}

// What the chart renders is what the programs take: each program's own loader accepts the environment of its pod.
func TestProgramsAcceptTheirEnvironment(t *testing.T) {
	for _, file := range files {
		r := mustRender(t, values(t, file))
		for name, d := range r.deployments {
			t.Run(file+" "+name, func(t *testing.T) {
				env := r.environment(t, d)
				onlyTheirs(t)
				certs := keyPair(t)
				for name, value := range env {
					t.Setenv(name, strings.Replace(value, "/etc/windrow/kafka-tls", certs, 1))
				}
				program := config.ProgramProcess
				if strings.HasSuffix(name, "-ingest") {
					program = config.ProgramIngest
				}
				c, err := config.Load(program)
				if err != nil {
					t.Fatal(err)
				}
				if len(c.Warnings) > 0 {
					t.Errorf("warnings: %q", c.Warnings)
				}
				if program == config.ProgramProcess && c.Worker != "some-metadata-name" {
					t.Errorf("the worker's name is %q, not the pod's", c.Worker)
				}
				if file == "full.yaml" {
					full(t, program, c)
				}
			})
		}
	}
}

// full checks that values came through unspoilt.
func full(t *testing.T, program config.Program, c *config.Config) {
	for _, v := range []struct {
		program   config.Program
		name      string
		got, want any
	}{
		{config.ProgramBoth, "SHUTDOWN_TIMEOUT", c.Shutdown, 60 * time.Second},
		{config.ProgramBoth, "PPROF", c.PProf, true},
		{config.ProgramBoth, "KAFKA_TLS", c.TLS, true},
		{config.ProgramBoth, "REDIS_URL", string(c.RedisURL), secret["REDIS_URL"]},
		{config.ProgramIngest, "BUFFER_MAX_BYTES", c.BufferMaxBytes, config.Size(1e12)},
		{config.ProgramIngest, "KAFKA_START", c.Start, config.Start("1767225600000")},
		{config.ProgramIngest, "KAFKA_TOPICS", c.Ingest.Topics, config.Topics("orders,/payments-.{1,8}/")},
		{config.ProgramProcess, "WINDOW_SIZE", c.WindowSize, 1000000000},
		{config.ProgramProcess, "WINDOW_TIMEOUT", c.WindowTimeout, 90 * time.Second},
	} {
		if program&v.program != 0 && v.got != v.want {
			t.Errorf("%s = %v, want %v", v.name, v.got, v.want)
		}
	}
}

// keyPair writes the files of a Secret for TLS.
func keyPair(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for file, block := range map[string]*pem.Block{
		"ca.crt": {Type: "CERTIFICATE", Bytes: cert}, "tls.crt": {Type: "CERTIFICATE", Bytes: cert}, "tls.key": {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The pods pass Kubernetes' own check of PodSecurity "restricted", without a warning.
func TestPodSecurityRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := psapi.LevelVersion{Level: psapi.LevelRestricted, Version: psapi.LatestVersion()}
	for _, file := range files {
		for name, d := range mustRender(t, values(t, file)).deployments {
			pod := d.Spec.Template
			results := evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec)
			if len(results) == 0 {
				t.Fatal("nothing was checked")
			}
			if all := policy.AggregateCheckResults(results); !all.Allowed {
				t.Errorf("%s: %s: %s", file, name, all.ForbiddenDetail())
			}
		}
	}
	// The check is a check: a pod that asks for nothing is refused.
	if policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &metav1.ObjectMeta{}, &corev1.PodSpec{Containers: []corev1.Container{{Name: "x"}}})).Allowed {
		t.Error("the evaluator allows a pod without any security context")
	}
}

func TestDeployments(t *testing.T) {
	for _, file := range files {
		r := mustRender(t, values(t, file))
		for name, d := range r.deployments {
			pod := d.Spec.Template.Spec
			c := pod.Containers[0]
			for _, v := range []struct {
				what      string
				got, want any
			}{
				{"service links", *pod.EnableServiceLinks, false},
				{"service account token", *pod.AutomountServiceAccountToken, false},
				{"read-only root", *c.SecurityContext.ReadOnlyRootFilesystem, true},
				{"liveness", c.LivenessProbe.HTTPGet.Path, "/livez"},
				{"startup", c.StartupProbe.HTTPGet.Path, "/livez"},
				{"readiness", c.ReadinessProbe.HTTPGet.Path, "/readyz"},
				{"port", c.Ports[0].ContainerPort, int32(8080)},
			} {
				if v.got != v.want {
					t.Errorf("%s: %s: %s: %v, want %v", file, name, v.what, v.got, v.want)
				}
			}
			// The pod outlives what the program takes to stop.
			timeout, err := time.ParseDuration(r.environment(t, d)["SHUTDOWN_TIMEOUT"])
			if err != nil || time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second <= timeout {
				t.Errorf("%s: %s: is killed after %d s, SHUTDOWN_TIMEOUT=%v (%v)", file, name, *pod.TerminationGracePeriodSeconds, timeout, err)
			}
			for k, want := range d.Spec.Selector.MatchLabels {
				if got := d.Spec.Template.Labels[k]; got != want {
					t.Errorf("%s: %s: selects %s=%s, the pods have %q", file, name, k, want, got)
				}
			}
			if account := r.serviceAccounts[pod.ServiceAccountName]; account == nil && pod.ServiceAccountName != "default" {
				t.Errorf("%s: %s: the service account %s is not there", file, name, pod.ServiceAccountName)
			} else if account != nil && *account.AutomountServiceAccountToken {
				t.Errorf("%s: %s: the account's token is mounted", file, name)
			}
		}
	}
}

func TestFull(t *testing.T) {
	r := mustRender(t, values(t, "full.yaml"))
	ingest, process := r.deployments["everything-ingest"], r.deployments["everything-process"]
	if ingest == nil || process == nil || len(r.deployments) != 2 {
		t.Fatalf("deployments: %v", slices.Collect(maps.Keys(r.deployments)))
	}
	env := r.environment(t, process)
	for _, v := range []struct {
		what      string
		got, want any
	}{
		{"ingest's replicas", *ingest.Spec.Replicas, int32(3)},
		{"ingest's image", ingest.Spec.Template.Spec.Containers[0].Image, "registry.example.com/windrow:1.2.3"},
		{"process's image", process.Spec.Template.Spec.Containers[0].Image, "registry.example.com/mine:7"},
		{"process's command", process.Spec.Template.Spec.Containers[0].Command[0], "/app/mine"},
		{"user", *process.Spec.Template.Spec.SecurityContext.RunAsUser, int64(1000)},
		{"ingest's memory limit for Go", r.environment(t, ingest)["GOMEMLIMIT"], "180000000"},
		{"process's memory limit for Go", env["GOMEMLIMIT"], fmt.Sprint(int64(1<<30) * 9 / 10)},
		{"extraEnv for both", env["TZ"], "UTC"},
		{"extraEnv", env["NODE"], "some-spec-nodeName"},
		{"account", process.Spec.Template.Spec.ServiceAccountName, "worker"},
		{"TLS file", env["KAFKA_TLS_KEY"], "/etc/windrow/kafka-tls/tls.key"},
		{"TLS mount", process.Spec.Template.Spec.Containers[0].VolumeMounts[0].MountPath, "/etc/windrow/kafka-tls"},
		{"TLS Secret", process.Spec.Template.Spec.Volumes[0].Secret.SecretName, "windrow-kafka"},
		{"annotation", ingest.Spec.Template.Annotations["prometheus.io/scrape"], "true"},
		{"label", ingest.Spec.Template.Labels["team"], "data"},
		{"priority", ingest.Spec.Template.Spec.PriorityClassName, "high"},
		{"spread", len(ingest.Spec.Template.Spec.TopologySpreadConstraints), 1},
	} {
		if v.got != v.want {
			t.Errorf("%s: %v, want %v", v.what, v.got, v.want)
		}
	}
}

// The CronJob runs both programs' configuration to the end of what is there, in a pod as restricted as the others'.
func TestCronJob(t *testing.T) {
	r := mustRender(t, values(t, "job.yaml"))
	job := r.cronJobs["orders-windrow-job"]
	if job == nil || len(r.deployments) != 0 {
		t.Fatalf("%+v", r)
	}
	template := job.Spec.JobTemplate.Spec.Template
	pod := template.Spec
	for _, v := range []struct {
		what      string
		got, want any
	}{
		{"schedule", job.Spec.Schedule, "15 2 * * *"},
		{"time zone", *job.Spec.TimeZone, "Europe/Zurich"},
		{"concurrency", job.Spec.ConcurrencyPolicy, batchv1.ForbidConcurrent},
		{"restarts", pod.RestartPolicy, corev1.RestartPolicyNever},
		{"failures", *job.Spec.JobTemplate.Spec.BackoffLimit, int32(3)},
		{"command", strings.Join(pod.Containers[0].Command, " "), "/usr/local/bin/windrow run --until-caught-up --partial=flush"},
		{"probe", pod.Containers[0].ReadinessProbe == nil, true},
		{"image", pod.Containers[0].Image, mustRender(t, values(t, "minimal.yaml")).deployments["orders-windrow-process"].Spec.Template.Spec.Containers[0].Image},
	} {
		if v.got != v.want {
			t.Errorf("%s: %v, want %v", v.what, v.got, v.want)
		}
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := psapi.LevelVersion{Level: psapi.LevelRestricted, Version: psapi.LatestVersion()}
	if all := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &template.ObjectMeta, &pod)); !all.Allowed {
		t.Errorf("%s", all.ForbiddenDetail())
	}
	env := r.environmentOf(t, job.Name, &pod)
	onlyTheirs(t)
	for name, value := range env {
		t.Setenv(name, value)
	}
	c, err := config.Load(config.ProgramBoth)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 || c.Worker != "some-metadata-name" || string(c.Topics) != "orders" || c.OutputTopic != "orders.windows" {
		t.Errorf("warnings %q, worker %s, topics %s, output %s", c.Warnings, c.Worker, c.Topics, c.OutputTopic)
	}
}

func TestPipelineRelease(t *testing.T) {
	r := mustRender(t, values(t, "pipeline.yaml"))
	d := r.deployments["orders-windrow-process"]
	if d == nil || len(r.deployments) != 1 || len(r.configMaps) != 1 || len(r.serviceAccounts) != 0 {
		t.Fatalf("%+v", r)
	}
	if d.Spec.Template.Spec.SecurityContext.RunAsUser != nil {
		t.Error("runAsUser: null sets a user")
	}
	if got, want := d.Spec.Template.Spec.Containers[0].Image, "ghcr.io/windrow-io/windrow@sha256:0123456789abcdef"; !strings.HasPrefix(got, want) {
		t.Errorf("image %s, want %s…", got, want)
	}
	if _, set := r.environment(t, d)["GOMEMLIMIT"]; set {
		t.Error("GOMEMLIMIT is set without a limit")
	}
}

// A change of the configuration restarts the pods that it concerns.
func TestChecksum(t *testing.T) {
	sums := func(change func(map[string]any)) map[string]string {
		v := values(t, "minimal.yaml")
		change(v)
		all := map[string]string{}
		for name, d := range mustRender(t, v).deployments {
			all[name] = d.Spec.Template.Annotations["checksum/config"]
		}
		return all
	}
	before := sums(func(map[string]any) {})
	after := sums(func(v map[string]any) {
		v["process"].(map[string]any)["config"].(map[string]any)["WINDOW_SIZE"] = 101
	})
	if before["orders-windrow-process"] == after["orders-windrow-process"] {
		t.Error("process is not restarted")
	}
	if before["orders-windrow-ingest"] != after["orders-windrow-ingest"] {
		t.Error("ingest is restarted without cause")
	}
}

func TestNotes(t *testing.T) {
	notes := mustRender(t, values(t, "minimal.yaml")).notes
	for _, want := range []string{`the stream "orders"`, "deployment/orders-windrow-ingest", "deployment/orders-windrow-process", "topic orders.windows"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes lack %q:\n%s", want, notes)
		}
	}
}

// Each case is one mistake in otherwise good values, which the schema or the templates refuse with these words.
func TestWrongValues(t *testing.T) {
	for path, c := range map[string]struct {
		value any
		want  string
	}{
		"replica":                         {3, "additional properties 'replica' not allowed"},
		"process.replica":                 {3, "additional properties 'replica' not allowed"},
		"process.replicas":                {"3", "got string, want integer"},
		"process.config.WINDOW_SIZ":       {3, "additional properties 'WINDOW_SIZ' not allowed"},
		"process.config.ALLOWED_LATENESS": {3, "got number, want null or string"},
		"process.config.WINDOW_SLIDE":     {"3 s", "does not match pattern"},
		"process.config.KAFKA_TOPICS":     {"x", "additional properties 'KAFKA_TOPICS' not allowed"},
		"process.config.SINK":             {"kafka,file", "does not match pattern"},
		"process.config.WORKER":           {"x", "additional properties 'WORKER' not allowed"},
		"process.config.LEASE_TTL":        {3, "got number, want null or string"},
		"process.config.WINDOW_SIZE":      {1.5, "want null or integer"},
		"config.STREAM":                   {nil, "missing property 'STREAM'"},
		"config.KAFKA_SASL_PASSWORD":      {"p", "additional properties 'KAFKA_SASL_PASSWORD' not allowed"},
		"config.REDIS_URL":                {"redis://u:p@redis:6379", "'not' failed"},
		"ingest.config.KAFKA_TOPICS":      {nil, "missing property 'KAFKA_TOPICS'"},
		"process.config.EMITTER":          {nil, "missing property 'EMITTER'"},
		"shutdownTimeoutSeconds":          {0, "minimum"},
		"image.digest":                    {"sha256:short", "does not match pattern"},
		"existingSecretName":              {"x", "not allowed"},
		"process.resources.limits.memory": {"1E", "write it with Ki, Mi, Gi"},
	} {
		t.Run(path, func(t *testing.T) {
			v := values(t, "minimal.yaml")
			keys := strings.Split(path, ".")
			at := v
			for _, k := range keys[:len(keys)-1] {
				next, ok := at[k].(map[string]any)
				if !ok {
					next = map[string]any{}
					at[k] = next
				}
				at = next
			}
			if at[keys[len(keys)-1]] = c.value; c.value == nil {
				delete(at, keys[len(keys)-1])
			}
			_, err := render(v)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	t.Run("no Redis", func(t *testing.T) {
		v := values(t, "minimal.yaml")
		delete(v["config"].(map[string]any), "REDIS_URL")
		if _, err := render(v); err == nil || !strings.Contains(err.Error(), "config.REDIS_URL is required, or existingSecret") {
			t.Errorf("got %v", err)
		}
	})
}

func TestLint(t *testing.T) {
	for _, file := range files {
		for _, m := range lint.All(chartDir, values(t, file), "streams", true).Messages {
			// An icon is for chart catalogues.
			if m.Severity >= support.WarningSev && !strings.Contains(m.Err.Error(), "icon") {
				t.Errorf("%s: %s", file, m)
			}
		}
	}
}

// managed are the variables that the chart sets itself or takes from a Secret only.
var managed = []string{
	"HTTP_ADDR", "SHUTDOWN_TIMEOUT", "WORKER", "KAFKA_TLS_CA", "KAFKA_TLS_CERT", "KAFKA_TLS_KEY", "KAFKA_SASL_PASSWORD",
}

// The chart offers the variables of the programs, all of them and no others: go test . -update writes them anew.
func TestSchemaOffersTheVariables(t *testing.T) {
	const path = chartDir + "/values.schema.json"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	definitions := schema["definitions"].(map[string]any)
	for name, program := range map[string]config.Program{
		"commonConfig": config.ProgramBoth, "ingestConfig": config.ProgramIngest, "processConfig": config.ProgramProcess,
	} {
		properties := map[string]any{}
		for _, v := range config.Variables(config.ProgramBoth) {
			if v.Programs == program && !slices.Contains(managed, v.Name) {
				properties[v.Name] = property(v)
			}
		}
		// Through JSON, so that both sides are of the same types.
		var want any
		p, err := json.Marshal(map[string]any{"type": "object", "additionalProperties": false, "properties": properties})
		if err == nil {
			err = json.Unmarshal(p, &want)
		}
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			definitions[name] = want
		}
		if !reflect.DeepEqual(definitions[name], want) {
			t.Errorf("%s: definitions.%s is not what the programs' variables say: run go test . -run TestSchema -update", path, name)
		}
	}
	if *update {
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(schema); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range managed {
		if !slices.ContainsFunc(config.Variables(config.ProgramBoth), func(v config.Variable) bool { return v.Name == name }) {
			t.Errorf("%s is no variable", name)
		}
	}
}

// property is the schema of a variable's value. Null takes back what a values file before it has set.
func property(v config.Variable) map[string]any {
	p := map[string]any{"description": v.Meaning}
	types := func(t ...string) map[string]any {
		p["type"] = append(t, "null")
		return p
	}
	switch {
	case v.Pattern != "":
		p["pattern"] = v.Pattern
		return types("string")
	case len(v.Choices) > 0:
		choices := []any{nil}
		for _, c := range v.Choices {
			choices = append(choices, c)
		}
		p["enum"] = choices
		return p
	case v.Type == "bool":
		return types("boolean")
	case v.Type == "number":
		return types("integer")
	case v.Type == "size":
		p["pattern"] = `^[0-9]+(\.[0-9]+)? *[A-Za-z]*$`
		return types("integer", "string")
	case v.Type == "duration":
		p["pattern"] = `^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`
		return types("string")
	case v.Type == "duration or number":
		p["pattern"] = `^([0-9]+|([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+)$`
		return types("integer", "string")
	case v.Type == "time":
		return types("integer", "string")
	case v.Secret:
		// A ConfigMap is no place for a password: existingSecret is.
		p["not"] = map[string]any{"type": "string", "pattern": `://[^/]*:[^/]*@|[?&][a-z_]*password=`}
	}
	return types("string")
}
