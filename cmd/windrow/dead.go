package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/internal/config"
	"github.com/windrow-io/windrow/internal/replay"
	"github.com/windrow-io/windrow/pkg/letter"
)

const deadUsage = `windrow dead - dead letters: records and windows that could not be processed

  windrow dead list   [filters] [--json] [--limit N]      what there is
  windrow dead show   ID                                  one letter, whole
  windrow dead replay (--all | filters | ID…) [--to TOPIC] [--dry-run]
                                                          put letters back, each exactly once

filters: --reason WORD   --shard SHARD   --since 2h|2026-01-31|2026-01-31T12:00:00Z   --new (not put back yet)

It wants the environment of the pipeline's workers. A record goes back to the partition it came from, a window to its
handler and sink; --to names another topic, which ingest must read as well. docs/DEAD_LETTERS.md says more.
`

// deadCommand is windrow dead.
type deadCommand struct {
	stdout, stderr io.Writer

	reason, shard, since, to string
	fresh, all, dry, asJSON  bool
	limit                    int
	ids                      []string
	after                    time.Time

	config  *config.Config
	letters replay.Letters
	source  []kgo.Opt
}

func dead(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := &deadCommand{stdout: stdout, stderr: stderr}
	if len(args) == 0 {
		fmt.Fprint(stderr, deadUsage)
		return 2
	}
	verb, ok := map[string]func(context.Context) error{"list": c.list, "show": c.show, "replay": c.replay}[args[0]]
	if !ok {
		fmt.Fprint(stderr, deadUsage)
		if slices.Contains([]string{"help", "-h", "--help"}, args[0]) {
			return 0
		}
		return 2
	}
	switch err := c.parse(args[0], args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, err)
		return 2
	}
	defer c.letters.Close()
	if err := verb(ctx); err != nil {
		fmt.Fprintf(stderr, "windrow dead %s: %v\n", args[0], err)
		return 1
	}
	return 0
}

// parse reads flags and environment. Everything that is wrong is said at once.
func (c *deadCommand) parse(verb string, args []string) error {
	flags := flag.NewFlagSet("windrow dead "+verb, flag.ContinueOnError)
	flags.SetOutput(c.stderr)
	flags.Usage = func() { fmt.Fprint(c.stderr, deadUsage) }
	if verb != "show" {
		flags.StringVar(&c.reason, "reason", "", "")
		flags.StringVar(&c.shard, "shard", "", "")
		flags.StringVar(&c.since, "since", "", "")
		flags.BoolVar(&c.fresh, "new", false, "")
	}
	switch verb {
	case "list":
		flags.BoolVar(&c.asJSON, "json", false, "")
		flags.IntVar(&c.limit, "limit", 1000, "")
	case "replay":
		flags.BoolVar(&c.all, "all", false, "")
		flags.StringVar(&c.to, "to", "", "")
		flags.BoolVar(&c.dry, "dry-run", false, "")
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	c.ids = flags.Args()
	var problems []string
	bad := func(format string, args ...any) {
		problems = append(problems, "windrow dead: "+fmt.Sprintf(format, args...))
	}
	filtered := c.reason != "" || c.shard != "" || c.since != "" || c.fresh
	switch {
	case verb == "show" && len(c.ids) != 1:
		bad("show takes the id of one letter")
	case verb == "list" && len(c.ids) > 0:
		bad("list takes no ids: see show")
	case verb == "replay" && !c.all && !filtered && len(c.ids) == 0:
		bad("say what to put back: ids, filters, or --all")
	}
	if c.since != "" {
		var err error
		if c.after, err = since(c.since, time.Now()); err != nil {
			bad("%v", err)
		}
	}
	var err error
	if c.config, err = config.Load(config.ProgramProcess); err != nil {
		problems = append(problems, err.Error())
	} else if err := c.connect(); err != nil {
		bad("%v", err)
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n"))
	}
	return nil
}

// since is a moment: a duration before now, a date, or a time.
func since(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since %s is neither a duration (2h), a date (2026-01-31) nor a time (2026-01-31T12:00:00Z)", text)
}

// connect says where the letters are and how the source's cluster is reached.
func (c *deadCommand) connect() error {
	common, err := kafkaOptions(&c.config.Common)
	if err != nil {
		return err
	}
	common = append(common, kgo.ClientID("windrow-dead"))
	c.source = append([]kgo.Opt{kgo.SeedBrokers(c.config.Brokers...)}, common...)
	switch d := c.config.DeadLetter; d.Kind {
	case "kafka":
		out, err := c.config.OutputKafka()
		if err != nil {
			return err
		}
		c.letters = replay.InTopic(append([]kgo.Opt{kgo.SeedBrokers(out.Brokers...)}, common...), d.Name)
		return nil
	case "mongo":
		letters, err := replay.InCollection(string(c.config.MongoURL), c.config.MongoDatabase, d.Name, c.config.MongoCollection)
		if err != nil {
			return err
		}
		c.letters = letters
		return nil
	}
	return fmt.Errorf("SINK=%s keeps no dead letters: they are lines of its output", c.config.Sink)
}

func (c *deadCommand) pipeline() replay.Pipeline {
	return replay.Pipeline{Stream: c.config.Stream, Pipeline: c.config.Pipeline}
}

// each visits the pipeline's letters that the filters let through.
func (c *deadCommand) each(ctx context.Context, noted map[string]time.Time, visit func(l *letter.Letter) error) error {
	others, err := c.letters.Each(ctx, func(l *letter.Letter) error {
		if at, ok := noted[l.ID]; ok {
			l.Replayed = at
		}
		last := l.Written
		if l.Last > 0 {
			last = time.UnixMilli(l.Last)
		}
		switch {
		case l.Pipeline != "" && (l.Stream != c.config.Stream || l.Pipeline != c.config.Pipeline),
			c.reason != "" && l.Reason != c.reason,
			c.shard != "" && l.Shard != c.shard,
			last.Before(c.after),
			c.fresh && !l.Replayed.IsZero(),
			len(c.ids) > 0 && !slices.Contains(c.ids, l.ID):
			return nil
		}
		return visit(l)
	})
	if others > 0 {
		fmt.Fprintf(c.stderr, "%d records are there that are no dead letters\n", others)
	}
	return err
}

var errEnough = errors.New("enough")

func (c *deadCommand) list(ctx context.Context) error {
	noted, err := replay.Noted(ctx, c.source, c.pipeline())
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	n, put := 0, 0
	err = c.each(ctx, noted, func(l *letter.Letter) error {
		if c.limit > 0 && n == c.limit {
			return errEnough
		}
		if n++; !l.Replayed.IsZero() {
			put++
		}
		if c.asJSON {
			return json.NewEncoder(c.stdout).Encode(rowOf(l))
		}
		if n == 1 {
			fmt.Fprintln(table, "ID\tKIND\tREASON\tATTEMPTS\tFROM\tFIRST\tLAST\tBYTES\tPUT BACK")
		}
		r := rowOf(l)
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%d\t%s\n",
			r.ID, r.Kind, r.Reason, r.Attempts, r.From, when(r.First), when(r.Last), r.Bytes, when(r.PutBack))
		return err
	})
	if ferr := table.Flush(); err == nil {
		err = ferr
	}
	more := ""
	if errors.Is(err, errEnough) {
		err, more = nil, " and more: see --limit"
	}
	fmt.Fprintf(c.stderr, "%d letters%s, %d of them put back\n", n, more, put)
	return err
}

