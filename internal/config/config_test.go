package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/windrow-io/windrow/internal/config"
)

var update = flag.Bool("update", false, "write docs/CONFIGURATION.md anew")

type env map[string]string

// common is the least that both programs need.
var common = env{"STREAM": "orders", "REDIS_URL": "redis://localhost:6379", "KAFKA_BROKERS": "a:9092, b:9092"}

func ingest(more env) env { return merge(common, env{"KAFKA_TOPICS": "events"}, more) }

func process(more env) env {
	return merge(common, env{"EMITTER": "count", "WINDOW_SIZE": "100", "SINK": "kafka", "KAFKA_OUTPUT_TOPIC": "out"}, more)
}

func merge(es ...env) env {
	all := env{}
	for _, e := range es {
		maps.Copy(all, e)
	}
	return all
}

// load loads with nothing but e in the environment.
func load(t *testing.T, p config.Program, e env) (*config.Config, error) {
	t.Helper()
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		if name != "PATH" && name != "HOME" && !strings.HasPrefix(name, "GO") {
			t.Setenv(name, value) // restores it
			os.Unsetenv(name)
		}
	}
	for name, value := range e {
		t.Setenv(name, value)
	}
	return config.Load(p)
}

func mustLoad(t *testing.T, p config.Program, e env) *config.Config {
	t.Helper()
	c, err := load(t, p, e)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := mustLoad(t, config.ProgramBoth, merge(ingest(nil), process(nil)))
	host, _ := os.Hostname()
	for _, v := range []struct{ name, got, want any }{
		{"KAFKA_BROKERS", strings.Join(c.Brokers, " "), "a:9092 b:9092"},
		{"KAFKA_GROUP", c.Group, "orders"},
		{"KAFKA_START", c.Start, config.Start("earliest")},
		{"KAFKA_ISOLATION", c.Isolation, "read_committed"},
		{"SHARDS", c.Shards, 0},
		{"SHARD_KEY", c.ShardKey, ""},
		{"BUFFER_MAX_BYTES", c.BufferMaxBytes, config.Size(64 << 20)},
		{"PIPELINE", c.Pipeline, "orders"},
		{"KAFKA_OUTPUT_BROKERS", strings.Join(c.OutputBrokers, " "), "a:9092 b:9092"},
		{"JOURNAL_TOPIC", c.JournalTopic, "windrow.orders.orders.journal"},
		{"DEAD_LETTER", c.DeadLetter.String(), "kafka:out.dead"},
		{"OUTPUT", c.Output, "window"},
		{"DELIVERY", c.Delivery, "exactly-once"},
		{"LEASE_TTL", c.LeaseTTL, 3 * time.Second},
		{"SHUTDOWN_TIMEOUT", c.Shutdown, 25 * time.Second},
		{"HTTP_ADDR", c.HTTPAddr, ":8080"},
		{"LOG_LEVEL", c.LogLevel, "info"},
		{"LOG_FORMAT", c.LogFormat, "json"},
		{"WORKER", c.Worker, fmt.Sprintf("%s-%d", host, os.Getpid())},
		{"warnings", len(c.Warnings), 0},
	} {
		if v.got != v.want {
			t.Errorf("%s: %v, want %v", v.name, v.got, v.want)
		}
	}
	w := c.Window()
	if w.Stream != "orders" || w.Pipeline != "orders" || w.Emitter != "count" || w.Size != 100 || w.StateMaxBytes != 64<<20 {
		t.Errorf("Window() = %+v", w)
	}
	if b := c.Buffer(nil); b.URL != "redis://localhost:6379" || b.Stream != "orders" {
		t.Errorf("Buffer() = %+v", b)
	}
}

