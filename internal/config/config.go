// Package config turns the environment into the settings of Windrow's programs. It is the only package that reads the
// environment.
//
// The structs are the whole truth about a variable: its name, type, default, bounds, choices and meaning are their tags,
// from which the check at start, the help text and docs/CONFIGURATION.md are made. Load reports every problem at once,
// each with the variable, its value and what it should be. What it does not know it does not ignore: a misspelt variable
// is a problem, and so is one that a later version will offer.
//
// Programs that run side by side may share one environment: each takes its own variables and tolerates the others'.
package config

import (
	"cmp"
	"time"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/template"
	"github.com/windrow-io/windrow/pkg/window"
)

// Program says whose variables are read.
type Program int

// The programs.
const (
	ProgramIngest  Program                          = 1 << iota // Common and Ingest
	ProgramProcess                                              // Common and Process
	ProgramBoth    = ProgramIngest | ProgramProcess             // ingest and process in one
)

// String is the program's name.
func (p Program) String() string {
	switch p {
	case ProgramIngest:
		return "ingest"
	case ProgramProcess:
		return "process"
	}
	return "windrow"
}

// Config is what Load returns. Only the parts of the program asked for are filled in.
type Config struct {
	Common
	Ingest
	Process

	// Warnings are for the log: variables that look meant for Windrow but are not, settings that are allowed and unwise.
	Warnings []string
}

// Common are the variables of both programs.
type Common struct {
	Stream         string `envconfig:"STREAM" required:"true" name:"stream" desc:"name of the stream: the buffer that ingest fills and process reads"`
	RedisURL       URL    `envconfig:"REDIS_URL" required:"true" secret:"true" desc:"the buffer's Redis: redis://user:password@host:port/db, rediss:// for TLS, redis+sentinel://host:port,host:port/master/db, redis+cluster://host:port,host:port (rediss+… with TLS)"`
	DirectMaxBytes Size   `envconfig:"DIRECT_MAX_BYTES" default:"256MiB" min:"1MiB" desc:"memory that the direct lane, records that programs append themselves, may take in Redis before /readyz warns of it"`

	Brokers       List          `envconfig:"KAFKA_BROKERS" required:"true" desc:"brokers of the source's cluster, host:port, comma separated"`
	TLS           bool          `envconfig:"KAFKA_TLS" default:"false" desc:"whether to speak TLS with Kafka"`
	TLSCA         string        `envconfig:"KAFKA_TLS_CA" desc:"file with the certificates (PEM) to trust instead of the system's"`
	TLSCert       string        `envconfig:"KAFKA_TLS_CERT" desc:"file with the client's certificate (PEM)"`
	TLSKey        string        `envconfig:"KAFKA_TLS_KEY" desc:"file with the client's private key (PEM)"`
	SASLMechanism string        `envconfig:"KAFKA_SASL_MECHANISM" choice:"PLAIN,SCRAM-SHA-256,SCRAM-SHA-512" desc:"how to authenticate with Kafka; unset: not at all"`
	SASLUsername  string        `envconfig:"KAFKA_SASL_USERNAME" desc:"user to authenticate as"`
	SASLPassword  Secret        `envconfig:"KAFKA_SASL_PASSWORD" secret:"true" desc:"the user's password"`
	HTTPAddr      string        `envconfig:"HTTP_ADDR" default:":8080" empty:"true" desc:"address of /livez, /readyz and /metrics; empty or off: no such server"`
	PProf         bool          `envconfig:"PPROF" default:"false" desc:"whether HTTP_ADDR also serves /debug/pprof"`
	LogLevel      string        `envconfig:"LOG_LEVEL" default:"info" choice:"debug,info,warn,error" desc:"least level that is logged"`
	LogFormat     string        `envconfig:"LOG_FORMAT" default:"json" choice:"json,console" desc:"form of the log on standard error"`
	Shutdown      time.Duration `envconfig:"SHUTDOWN_TIMEOUT" default:"25s" min:"0s" max:"1h" desc:"how long the work in hand may take after a signal to stop"`
}

