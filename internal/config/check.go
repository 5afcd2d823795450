package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/expression"
	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/handler"
	"github.com/windrow-io/windrow/pkg/source"
)

var (
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	workerPattern = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,253}$`)
)

// checker checks what one variable's tags can't say. A variable in failed has been reported: nothing is built on it.
type checker struct {
	*Config
	failed map[string]bool
	add    func(Problem)
}

func check(c *Config, p Program, failed map[string]bool, add func(Problem)) {
	k := checker{c, failed, add}
	k.common()
	if p&ProgramIngest != 0 {
		k.ingest()
	}
	if p&ProgramProcess != 0 {
		k.process()
		k.topics(p)
	}
}

// bad reports a problem unless the variable has one already.
func (k checker) bad(variable, value, format string, args ...any) {
	if !k.failed[variable] {
		k.add(Problem{variable, value, fmt.Sprintf(format, args...)})
	}
}

func (k checker) common() {
	if !k.failed["REDIS_URL"] {
		b, err := buffer.Open(buffer.Options{URL: string(k.RedisURL), Stream: "any"})
		if err != nil {
			k.bad("REDIS_URL", k.RedisURL.String(), "can't be used: %s", strings.TrimPrefix(err.Error(), "REDIS_URL: "))
		} else {
			b.Close()
		}
	}
	k.brokers("KAFKA_BROKERS", k.Brokers)
	for _, f := range []struct{ variable, value string }{
		{"KAFKA_TLS_CA", k.TLSCA}, {"KAFKA_TLS_CERT", k.TLSCert}, {"KAFKA_TLS_KEY", k.TLSKey},
	} {
		if f.value != "" && !k.TLS && !k.failed["KAFKA_TLS"] {
			k.bad(f.variable, f.value, "has no effect without KAFKA_TLS=true")
		}
	}
	if k.TLSCert != "" && k.TLSKey == "" {
		k.bad("KAFKA_TLS_KEY", "", "is required with KAFKA_TLS_CERT")
	}
	if k.TLSKey != "" && k.TLSCert == "" {
		k.bad("KAFKA_TLS_CERT", "", "is required with KAFKA_TLS_KEY")
	}
	switch {
	case k.failed["KAFKA_SASL_MECHANISM"]:
	case k.SASLMechanism != "":
		if k.SASLUsername == "" {
			k.bad("KAFKA_SASL_USERNAME", "", "is required with KAFKA_SASL_MECHANISM")
		}
		if k.SASLPassword == "" {
			k.bad("KAFKA_SASL_PASSWORD", "", "is required with KAFKA_SASL_MECHANISM")
		}
		if k.SASLMechanism == "PLAIN" && !k.TLS {
			k.Warnings = append(k.Warnings, "KAFKA_SASL_MECHANISM=PLAIN without KAFKA_TLS=true sends the password in clear")
		}
	case k.SASLUsername != "" || k.SASLPassword != "":
		k.bad("KAFKA_SASL_MECHANISM", "", "is required with KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
	}
	if _, err := k.Kafka(); err != nil {
		if p := (Problem{}); errors.As(err, &p) {
			k.bad(p.Variable, p.Value, "%s", p.Reason)
		}
	}
	if k.HTTPAddr != "" && k.HTTPAddr != "off" {
		if err := checkAddress(k.HTTPAddr); err != nil {
			k.bad("HTTP_ADDR", k.HTTPAddr, "%v: write :8080, 127.0.0.1:8080, or off", err)
		}
	}
}

// brokers checks a list of brokers: a port that is missing would only show as an endless "not ready".
func (k checker) brokers(variable string, list List) {
	if len(list) == 0 {
		k.bad(variable, "", "names no broker: write host:port, comma separated")
	}
	for _, b := range list {
		if err := checkAddress(b); err != nil {
			k.bad(variable, b, "%v: write host:port, comma separated", err)
		} else if b[0] == ':' {
			k.bad(variable, b, "has no host: write host:port, comma separated")
		}
	}
}

func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("is no address with a port")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return errors.New("has no port between 0 and 65535")
	}
	return nil
}

func (k checker) ingest() {
	if k.ShardKey == "" {
		return
	}
	if k.Shards == 0 && !k.failed["SHARDS"] {
		k.bad("SHARD_KEY", k.ShardKey, "has no effect without SHARDS: set the number of shards too")
	}
	if _, err := field.Parse(k.ShardKey); err != nil {
		k.bad("SHARD_KEY", k.ShardKey, "is no reference to a field: %v", err)
	}
}

func (k checker) process() {
	if !slices.Equal(k.OutputBrokers, k.Brokers) {
		k.brokers("KAFKA_OUTPUT_BROKERS", k.OutputBrokers)
	}
	if !workerPattern.MatchString(k.Worker) {
		k.bad("WORKER", k.Worker, "can't be a worker's name: 1 to 253 of A-Z a-z 0-9 . _ : -")
	}
	if err := wire.CheckTopic(k.JournalTopic); err != nil && !k.failed["STREAM"] && !k.failed["PIPELINE"] {
		k.bad("JOURNAL_TOPIC", k.JournalTopic, "%v", err)
	}
	if !k.failed["SINK"] {
		k.sink()
	}
	if k.HandlerURL != "" && !k.failed["HANDLER_URL"] {
		if _, err := handler.ParseURL(string(k.HandlerURL)); err != nil {
			k.bad("HANDLER_URL", k.HandlerURL.String(), "%v", err)
		}
	}
	k.value()
	if k.HandlerURL == "" && k.HandlerBatch > 1 && !k.anyFailed("HANDLER_URL", "HANDLER_BATCH") {
		k.bad("HANDLER_BATCH", strconv.Itoa(k.HandlerBatch), "has no effect without HANDLER_URL: a handler in Go is given one window at a time")
	}
	if k.Emitter != "" && !k.failed["STREAM"] && !k.failed["PIPELINE"] && !k.anyFailed("WINDOW_SIZE", "WINDOW_INTERVAL", "WINDOW_TIMEOUT",
		"WINDOW_BYTES", "MAX_KEYS", "KEY_TIMEOUT", "DEDUPE_WITHIN", "DEDUPE_MAX", "WINDOW_SLIDE", "WINDOW_GAP", "WINDOW_MAX_LENGTH", "WINDOW_CALENDAR", "WINDOW_OFFSET", "ALLOWED_LATENESS", "EMIT_EARLY", "CATCH_UP", "WATERMARK_DELAY", "WATERMARK_IDLE", "MAX_FUTURE", "LATE", "BAD_FIELD") {
		for _, err := range k.Window().Validate() {
			k.add(Problem{Reason: err.Error()})
		}
	}
	if k.Output == "records" && k.Window().Updates() && !k.anyFailed("OUTPUT", "ALLOWED_LATENESS", "EMIT_EARLY") {
		k.bad("OUTPUT", k.Output, "conflicts with ALLOWED_LATENESS and EMIT_EARLY: a window's records would come again with each of its revisions. Use window or data")
	}
}

func (k checker) anyFailed(variables ...string) bool {
	return slices.ContainsFunc(variables, func(v string) bool { return k.failed[v] })
}

// sink checks that the sinks have what they need. What another sink would need is tolerated: it is often set for all.
func (k checker) sink() {
	if k.Sink.Has("kafka") {
		if k.OutputTopic == "" {
			k.bad("KAFKA_OUTPUT_TOPIC", "", "is required with SINK=kafka")
		} else if err := wire.CheckTopic(k.OutputTopic); err != nil {
			k.bad("KAFKA_OUTPUT_TOPIC", k.OutputTopic, "%v", err)
		}
	}
	k.templates()
	if k.Sink.Has("mongo") {
		if k.MongoURL == "" {
			k.bad("MONGO_URL", "", "is required with SINK=mongo")
		} else if !strings.HasPrefix(string(k.MongoURL), "mongodb://") && !strings.HasPrefix(string(k.MongoURL), "mongodb+srv://") {
			k.bad("MONGO_URL", k.MongoURL.String(), "must begin with mongodb:// or mongodb+srv://")
		}
		for _, f := range []struct {
			variable, value, reason string
			pattern                 *regexp.Regexp
		}{
			{"MONGO_DATABASE", k.MongoDatabase, databaseRule, databaseName},
			{"MONGO_COLLECTION", k.MongoCollection, collectionRule, collectionName},
			{"DEAD_LETTER", k.DeadOf("mongo"), collectionRule, collectionName},
		} {
			switch {
			case f.value == "" && f.variable == "DEAD_LETTER":
			case f.value == "":
				k.bad(f.variable, "", "is required with SINK=mongo")
			case !f.pattern.MatchString(f.value):
				k.bad(f.variable, f.value, "%s", f.reason)
			}
		}
		if m := k.MongoMode; m == "replace" || m == "merge" {
			switch {
			case k.Output == "records":
				k.bad("MONGO_MODE", m, "conflicts with OUTPUT=records: a key has one document")
			case k.WindowKey == "" && k.OutputKey == "":
				k.bad("MONGO_MODE", m, "needs keys: set WINDOW_KEY, or OUTPUT_KEY (OUTPUT_KEY=latest has one document for all)")
			}
		}
		if k.MongoCollection != "" && k.DeadLetter == (DeadLetter{"mongo", k.MongoCollection}) {
			k.bad("DEAD_LETTER", k.DeadLetter.String(), "is where the windows go: choose another collection")
		}
	}
	if k.DeadLetter.Kind != "" && !k.Sink.Has(k.DeadLetter.Kind) {
		k.bad("DEAD_LETTER", k.DeadLetter.String(), "must be of the sink's kind, and SINK=%s", k.Sink)
	}
}

func (k checker) templates() {
	t, problems := k.Templates()
	for _, p := range problems {
		k.add(p)
	}
	for _, h := range t.Headers {
		if strings.HasPrefix(h.Name, "windrow-") {
			k.bad("OUTPUT_HEADERS", k.OutputHeaders, "names %s: what begins with windrow- is Windrow's own", h.Name)
		}
	}
	for _, f := range []struct{ variable, value string }{{"OUTPUT_KEY", k.OutputKey}, {"OUTPUT_HEADERS", k.OutputHeaders}} {
		if f.value != "" && k.Output == "records" {
			k.bad(f.variable, f.value, "conflicts with OUTPUT=records: records keep the key and the headers that they came with")
		}
	}
}

// value checks OUTPUT_VALUE.
func (k checker) value() {
	if k.OutputValue == "" {
		return
	}
	if _, err := expression.NewResult(k.OutputValue); err != nil {
		k.bad("OUTPUT_VALUE", k.OutputValue, "is no expression of a window: %v", err)
	}
	if k.HandlerURL != "" {
		k.bad("OUTPUT_VALUE", k.OutputValue, "conflicts with HANDLER_URL: its answer is what is written")
	}
	if k.Output != "window" && !k.failed["OUTPUT"] {
		k.bad("OUTPUT_VALUE", k.OutputValue, "conflicts with OUTPUT=%s: it takes its place", k.Output)
	}
}

const (
	databaseRule   = `can't be a database's name: at most 63 bytes, none of them / \ . " $ * < > : | ? or a space`
	collectionRule = "can't be a collection's name: it begins with a letter or _, holds no $, and has at most 200 letters"
)

