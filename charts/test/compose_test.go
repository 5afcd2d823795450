package charts

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/windrow-io/windrow/internal/config"
)

func project(t *testing.T) *types.Project {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{"../../docker-compose.yml"}, cli.WithWorkingDirectory("../.."), cli.WithInterpolation(true))
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The file is valid, and has what it says it has.
func TestCompose(t *testing.T) {
	p := project(t)
	if got, want := slices.Sorted(maps.Keys(p.Services)), []string{"archive", "ingest", "kafka", "mongo", "process", "producer", "redis", "topics"}; !slices.Equal(got, want) {
		t.Fatalf("services %v, want %v", got, want)
	}
	if n := *p.Services["process"].Deploy.Replicas; n != 2 {
		t.Errorf("process has %d replicas", n)
	}
	if c := strings.Join(p.Services["redis"].Command, " "); !strings.Contains(c, "--maxmemory-policy noeviction") {
		t.Errorf("redis may evict: %s", c)
	}
	for name, s := range p.Services {
		for dependency, d := range s.DependsOn {
			switch on := p.Services[dependency]; {
			case d.Condition == types.ServiceConditionHealthy && on.HealthCheck == nil:
				t.Errorf("%s waits for the health of %s, which has no check", name, dependency)
			case d.Condition == types.ServiceConditionCompletedSuccessfully && on.Restart != "no":
				t.Errorf("%s waits for the end of %s, which is restarted", name, dependency)
			case d.Condition == types.ServiceConditionStarted:
				t.Errorf("%s does not wait for %s to work", name, dependency)
			}
		}
		// A list of ports without an address would be open to the network.
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to the network", name, port.Published)
			}
		}
	}
}

// The programs accept the environment that the file gives them, and check their own health.
func TestComposeEnvironment(t *testing.T) {
	p := project(t)
	for name, program := range map[string]config.Program{
		"ingest": config.ProgramIngest, "process": config.ProgramProcess, "archive": config.ProgramProcess,
	} {
		t.Run(name, func(t *testing.T) {
			s := p.Services[name]
			onlyTheirs(t)
			for k, v := range s.Environment {
				t.Setenv(k, *v)
			}
			c, err := config.Load(program)
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Warnings) > 0 {
				t.Errorf("warnings: %q", c.Warnings)
			}
			if s.HealthCheck == nil || !slices.Equal(s.HealthCheck.Test, []string{"CMD", s.Command[0], "-healthcheck"}) {
				t.Errorf("health check: %v", s.HealthCheck)
			}
		})
	}
}

// What the Dockerfile puts into the image is what chart and compose file start.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"FROM gcr.io/distroless/static:nonroot", "USER 65532:65532", "./cmd/ingest ./cmd/process ./cmd/windrow", "COPY --from=build /out/ /usr/local/bin/",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the Dockerfile lacks %q", want)
		}
	}
}