// Ingest are the variables of ingest.
type Ingest struct {
	Topics         Topics `envconfig:"KAFKA_TOPICS" required:"true" desc:"topics to read, comma separated; /regexp/ stands for all topics whose whole name matches"`
	Group          string `envconfig:"KAFKA_GROUP" derived:"the stream" desc:"consumer group that shares the partitions among the ingest replicas and shows the stream's progress"`
	Start          Start  `envconfig:"KAFKA_START" default:"earliest" desc:"where to begin where nothing is committed: earliest, latest, a date, or a time (RFC 3339 or Unix milliseconds)"`
	Isolation      string `envconfig:"KAFKA_ISOLATION" default:"read_committed" choice:"read_committed,read_uncommitted" desc:"whether records of open and aborted transactions are read"`
	Shards         int    `envconfig:"SHARDS" default:"0" min:"0" max:"4096" desc:"number of shards that records are spread over by SHARD_KEY; 0: one shard per source partition. Belongs to the stream: it can't be changed later"`
	ShardKey       string `envconfig:"SHARD_KEY" derived:"@key if SHARDS is set" ref:"true" desc:"field whose hash chooses a record's shard. Belongs to the stream: it can't be changed later"`
	BufferMaxBytes Size   `envconfig:"BUFFER_MAX_BYTES" default:"64MiB" min:"1MiB" desc:"bytes that a lane may hold before ingest stops fetching its partition"`
}