func TestEventTimeDefaults(t *testing.T) {
	tumbling := env{"EMITTER": "tumbling", "WINDOW_SIZE": "", "WINDOW_INTERVAL": "1m"}
	w := mustLoad(t, config.ProgramProcess, process(tumbling)).Window()
	if w.WatermarkDelay != time.Second || w.WatermarkIdle != 5*time.Second || w.MaxFuture != 10*time.Second {
		t.Errorf("defaults: %+v", w)
	}
	w = mustLoad(t, config.ProgramProcess, process(merge(tumbling, env{"WATERMARK_DELAY": "0s", "WATERMARK_IDLE": "0s", "MAX_FUTURE": "0s", "EVENT_TIME": "at", "LATE": "drop"}))).Window()
	if w.WatermarkDelay != 0 || w.WatermarkIdle != 0 || w.MaxFuture != 0 || w.EventTime != "at" || w.Late != "drop" {
		t.Errorf("set to nothing: %+v", w)
	}
	w = mustLoad(t, config.ProgramProcess, process(merge(tumbling, env{"ALLOWED_LATENESS": "1h", "EMIT_EARLY": "10s"}))).Window()
	if w.AllowedLateness != time.Hour || w.EmitEarly != 10*time.Second {
		t.Errorf("updates: %+v", w)
	}
	for _, v := range []string{"ALLOWED_LATENESS", "EMIT_EARLY"} {
		_, err := load(t, config.ProgramProcess, process(merge(tumbling, env{v: "1h", "OUTPUT": "records"})))
		if err == nil || !strings.Contains(err.Error(), "OUTPUT=records conflicts with ALLOWED_LATENESS and EMIT_EARLY") {
			t.Errorf("%s with records: %v", v, err)
		}
	}
	if w = mustLoad(t, config.ProgramProcess, process(nil)).Window(); w.WatermarkDelay != 0 || w.MaxFuture != 0 {
		t.Errorf("without event time: %+v", w)
	}
	_, err := load(t, config.ProgramProcess, process(merge(tumbling, env{"WINDOW_SLIDE": "5s", "WATERMARK_DELAY": "soon", "MAX_FUTURE": "-1s", "WATERMARK_IDEL": "1s", "EVENT_TIME": "a..b", "LATE": "never"})))
	for _, want := range []string{"WATERMARK_DELAY=soon is not a duration", "MAX_FUTURE=-1s is less than 0s", "WATERMARK_IDEL is not a variable of Windrow: did you mean WATERMARK_IDLE?", "LATE=never is not one of dead-letter, drop, next"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestDeadLetterFollowsTheSink(t *testing.T) {
	mongo := env{"SINK": "mongo", "MONGO_URL": "mongodb://m", "MONGO_DATABASE": "d", "MONGO_COLLECTION": "c"}
	if c := mustLoad(t, config.ProgramProcess, process(mongo)); c.DeadLetter.String() != "mongo:c.dead" {
		t.Errorf("mongo: %q", c.DeadLetter)
	}
	both := merge(mongo, env{"SINK": "mongo, kafka"})
	if c := mustLoad(t, config.ProgramProcess, process(both)); c.Sink.String() != "mongo,kafka" || c.DeadLetter.String() != "kafka:out.dead" || c.DeadOf("mongo") != "c.dead" {
		t.Errorf("%s: %q, %q", c.Sink, c.DeadLetter, c.DeadOf("mongo"))
	}
	if c := mustLoad(t, config.ProgramProcess, process(merge(both, env{"DEAD_LETTER": "mongo:x"}))); c.DeadOf("kafka") != "out.dead" || c.DeadOf("mongo") != "x" {
		t.Errorf("%q, %q", c.DeadOf("kafka"), c.DeadOf("mongo"))
	}
	if c := mustLoad(t, config.ProgramProcess, process(env{"SINK": "stdout"})); c.DeadLetter.String() != "" {
		t.Errorf("stdout: %q", c.DeadLetter)
	}
}

func TestShardKeyDefaultsToTheRecordsKey(t *testing.T) {
	if c := mustLoad(t, config.ProgramIngest, ingest(env{"SHARDS": "4"})); c.ShardKey != "@key" {
		t.Errorf("SHARD_KEY = %q", c.ShardKey)
	}
}

func TestEmptyCountsAsNotSet(t *testing.T) {
	c := mustLoad(t, config.ProgramProcess, process(env{"PIPELINE": "", "LEASE_TTL": "", "DELIVERY": " ", "KAFKA_TLS": "", "ALLOWED_LATENES": "", "WINDOW_SIZ": ""}))
	if c.Pipeline != "orders" || c.LeaseTTL != 3*time.Second || c.Delivery != "exactly-once" {
		t.Errorf("got %q, %v, %q", c.Pipeline, c.LeaseTTL, c.Delivery)
	}
	if c := mustLoad(t, config.ProgramProcess, process(env{"HTTP_ADDR": ""})); c.HTTPAddr != "" {
		t.Errorf("HTTP_ADDR= is %q, want off", c.HTTPAddr)
	}
}

// Everything wrong is said at once, and each with its variable.
func TestAllProblemsAtOnce(t *testing.T) {
	_, err := load(t, config.ProgramProcess, env{
		"STREAM": "no/slash", "KAFKA_BROKERS": "localhost", "LEASE_TTL": "1h", "WINDOW_SIZE": "ten", "SINK": "file",
		"LOG_LEVEL": "loud", "KAFKA_TLS": "perhaps", "STATE_MAX_BYTES": "12 apples", "WINDOW_SZIE": "3",
	})
	var all *config.Error
	if !errors.As(err, &all) {
		t.Fatalf("error is %T: %v", err, err)
	}
	got := map[string]bool{}
	for _, p := range all.Problems {
		if got[p.Variable] {
			t.Errorf("%s is reported twice", p.Variable)
		}
		got[p.Variable] = true
		if !strings.Contains(err.Error(), p.Error()) {
			t.Errorf("the error's text lacks %q", p.Error())
		}
	}
	for _, v := range []string{"STREAM", "REDIS_URL", "KAFKA_BROKERS", "LEASE_TTL", "WINDOW_SIZE", "SINK", "EMITTER", "LOG_LEVEL", "KAFKA_TLS", "STATE_MAX_BYTES", "WINDOW_SZIE"} {
		if !got[v] {
			t.Errorf("%s is not reported", v)
		}
		delete(got, v)
	}
	if len(got) > 0 {
		t.Errorf("reported without cause: %v", slices.Sorted(maps.Keys(got)))
	}
}

// Each case is one mistake: exactly one problem, with these words.
func TestProblems(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	mongo := env{"SINK": "mongo", "MONGO_URL": "mongodb://m", "MONGO_DATABASE": "d", "MONGO_COLLECTION": "c"}
	for name, c := range map[string]struct {
		program config.Program
		env     env
		want    string
	}{
		"min duration":          {config.ProgramProcess, process(env{"LEASE_TTL": "200ms"}), "LEASE_TTL=200ms is less than 300ms"},
		"max duration":          {config.ProgramProcess, process(env{"LEASE_TTL": "61s"}), "LEASE_TTL=61s is more than 60s"},
		"duration without unit": {config.ProgramProcess, process(env{"LEASE_TTL": "3"}), "LEASE_TTL=3 is not a duration: write 500ms"},
		"min size":              {config.ProgramIngest, ingest(env{"BUFFER_MAX_BYTES": "1kB"}), "BUFFER_MAX_BYTES=1kB is less than 1MiB"},
		"negative number":       {config.ProgramProcess, process(env{"WINDOW_SIZE": "-1"}), "WINDOW_SIZE=-1 is less than 1"},
		"name":                  {config.ProgramProcess, process(env{"PIPELINE": "a b"}), "PIPELINE=a b can't be the name of a pipeline: 1 to 64"},
		"long name":             {config.ProgramIngest, ingest(env{"STREAM": strings.Repeat("x", 65)}), "can't be the name of a stream"},
		"choice":                {config.ProgramProcess, process(env{"OUTPUT": "xml"}), "OUTPUT=xml is not one of window, data, records"},
		"start":                 {config.ProgramIngest, ingest(env{"KAFKA_START": "yesterday"}), "KAFKA_START=yesterday is neither earliest, latest, a time"},
		"start in seconds":      {config.ProgramIngest, ingest(env{"KAFKA_START": "1767225600"}), "KAFKA_START=1767225600 is neither"},
		"topic":                 {config.ProgramIngest, ingest(env{"KAFKA_TOPICS": "a,b c"}), `KAFKA_TOPICS=a,b c is no list of topics: "b c" is not the name`},
		"topic regexp":          {config.ProgramIngest, ingest(env{"KAFKA_TOPICS": "/a(/"}), "KAFKA_TOPICS=/a(/ is no list of topics: /a(/"},
		"topic regexp end":      {config.ProgramIngest, ingest(env{"KAFKA_TOPICS": "/abc"}), "ends with a slash"},
		"no topics":             {config.ProgramIngest, ingest(env{"KAFKA_TOPICS": ","}), "KAFKA_TOPICS=, is no list of topics: no topic is named"},
		"broker":                {config.ProgramIngest, ingest(env{"KAFKA_BROKERS": "kafka"}), "KAFKA_BROKERS=kafka is no address with a port"},
		"broker without host":   {config.ProgramIngest, ingest(env{"KAFKA_BROKERS": ":9092"}), "KAFKA_BROKERS=:9092 has no host"},
		"output broker":         {config.ProgramProcess, process(env{"KAFKA_OUTPUT_BROKERS": "x:y"}), "KAFKA_OUTPUT_BROKERS=x:y has no port"},
		"redis scheme":          {config.ProgramIngest, ingest(env{"REDIS_URL": "http://r:1"}), "REDIS_URL=http://r:1 can't be used"},
		"redis host":            {config.ProgramIngest, ingest(env{"REDIS_URL": "redis://a:1,b:2"}), "REDIS_URL=redis://a:1,b:2 can't be used: several hosts"},
		"redis password":        {config.ProgramIngest, ingest(env{"REDIS_URL": "tcp://u:hunter2@r:1"}), "REDIS_URL=tcp://u:xxxxx@r:1 can't be used"},
		"shard key":             {config.ProgramIngest, ingest(env{"SHARD_KEY": "@key"}), "SHARD_KEY=@key has no effect without SHARDS"},
		"http address":          {config.ProgramIngest, ingest(env{"HTTP_ADDR": "8080"}), "HTTP_ADDR=8080 is no address with a port"},
		"output topic":          {config.ProgramProcess, process(env{"KAFKA_OUTPUT_TOPIC": ""}), "KAFKA_OUTPUT_TOPIC is required with SINK=kafka"},
		"output is input":       {config.ProgramBoth, process(env{"KAFKA_TOPICS": "events,/o.t/"}), "KAFKA_OUTPUT_TOPIC=out is also read, by KAFKA_TOPICS=events,/o.t/"},
		"shared environment":    {config.ProgramProcess, process(env{"KAFKA_TOPICS": "out"}), "KAFKA_OUTPUT_TOPIC=out is also read"},
		"output key":            {config.ProgramProcess, process(env{"OUTPUT_KEY": "k.{{kye}}"}), "OUTPUT_KEY=k.{{kye}} is no template: column 3: {{kye}} is none of key, reason"},
		"output value":          {config.ProgramProcess, process(env{"OUTPUT_VALUE": "{n: cuont}"}), "OUTPUT_VALUE={n: cuont} is no expression of a window: column 5: unknown name cuont; known are count, data"},
		"value of a handler":    {config.ProgramProcess, process(env{"OUTPUT_VALUE": "count", "HANDLER_URL": "http://h:1"}), "OUTPUT_VALUE=count conflicts with HANDLER_URL"},
		"value of records":      {config.ProgramProcess, process(env{"OUTPUT_VALUE": "count", "OUTPUT": "records"}), "OUTPUT_VALUE=count conflicts with OUTPUT=records"},
		"topic template":        {config.ProgramProcess, process(env{"OUTPUT_TOPIC": "out.{{key"}), "OUTPUT_TOPIC=out.{{key is no template: column 5"},
		"output headers":        {config.ProgramProcess, process(env{"OUTPUT_HEADERS": "a={{key}}, b"}), "OUTPUT_HEADERS=a={{key}}, b is no list of templates: column 11"},
		"windrow's header":      {config.ProgramProcess, process(env{"OUTPUT_HEADERS": "windrow-id={{key}}"}), "OUTPUT_HEADERS=windrow-id={{key}} names windrow-id"},
		"key of records":        {config.ProgramProcess, process(env{"OUTPUT": "records", "OUTPUT_KEY": "{{key}}"}), "OUTPUT_KEY={{key}} conflicts with OUTPUT=records"},
		"headers of records":    {config.ProgramProcess, process(env{"OUTPUT": "records", "OUTPUT_HEADERS": "a={{key}}"}), "OUTPUT_HEADERS=a={{key}} conflicts with OUTPUT=records"},
		"mode of records":       {config.ProgramProcess, process(merge(mongo, env{"OUTPUT": "records", "MONGO_MODE": "merge", "WINDOW_KEY": "a"})), "MONGO_MODE=merge conflicts with OUTPUT=records"},
		"mode without keys":     {config.ProgramProcess, process(merge(mongo, env{"MONGO_MODE": "replace"})), "MONGO_MODE=replace needs keys: set WINDOW_KEY, or OUTPUT_KEY"},
		"mode":                  {config.ProgramProcess, process(merge(mongo, env{"MONGO_MODE": "append"})), "MONGO_MODE=append"},
		"collection template":   {config.ProgramProcess, process(merge(mongo, env{"OUTPUT_COLLECTION": "{{site}}"})), "OUTPUT_COLLECTION={{site}} is no template: column 1"},
		"journal is output":     {config.ProgramProcess, process(env{"JOURNAL_TOPIC": "out"}), "JOURNAL_TOPIC=out is also KAFKA_OUTPUT_TOPIC"},
		"journal is input":      {config.ProgramBoth, process(env{"KAFKA_TOPICS": "j", "JOURNAL_TOPIC": "j"}), "JOURNAL_TOPIC=j is also read"},
		"dead is output":        {config.ProgramProcess, process(env{"DEAD_LETTER": "kafka:out"}), "DEAD_LETTER=out is also KAFKA_OUTPUT_TOPIC"},
		"dead letter":           {config.ProgramProcess, process(env{"DEAD_LETTER": "out.dead"}), "DEAD_LETTER=out.dead is neither kafka:<topic> nor"},
		"sink twice":            {config.ProgramProcess, process(env{"SINK": "kafka, kafka"}), "SINK=kafka, kafka has kafka twice"},
		"sink in a list":        {config.ProgramProcess, process(env{"SINK": "kafka,file"}), "SINK=kafka,file is not one of kafka, mongo, stdout, nor a list"},
		"one of two sinks":      {config.ProgramProcess, process(merge(mongo, env{"SINK": "kafka,mongo", "MONGO_URL": ""})), "MONGO_URL is required with SINK=mongo"},
		"other's dead letters":  {config.ProgramBoth, process(merge(mongo, env{"SINK": "mongo,kafka", "DEAD_LETTER": "mongo:x", "KAFKA_TOPICS": "out.dead"})), "DEAD_LETTER=out.dead is also read"},
		"dead letter's kind":    {config.ProgramProcess, process(env{"DEAD_LETTER": "mongo:x"}), "DEAD_LETTER=mongo:x must be of the sink's kind, and SINK=kafka"},
		"dead is collection":    {config.ProgramProcess, process(merge(mongo, env{"DEAD_LETTER": "mongo:c"})), "is where the windows go"},
		"mongo url":             {config.ProgramProcess, process(merge(mongo, env{"MONGO_URL": ""})), "MONGO_URL is required with SINK=mongo"},
		"mongo scheme":          {config.ProgramProcess, process(merge(mongo, env{"MONGO_URL": "u:hunter2@m"})), "MONGO_URL=(hidden) must begin with mongodb:// or mongodb+srv://"},
		"mongo database":        {config.ProgramProcess, process(merge(mongo, env{"MONGO_DATABASE": "a.b"})), "MONGO_DATABASE=a.b can't be a database's name"},
		"mongo collection":      {config.ProgramProcess, process(merge(mongo, env{"MONGO_COLLECTION": "a$b", "DEAD_LETTER": "mongo:d"})), "MONGO_COLLECTION=a$b can't be a collection's name"},
		"handler url":           {config.ProgramProcess, process(env{"HANDLER_URL": "ftp://u:hunter2@h/x"}), "HANDLER_URL=ftp://u:xxxxx@h/x must begin with http://, https:// or unix://"},
		"handler socket":        {config.ProgramProcess, process(env{"HANDLER_URL": "unix://h.sock"}), "HANDLER_URL=unix://h.sock must name a socket by its whole path"},
		"handler time-out":      {config.ProgramProcess, process(env{"HANDLER_URL": "http://h", "HANDLER_TIMEOUT": "2h"}), "HANDLER_TIMEOUT=2h is more than 1h"},
		"batch without url":     {config.ProgramProcess, process(env{"HANDLER_BATCH": "10"}), "HANDLER_BATCH=10 has no effect without HANDLER_URL"},
		"worker":                {config.ProgramProcess, process(env{"WORKER": "a b"}), "WORKER=a b can't be a worker's name"},
		"sasl user":             {config.ProgramIngest, ingest(env{"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_PASSWORD": "p"}), "KAFKA_SASL_USERNAME is required"},
		"sasl mechanism":        {config.ProgramIngest, ingest(env{"KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "hunter2"}), "KAFKA_SASL_MECHANISM is required"},
		"tls off":               {config.ProgramIngest, ingest(env{"KAFKA_TLS_CA": "/ca"}), "KAFKA_TLS_CA=/ca has no effect without KAFKA_TLS=true"},
		"tls ca":                {config.ProgramIngest, ingest(env{"KAFKA_TLS": "true", "KAFKA_TLS_CA": "/no/such"}), "KAFKA_TLS_CA=/no/such can't be read: no such file"},
		"tls ca text":           {config.ProgramIngest, ingest(env{"KAFKA_TLS": "true", "KAFKA_TLS_CA": file("ca", "x")}), "holds no certificate in PEM form"},
		"tls cert":              {config.ProgramIngest, ingest(env{"KAFKA_TLS": "true", "KAFKA_TLS_CERT": file("cert", "x")}), "KAFKA_TLS_KEY is required with KAFKA_TLS_CERT"},
		"tls key":               {config.ProgramIngest, ingest(env{"KAFKA_TLS": "true", "KAFKA_TLS_KEY": file("key", "x")}), "KAFKA_TLS_CERT is required with KAFKA_TLS_KEY"},
		"tls pair":              {config.ProgramIngest, ingest(env{"KAFKA_TLS": "true", "KAFKA_TLS_CERT": file("c", "x"), "KAFKA_TLS_KEY": file("k", "x")}), "are no pair"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.program, c.env)
			var all *config.Error
			if !errors.As(err, &all) {
				t.Fatalf("no *Error: %v", err)
			}
			if len(all.Problems) != 1 || !strings.Contains(all.Problems[0].Error(), c.want) {
				t.Errorf("got: %v\nwant: %s", err, c.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("tells a password: %v", err)
			}
		})
	}
}

// What is set and has no meaning for Windrow: an error, a warning, or nothing.
func TestUnknownVariables(t *testing.T) {
	const fine = ""
	for name, c := range map[string]struct {
		program        config.Program
		env            env
		error, warning string
	}{
		"misspelt":                   {config.ProgramProcess, process(env{"WINDOW_TIEMOUT": "1s"}), "WINDOW_TIEMOUT is not a variable of Windrow: did you mean WINDOW_TIMEOUT?", fine},
		"misspelt kafka":             {config.ProgramIngest, ingest(env{"KAFKA_ISOLATON": "x"}), "did you mean KAFKA_ISOLATION?", fine},
		"misspelt required":          {config.ProgramIngest, merge(common, env{"KAFKA_TOPIC": "x"}), "did you mean KAFKA_TOPICS?", fine},
		"other program's name":       {config.ProgramProcess, process(env{"EMITTER_SIZE": "3"}), "EMITTER_SIZE is not a variable", fine},
		"alias":                      {config.ProgramIngest, ingest(env{"KAFKA_GROUP_ID": "g"}), "did you mean KAFKA_GROUP?", fine},
		"alias beside the right one": {config.ProgramIngest, ingest(env{"KAFKA_BOOTSTRAP_SERVERS": "a:1"}), fine, "did you mean KAFKA_BROKERS?"},
		"own prefix":                 {config.ProgramProcess, process(env{"WINDOW_COLOUR": "blue"}), "WINDOW_COLOUR is not a variable of Windrow: -h lists them", fine},
		"shared prefix":              {config.ProgramIngest, ingest(env{"KAFKA_HEAP_OPTS": "-Xmx1g"}), fine, "KAFKA_HEAP_OPTS is not a variable of Windrow"},
		"no prefix":                  {config.ProgramProcess, process(env{"DELIVRY": "at-least-once"}), fine, "did you mean DELIVERY?"},
		"service links": {config.ProgramIngest, ingest(env{
			"KAFKA_PORT": "tcp://10.0.0.1:9092", "KAFKA_SERVICE_HOST": "10.0.0.1", "KAFKA_SERVICE_PORT": "9092", "KAFKA_SERVICE_PORT_PLAIN": "9092",
			"KAFKA_PORT_9092_TCP": "tcp://10.0.0.1:9092", "KAFKA_PORT_9092_TCP_ADDR": "10.0.0.1", "KAFKA_PORT_9092_TCP_PROTO": "tcp", "KAFKA_PORT_9092_TCP_PORT": "9092",
			"KAFKA_BROKERS_SERVICE_HOST": "10.0.0.1", "HANDLER_PORT": "tcp://10.0.0.2:80", "MONGO_SERVICE_HOST": "10.0.0.3",
		}), fine, fine},
		"ingest tolerates process": {config.ProgramIngest, ingest(env{"EMITTER": "???", "WINDOW_SIZE": "ten", "SINK": "file", "LEASE_TTL": "1h"}), fine, fine},
		"process tolerates ingest": {config.ProgramProcess, process(env{"SHARDS": "many", "KAFKA_START": "?", "KAFKA_TOPICS": "a b"}), fine, fine},
		"others":                   {config.ProgramProcess, process(env{"LANG": "C", "TERM": "xterm", "WINDOWID": "7", "HOSTNAME": "h", "SHELL": "sh", "PORT": "80", "GOMEMLIMIT": "100MiB"}), fine, fine},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := load(t, c.program, c.env)
			switch {
			case c.error == "" && err != nil:
				t.Fatal(err)
			case c.error != "":
				if err == nil || !strings.Contains(err.Error(), c.error) {
					t.Fatalf("got %v, want %s", err, c.error)
				}
				return
			}
			all := strings.Join(got.Warnings, "\n")
			if c.warning == "" && all != "" || !strings.Contains(all, c.warning) {
				t.Errorf("warnings %q, want %q", all, c.warning)
			}
		})
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	c := mustLoad(t, config.ProgramProcess, process(env{
		"REDIS_URL": "redis+sentinel://u:hunter2@a:1,b:2/main/0?password=hunter2", "MONGO_URL": "mongodb://u:hunter2@m/x?authSource=a",
		"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "hunter2",
	}))
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", *c), fmt.Sprintf("%#v", *c), string(text)} {
		if strings.Contains(s, "hunter2") {
			t.Errorf("tells a password: %s", s)
		}
	}
	if got := c.RedisURL.String(); got != "redis+sentinel://u:xxxxx@a:1,b:2/main/0" {
		t.Errorf("RedisURL is printed as %s", got)
	}
	if c.Buffer(nil).URL != "redis+sentinel://u:hunter2@a:1,b:2/main/0?password=hunter2" {
		t.Error("the buffer doesn't get the whole URL")
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]config.Size{
		"0": 0, "67108864": 64 << 20, "64MiB": 64 << 20, "64Mi": 64 << 20, " 64 mib ": 64 << 20, "1kB": 1000, "1k": 1000, "1KiB": 1024,
		"1.5GiB": 3 << 29, "2G": 2e9, "7B": 7, "1TiB": 1 << 40,
	} {
		var s config.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%q: %d, %v; want %d", text, s, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1e3", "1 apple", "9999999TiB", "1..2", "NaN"} {
		var s config.Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted as %d", text, s)
		}
	}
	for s, want := range map[config.Size]string{0: "0", 1000: "1000", 64 << 20: "64MiB", 1536: "1536", 1 << 40: "1TiB"} {
		if s.String() != want {
			t.Errorf("%d is printed as %s, want %s", s, s, want)
		}
	}
}

func TestUsageNamesEveryVariable(t *testing.T) {
	for _, p := range []config.Program{config.ProgramIngest, config.ProgramProcess, config.ProgramBoth} {
		var out bytes.Buffer
		config.Usage(&out, p)
		for _, v := range config.Variables(config.ProgramBoth) {
			if got, want := strings.Contains(out.String(), "\n"+v.Name+" "), v.Programs&p != 0; got != want {
				t.Errorf("%s lists %s: %v", p, v.Name, got)
			}
		}
		if t.Failed() {
			t.Log(out.String())
		}
	}
}

// The document is made from the structs: go test ./internal/config -update
func TestDocument(t *testing.T) {
	const path = "../../docs/CONFIGURATION.md"
	var want bytes.Buffer
	config.Markdown(&want)
	if *update {
		if err := os.WriteFile(path, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is not what the variables say: run go test ./internal/config -update", path)
	}
}

func TestHTTPAddr(t *testing.T) {
	mustLoad(t, config.ProgramIngest, ingest(nil))
	if got := config.HTTPAddr(); got != ":8080" {
		t.Errorf("not set: %q", got)
	}
	t.Setenv("HTTP_ADDR", "127.0.0.1:9")
	if got := config.HTTPAddr(); got != "127.0.0.1:9" {
		t.Errorf("set: %q", got)
	}
}
