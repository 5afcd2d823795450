package buffer

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestURL(t *testing.T) {
	type want struct {
		addr, user, password string
		db                   int
		tls                  bool
	}
	for url, w := range map[string]want{
		"redis://h:1":                               {addr: "h:1"},
		"redis://h":                                 {addr: "h:6379"},
		"redis://u:p%40@h:1/7":                      {"h:1", "u", "p@", 7, false},
		"rediss://:p@[::1]:1/0":                     {"[::1]:1", "", "p", 0, true},
		"unix:///run/r.sock?db=2":                   {addr: "/run/r.sock", db: 2},
		"redis://h:1?read_timeout=1s&client_name=x": {addr: "h:1"},
	} {
		c, err := dial(url, nil)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		o := c.(*redis.Client).Options()
		if got := (want{o.Addr, o.Username, o.Password, o.DB, o.TLSConfig != nil}); got != w {
			t.Errorf("%s: %+v", url, got)
		}
		if o.MaxRetries != 0 || !o.ContextTimeoutEnabled || o.Protocol != 2 || o.ReadTimeout < minTimeout || o.PoolSize != poolSize {
			t.Errorf("%s: %+v", url, o)
		}
	}

	for url, w := range map[string]redis.ClusterOptions{
		"redis+cluster://h1:1,h2:2,h3":   {Addrs: []string{"h1:1", "h2:2", "h3:6379"}},
		"rediss+cluster://u:p@h1,[::1]/": {Addrs: []string{"h1:6379", "[::1]:6379"}, Username: "u", Password: "p"},
	} {
		c, err := dial(url, nil)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		o := c.(*redis.ClusterClient).Options()
		if !reflect.DeepEqual(o.Addrs, w.Addrs) || o.Username != w.Username || o.Password != w.Password || (o.TLSConfig != nil) != strings.HasPrefix(url, "rediss") {
			t.Errorf("%s: %+v", url, o)
		}
		if o.MaxRetries != -1 || !o.ContextTimeoutEnabled || o.Protocol != 2 || o.ReadTimeout != 0 && o.ReadTimeout < minTimeout {
			t.Errorf("%s: %+v", url, o)
		}
	}

	c, err := dial("rediss+sentinel://u:p@h1,h2:2/mine/3?sentinel_username=su&sentinel_password=sp&dial_timeout=2s", nil)
	noError(t, err)
	o := c.(*redis.Client).Options()
	if o.Username != "u" || o.Password != "p" || o.DB != 3 || o.TLSConfig == nil || o.TLSConfig.ServerName != "" || o.MaxRetries != 0 ||
		!o.ContextTimeoutEnabled || o.DialTimeout != 2*time.Second || o.Addr != "FailoverClient" {
		t.Errorf("%+v", o)
	}

	for url, want := range map[string]string{
		"":                                  "scheme",
		"h:6379":                            "",
		"http://h":                          "scheme",
		"redis+ring://h":                    "scheme",
		"redis://h1,h2":                     "several hosts",
		"redis://u:secret@h:x":              "",
		"redis://u:secret@h/db":             "database number",
		"redis://u:secret@h?nonsense=1":     "nonsense",
		"redis+sentinel://u:secret@h":       "name of the master",
		"redis+sentinel://u:secret@h/m/x":   "database number",
		"redis+cluster://u:secret@h,/":      "empty host",
		"redis+cluster://u:secret@h/5":      "database 0 alone",
		"rediss://h?tls_ca=/does/not/exist": "tls_ca",
		"rediss://h?tls_cert=/does/not":     "belong together",
	} {
		_, err := Open(Options{URL: url, Stream: "s"})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "REDIS_URL: ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, stream := range []string{"", "a b", "a:b", "a/b", "{a}", strings.Repeat("a", 65)} {
		if _, err := Open(Options{URL: "redis://h", Stream: stream}); err == nil || !strings.Contains(err.Error(), "STREAM") {
			t.Errorf("%q: %v", stream, err)
		}
	}
}