var (
	databaseName   = regexp.MustCompile(`^[^/\\. "$*<>:|?\x00]{1,63}$`)
	collectionName = regexp.MustCompile(`^[A-Za-z_\p{L}][^$\x00]{0,199}$`)
)

// topics checks that no topic is written and read, or written for two purposes.
func (k checker) topics(p Program) {
	text := string(k.Ingest.Topics)
	if p&ProgramIngest == 0 {
		text = os.Getenv("KAFKA_TOPICS") // a process that shares ingest's environment can tell; one that doesn't can't
	}
	input, err := source.ParseTopics(text)
	sameCluster := err == nil && slices.Equal(k.Brokers, k.OutputBrokers)
	type written struct{ variable, topic string }
	var topics []written
	if k.Sink.Has("kafka") {
		topics = append(topics, written{"KAFKA_OUTPUT_TOPIC", k.OutputTopic}, written{"DEAD_LETTER", k.DeadOf("kafka")})
	}
	topics = append(topics, written{"JOURNAL_TOPIC", k.JournalTopic})
	for i, w := range topics {
		if w.topic == "" {
			continue
		}
		if sameCluster {
			if read, _ := input.Match(&wire.Topic{Name: w.topic}); read {
				k.bad(w.variable, w.topic, "is also read, by KAFKA_TOPICS=%s: what is written would come in again", text)
			}
		}
		for _, other := range topics[:i] {
			if other.topic == w.topic {
				k.bad(w.variable, w.topic, "is also %s: choose another topic", other.variable)
			}
		}
	}
}