// Process are the variables of process.
type Process struct {
	Pipeline        string        `envconfig:"PIPELINE" derived:"the stream" name:"pipeline" desc:"name of this processing of the stream; replicas with the same name share the work"`
	Emitter         string        `envconfig:"EMITTER" required:"true" desc:"strategy that forms the windows: count, bytes, fixed, relaxed, tumbling, sliding, session, state, sample, expr, or a name that the program registered"`
	WindowSize      int           `envconfig:"WINDOW_SIZE" min:"1" desc:"records of a window (count, sample); with other emitters, how many close it early"`
	WindowBytes     Size          `envconfig:"WINDOW_BYTES" min:"1" desc:"bytes of keys, values and headers that close a window (bytes; with other emitters early)"`
	WindowWhen      string        `envconfig:"WINDOW_WHEN" desc:"expression that closes a window with the record for which it holds, as in value.last or size >= 10: of the record, size (how many they are with it) and records (all of them); whatever else may close the window, the first does"`
	WindowOpen      string        `envconfig:"WINDOW_OPEN" desc:"expression that opens a window with the record for which it holds (state), as in value.on"`
	WindowInterval  time.Duration `envconfig:"WINDOW_INTERVAL" min:"1ms" desc:"length of a window (fixed, relaxed, tumbling, sliding, sample); with count, bytes and state, a window closes at the multiples of it"`
	WindowSlide     Slide         `envconfig:"WINDOW_SLIDE" desc:"a window begins this long after the one before, as in 10s (sliding), or so many records after it, as in 10 (count)"`
	WindowCalendar  string        `envconfig:"WINDOW_CALENDAR" choice:"hour,day,week,month" desc:"unit of the calendar that windows last, in place of WINDOW_INTERVAL (tumbling)"`
	WindowTimezone  string        `envconfig:"WINDOW_TIMEZONE" derived:"UTC" desc:"time zone of the calendar, and of times of events that name none, as in Europe/Berlin"`
	WindowGap       time.Duration `envconfig:"WINDOW_GAP" min:"1ms" desc:"a session ends this long after its last record (session)"`
	WindowMaxLength time.Duration `envconfig:"WINDOW_MAX_LENGTH" min:"1ms" desc:"a session is no longer than this (session); unset: it may be"`
	WindowOffset    time.Duration `envconfig:"WINDOW_OFFSET" desc:"windows begin this long after the multiples of their length, or after the calendar's units (tumbling, sliding); may be negative"`
	WindowTimeout   time.Duration `envconfig:"WINDOW_TIMEOUT" min:"1ms" desc:"emit a window that is not full (count, bytes, state, relaxed) this long after its first record; unset: it waits"`
	WindowKey       string        `envconfig:"WINDOW_KEY" ref:"true" desc:"field by whose values the records are windowed apart; unset: all records of a shard together"`
	MaxKeys         int           `envconfig:"MAX_KEYS" default:"0" min:"0" desc:"keys of a shard that may have open windows: for one more, the window of the key that got a record the longest ago is emitted early; 0: STATE_MAX_BYTES alone bounds them"`
	KeyTimeout      time.Duration `envconfig:"KEY_TIMEOUT" min:"1ms" desc:"emit what waits for a key that nothing came for so long (count, bytes, state, expr, your own); unset: it waits"`
	OrderBy         string        `envconfig:"ORDER_BY" desc:"field that the records of a window are put in order by, and asc or desc, as in temperature desc; unset: as they came"`
	EmitEmpty       bool          `envconfig:"EMIT_EMPTY" default:"false" desc:"whether windows without records are emitted (fixed, relaxed, tumbling)"`
	CatchUp         string        `envconfig:"CATCH_UP" derived:"all" choice:"all,merge,skip-empty" desc:"what comes of intervals that are over all at once, as after a downtime (fixed, relaxed, tumbling): each window, or all that is overdue in one (fixed), or each that has records (with EMIT_EMPTY)"`

	Filter       string        `envconfig:"FILTER" desc:"expression that says whether a record is wanted, as in value.temperature > 20; unset: all are"`
	Map          string        `envconfig:"MAP" desc:"expression that makes the new value of a record, after FILTER and before all else, as in {id: value.id, celsius: (value.f - 32) / 1.8}; unset: it stays as it came"`
	Dedupe       string        `envconfig:"DEDUPE" ref:"true" desc:"field whose values tell records apart: one with a value that came before within DEDUPE_WITHIN is dropped; unset: all are taken"`
	DedupeWithin time.Duration `envconfig:"DEDUPE_WITHIN" min:"1ms" desc:"how long a value of DEDUPE is remembered, by the clock, or by event time if the emitter goes by that"`
	DedupeMax    *int          `envconfig:"DEDUPE_MAX" derived:"100000" min:"1" desc:"how many values of DEDUPE a shard remembers at most; beyond, the one that came first is forgotten"`
	Aggregate    string        `envconfig:"AGGREGATE" desc:"what windows are written as, in place of their records: a list of count() sum(f) avg(f) min(f) max(f) stddev(f) first(f) last(f) distinct(f) distinct_approx(f) p50(f) to p99.9(f) top(f, n) collect(f), each of a field and with or without a name, as in count() as n, avg(temperature)"`
	WindowQuery  string        `envconfig:"WINDOW_QUERY" desc:"expression that picks the records of the next window from those that wait (expr), as in take(records, 10)"`
	WindowReady  string        `envconfig:"WINDOW_READY" desc:"expression that says whether that window is to be emitted now (expr), as in len(window) == 10"`

	EventTime       string         `envconfig:"EVENT_TIME" derived:"@timestamp" ref:"true" desc:"field that tells when a record's event happened (emitters by event time)"`
	EventTimeFormat string         `envconfig:"EVENT_TIME_FORMAT" derived:"auto" desc:"how it is written: auto, s, ms, us, ns, or a layout of Go's, as in 02.01.2006 15:04; auto: by a number's size, RFC 3339, or a date"`
	WatermarkDelay  *time.Duration `envconfig:"WATERMARK_DELAY" derived:"1s" min:"0s" desc:"how much later than others a record may come and still be in its window"`
	WatermarkIdle   *time.Duration `envconfig:"WATERMARK_IDLE" derived:"5s" min:"0s" desc:"how long a lane that is read to the source's end, and gets nothing, still holds the windows back"`
	MaxFuture       *time.Duration `envconfig:"MAX_FUTURE" derived:"10s" min:"0s" desc:"a record that is further ahead of the clock closes no windows"`
	Late            string         `envconfig:"LATE" derived:"dead-letter" choice:"dead-letter,drop,next" desc:"what becomes of a record that comes after its window has closed: it goes to the dead letters, nowhere, or to the next window"`
	AllowedLateness time.Duration  `envconfig:"ALLOWED_LATENESS" min:"0s" desc:"how long after its time was over a window is emitted again for late records (emitters by event time); LATE is for what is later still"`
	EmitEarly       time.Duration  `envconfig:"EMIT_EARLY" min:"1ms" desc:"how often what is known of open windows is emitted (fixed, relaxed, and emitters by event time); unset: never"`
	BadField        string         `envconfig:"BAD_FIELD" derived:"dead-letter" choice:"dead-letter,skip,null" desc:"what becomes of a record whose key or time is missing or of a wrong type, or for which an expression can't be computed: it goes to the dead letters, nowhere, or is taken with an empty key, at its own timestamp, or as it is"`

	Output           string `envconfig:"OUTPUT" default:"window" choice:"window,data,records" desc:"what is written: one JSON object per window, its data alone as a JSON array, or its records one by one"`
	Sink             Sinks  `envconfig:"SINK" required:"true" pattern:"^(kafka|mongo|stdout)(, *(kafka|mongo|stdout))*$" desc:"where windows go: kafka, mongo, stdout, or several of them, comma separated. What goes to Kafka is in the decision's transaction, the others follow it"`
	OutputTopic      string `envconfig:"KAFKA_OUTPUT_TOPIC" desc:"topic that windows are written to (SINK=kafka)"`
	OutputTopicName  string `envconfig:"OUTPUT_TOPIC" derived:"KAFKA_OUTPUT_TOPIC" desc:"template of the topics of windows, as in site.{{key}}; where it makes nothing, KAFKA_OUTPUT_TOPIC. Topics that are missing are made, at most 1,000 (SINK=kafka)"`
	OutputKey        string `envconfig:"OUTPUT_KEY" derived:"the window's key" desc:"template of the keys of windows, as in {{stream}}/{{key}}; a key decides the partition in Kafka, and in MongoDB the document with MONGO_MODE=replace or merge (not with OUTPUT=records)"`
	OutputValue      string `envconfig:"OUTPUT_VALUE" desc:"expression that makes what is written of a window, in place of OUTPUT, as in {device: key, last: data[-1].temperature}: text goes out as it is, all else as JSON, and nothing where it gives null (not with HANDLER_URL). See docs/HANDLERS.md"`
	OutputHeaders    string `envconfig:"OUTPUT_HEADERS" desc:"headers of windows besides windrow's own, as name=template, comma separated, as in site={{key}}, day={{start.date}} (SINK=kafka, not with OUTPUT=records)"`
	OutputBrokers    List   `envconfig:"KAFKA_OUTPUT_BROKERS" derived:"KAFKA_BROKERS" desc:"brokers of the cluster of the output and the journal, with the same TLS and SASL settings"`
	MongoURL         URL    `envconfig:"MONGO_URL" secret:"true" desc:"MongoDB that windows are written to (SINK=mongo): mongodb:// or mongodb+srv://"`
	MongoDatabase    string `envconfig:"MONGO_DATABASE" desc:"database that windows are written to (SINK=mongo)"`
	MongoCollection  string `envconfig:"MONGO_COLLECTION" desc:"collection that windows are written to (SINK=mongo)"`
	MongoMode        string `envconfig:"MONGO_MODE" default:"insert" choice:"insert,replace,merge" desc:"a document per window, or one per key of its newest window: it takes the place of the document before, or its fields do and others stay (SINK=mongo)"`
	OutputCollection string `envconfig:"OUTPUT_COLLECTION" derived:"MONGO_COLLECTION" desc:"template of the collections of windows, as in site-{{key}}; where it makes nothing, MONGO_COLLECTION (SINK=mongo)"`

	JournalTopic       string        `envconfig:"JOURNAL_TOPIC" derived:"windrow.<stream>.<pipeline>.journal" desc:"compacted topic that keeps the pipeline's decisions and checkpoints; made if it is missing"`
	Delivery           string        `envconfig:"DELIVERY" default:"exactly-once" choice:"exactly-once,at-least-once" desc:"exactly-once: decisions and output in one Kafka transaction; at-least-once: without transactions"`
	DeadLetter         DeadLetter    `envconfig:"DEAD_LETTER" derived:"the output's name and .dead" desc:"where records and windows go that can't be processed: kafka:<topic> or mongo:<collection>, of the kind of one of the sinks. What is too large for another sink goes to that one's default"`
	HandlerURL         URL           `envconfig:"HANDLER_URL" secret:"true" desc:"service that each window is posted to as JSON before it is written, and that answers with what is written instead: http://host:port/path, https://…, or unix:///path/to/socket (with :/path behind it). See docs/HANDLERS.md"`
	HandlerTimeout     time.Duration `envconfig:"HANDLER_TIMEOUT" default:"30s" min:"1ms" max:"1h" desc:"how long a call of HANDLER_URL may take"`
	HandlerBatch       int           `envconfig:"HANDLER_BATCH" default:"1" min:"1" max:"1000" desc:"windows that a call of HANDLER_URL may hold: more than 1 makes request and answer arrays"`
	HandlerMaxResponse Size          `envconfig:"HANDLER_MAX_RESPONSE" default:"16MiB" min:"1KiB" max:"1GiB" desc:"bytes that an answer of HANDLER_URL may have"`
	HandlerAttempts    int           `envconfig:"HANDLER_ATTEMPTS" default:"5" min:"1" max:"1000" desc:"how often a window is handed to the handler before it becomes a dead letter"`
	HandlerConcurrency int           `envconfig:"HANDLER_CONCURRENCY" default:"1" min:"1" max:"1024" desc:"windows of a shard that may be at the handler at the same time; delivery keeps their order"`
	LeaseTTL           time.Duration `envconfig:"LEASE_TTL" default:"3s" min:"300ms" max:"60s" desc:"how long the shards of a worker that fell silent stay its own"`
	StateMaxBytes      Size          `envconfig:"STATE_MAX_BYTES" default:"64MiB" min:"1MiB" desc:"bytes of waiting records that a shard may hold in memory; beyond it the oldest window is emitted early"`
	Worker             string        `envconfig:"WORKER" derived:"<host name>-<process id>" desc:"name of this replica; no two replicas may have the same"`
}