// row is what list says of a letter.
type row struct {
	ID       string     `json:"id"`
	Kind     string     `json:"kind"`
	Reason   string     `json:"reason"`
	Error    string     `json:"error"`
	Attempts int        `json:"attempts"`
	From     string     `json:"from"`
	Shard    string     `json:"shard"`
	First    *time.Time `json:"first"`
	Last     *time.Time `json:"last"`
	Bytes    int        `json:"bytes"`
	PutBack  *time.Time `json:"put_back"`
}

func rowOf(l *letter.Letter) row {
	r := row{ID: l.ID, Kind: l.Kind(), Reason: l.Reason, Error: l.Error, Attempts: l.Attempts, From: l.From(), Shard: l.Shard, Bytes: l.Size}
	at := func(ms int64) *time.Time {
		if ms == 0 {
			return nil
		}
		t := time.UnixMilli(ms).UTC()
		return &t
	}
	r.First, r.Last = at(l.First), at(l.Last)
	if !l.Replayed.IsZero() {
		t := l.Replayed.UTC()
		r.PutBack = &t
	}
	return r
}

func when(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Format(time.RFC3339)
}

func (c *deadCommand) show(ctx context.Context) error {
	found := false
	err := c.each(ctx, nil, func(l *letter.Letter) error {
		found = true
		text, err := json.MarshalIndent(l.Shown, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.stdout, "%s\n", text)
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("no letter of the pipeline has the id %s", c.ids[0])
	}
	return err
}

// said is how often a long replay says how far it is.
const said = time.Second

func (c *deadCommand) replay(ctx context.Context) error {
	var back *replay.Replayer
	var noted map[string]time.Time
	var err error
	if c.dry {
		noted, err = replay.Noted(ctx, c.source, c.pipeline())
	} else if back, err = replay.Open(ctx, c.source, c.pipeline(), c.to); err == nil {
		defer back.Close()
		noted = back.Noted()
	}
	if err != nil {
		return err
	}
	var done, before, cant int
	tell := time.Now().Add(said)
	err = c.each(ctx, noted, func(l *letter.Letter) error {
		var refused *replay.CantError
		switch err := c.putBack(ctx, back, l); {
		case err == nil:
			done++
		case errors.Is(err, replay.ErrReplayed):
			before++
		case errors.As(err, &refused):
			cant++
			fmt.Fprintf(c.stderr, "%s: %v\n", l.ID, err)
		default:
			return err
		}
		if time.Now().After(tell) {
			tell = time.Now().Add(said)
			fmt.Fprintf(c.stderr, "%d letters so far\n", done)
		}
		return nil
	})
	if err == nil && back != nil {
		err = back.Flush(ctx)
	}
	if err != nil {
		return err
	}
	verb := "put back"
	if c.dry {
		verb = "would be put back"
	}
	fmt.Fprintf(c.stderr, "%d letters %s, %d were before, %d can't be\n", done, verb, before, cant)
	if cant > 0 {
		return fmt.Errorf("%d letters can't be put back", cant)
	}
	return nil
}

func (c *deadCommand) putBack(ctx context.Context, back *replay.Replayer, l *letter.Letter) error {
	if !l.Replayed.IsZero() {
		return replay.ErrReplayed
	}
	collection, _ := c.letters.(*replay.Collection)
	switch {
	case c.dry && l.Kind() == "document":
		return nil
	case c.dry:
		_, err := l.Back()
		if err != nil {
			err = &replay.CantError{Why: err}
		}
		return err
	case l.Kind() == "document" && collection != nil:
		return collection.PutBack(ctx, l)
	}
	return back.PutBack(ctx, l)
}
