package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// own are prefixes that hardly anything but Windrow uses: an unknown variable with one is an error.
var own = []string{
	"WINDOW_", "HANDLER_", "BUFFER_", "EMIT", "SHARD_", "LEASE_", "STATE_MAX", "JOURNAL_", "DEAD_LETTER", "SHUTDOWN_TIME",
	"EVENT_TIME", "WATERMARK_", "ALLOWED_LATE",
}

// shared are prefixes that images and tools of Kafka and MongoDB use too: an unknown variable with one is an error if it
// looks like one of ours that is missing, else a warning.
var shared = []string{"KAFKA_", "MONGO_", "REDIS_"}

// aliases are what other programs call a variable of ours, too far off for spelling to tell.
var aliases = map[string]string{
	"KAFKA_BOOTSTRAP_SERVERS": "KAFKA_BROKERS",
	"KAFKA_BROKER_LIST":       "KAFKA_BROKERS",
	"KAFKA_INPUT_TOPICS":      "KAFKA_TOPICS",
	"KAFKA_GROUP_ID":          "KAFKA_GROUP",
	"KAFKA_CONSUMER_GROUP":    "KAFKA_GROUP",
	"KAFKA_AUTO_OFFSET_RESET": "KAFKA_START",
	"KAFKA_ISOLATION_LEVEL":   "KAFKA_ISOLATION",
	"KAFKA_USERNAME":          "KAFKA_SASL_USERNAME",
	"KAFKA_PASSWORD":          "KAFKA_SASL_PASSWORD",
	"MONGO_URI":               "MONGO_URL",
	"MONGO_DB":                "MONGO_DATABASE",
	"WINDOW_COUNT":            "WINDOW_SIZE",
	"WINDOW_LENGTH":           "WINDOW_INTERVAL",
	"WINDOW_DURATION":         "WINDOW_INTERVAL",
	"BUFFER_SIZE":             "BUFFER_MAX_BYTES",
	"REDIS_ADDR":              "REDIS_URL",
	"REDIS_URI":               "REDIS_URL",
	"HANDLER_RETRIES":         "HANDLER_ATTEMPTS",
}

// serviceLink matches what Kubernetes injects for a Service, and what Docker did for a link.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// unknown looks through the environment for variables that somebody meant for Windrow and that no program reads.
func unknown(environ []string, p Program, problem func(Problem), warn func(string)) {
	var names []string
	for _, v := range Variables(ProgramBoth) {
		names = append(names, v.Name)
	}
	slices.Sort(environ)
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		switch {
		case value == "" || slices.Contains(names, name):
		case serviceLink.MatchString(name) || strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://"):
		default:
			meant := didYouMean(name, names)
			switch {
			case hasPrefix(name, own) && meant == "":
				problem(Problem{Variable: name, Reason: "is not a variable of Windrow: -h lists them"})
			case hasPrefix(name, own), hasPrefix(name, shared) && missed(meant, environ, p):
				problem(Problem{Variable: name, Reason: "is not a variable of Windrow: did you mean " + meant + "?"})
			case meant != "":
				warn(fmt.Sprintf("%s is not a variable of Windrow and has no effect: did you mean %s?", name, meant))
			case hasPrefix(name, shared):
				warn(fmt.Sprintf("%s is not a variable of Windrow and has no effect", name))
			}
		}
	}
}

// missed reports whether the program reads a variable and it is not set: then another one in its place was no mere
// bystander.
func missed(variable string, environ []string, p Program) bool {
	reads := slices.ContainsFunc(Variables(p), func(v Variable) bool { return v.Name == variable })
	return reads && !slices.ContainsFunc(environ, func(e string) bool {
		name, value, _ := strings.Cut(e, "=")
		return name == variable && value != ""
	})
}

func hasPrefix(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// didYouMean returns the known variable that name is most likely a misspelling of, or nothing.
func didYouMean(name string, known []string) string {
	if to, ok := aliases[name]; ok {
		return to
	}
	best, least := "", 4
	for _, k := range known {
		if len(k) < 5 {
			continue // too short to tell a misspelling from another word
		}
		// What prefixes share says nothing: judge by what is left.
		a, b := name, k
		for _, p := range slices.Concat(own, shared) {
			if strings.HasPrefix(a, p) && strings.HasPrefix(b, p) && strings.HasSuffix(p, "_") {
				a, b = a[len(p):], b[len(p):]
				break
			}
		}
		allowed := 1
		if len(b) > 6 {
			allowed = 2
		}
		if d := distance(a, b); d <= allowed && d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace, or swap with their neighbour to make b of a.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