// DeadOf is where dead letters of a kind of sink go: those that could not be processed, if DEAD_LETTER is of that kind,
// and what is too large for the sink. Empty: that sink has no place of its own for them.
func (c *Config) DeadOf(kind string) string {
	switch {
	case c.DeadLetter.Kind == kind:
		return c.DeadLetter.Name
	case kind == "kafka" && c.OutputTopic != "":
		return c.OutputTopic + ".dead"
	case kind == "mongo" && c.MongoCollection != "":
		return c.MongoCollection + ".dead"
	}
	return ""
}

// Templates are those of what is written; nil where none is set.
type Templates struct {
	Key, Topic, Collection *template.Template
	Headers                []template.Named
}

// Templates reads the templates. Dates in them are those of WINDOW_TIMEZONE. What Load has accepted has no problems.
func (c *Config) Templates() (t Templates, problems []Problem) {
	zone, err := time.LoadLocation(c.WindowTimezone)
	if err != nil {
		zone = time.UTC // a problem of the emitter's settings
	}
	for _, v := range []struct {
		variable, text string
		into           **template.Template
	}{{"OUTPUT_KEY", c.OutputKey, &t.Key}, {"OUTPUT_TOPIC", c.OutputTopicName, &t.Topic}, {"OUTPUT_COLLECTION", c.OutputCollection, &t.Collection}} {
		if v.text == "" {
			continue
		}
		if *v.into, err = template.Parse(v.text, zone); err != nil {
			problems = append(problems, Problem{v.variable, v.text, "is no template: " + err.Error()})
		}
	}
	if c.OutputHeaders != "" {
		if t.Headers, err = template.ParseList(c.OutputHeaders, zone); err != nil {
			problems = append(problems, Problem{"OUTPUT_HEADERS", c.OutputHeaders, "is no list of templates: " + err.Error()})
		}
	}
	return t, problems
}

// Buffer returns the options of the stream's buffer.
func (c *Common) Buffer(logger *zap.Logger) buffer.Options {
	return buffer.Options{URL: string(c.RedisURL), Stream: c.Stream, Logger: logger, DirectMaxBytes: int64(c.DirectMaxBytes)}
}

// Window returns the settings of the pipeline's windows.
func (c *Config) Window() window.Settings {
	s := window.Settings{
		Stream:        c.Stream,
		Pipeline:      c.Pipeline,
		Emitter:       c.Emitter,
		Size:          c.WindowSize,
		Interval:      c.WindowInterval,
		Timeout:       c.WindowTimeout,
		Key:           c.WindowKey,
		EmitEmpty:     c.EmitEmpty,
		CatchUp:       c.CatchUp,
		StateMaxBytes: int64(c.StateMaxBytes),

		Bytes: int64(c.WindowBytes), When: c.WindowWhen, Open: c.WindowOpen, Slide: c.WindowSlide.Time, SlideSize: c.WindowSlide.Records,
		Calendar: emit.Calendar(c.WindowCalendar), Zone: c.WindowTimezone, Offset: c.WindowOffset,
		AllowedLateness: c.AllowedLateness, EmitEarly: c.EmitEarly,
		Gap: c.WindowGap, MaxLength: c.WindowMaxLength,
		EventTime: c.EventTime, EventTimeFormat: c.EventTimeFormat, Late: c.Late, BadField: c.BadField,
		Aggregate: c.Aggregate, Filter: c.Filter, Map: c.Map, Query: c.WindowQuery, Ready: c.WindowReady,
		WatermarkDelay: fromPtr(c.WatermarkDelay), WatermarkIdle: fromPtr(c.WatermarkIdle), MaxFuture: fromPtr(c.MaxFuture),
	}
	s.OrderBy, s.MaxKeys, s.KeyTimeout = c.OrderBy, c.MaxKeys, c.KeyTimeout
	s.Dedupe, s.DedupeWithin = c.Dedupe, c.DedupeWithin
	if c.Dedupe != "" || c.DedupeMax != nil {
		s.DedupeMax = *cmp.Or(c.DedupeMax, new(100_000))
	}
	if window.EventTimed(c.Emitter) {
		s.WatermarkDelay = *cmp.Or(c.WatermarkDelay, new(time.Second))
		s.WatermarkIdle = *cmp.Or(c.WatermarkIdle, new(5*time.Second))
		s.MaxFuture = *cmp.Or(c.MaxFuture, new(10*time.Second))
	}
	return s
}

func fromPtr(d *time.Duration) time.Duration { return *cmp.Or(d, new(time.Duration)) }
