package buffer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// maxBlock is the longest that a read waits in Redis; minTimeout keeps the client's read time-out well above it.
	maxBlock   = time.Second
	minTimeout = 3 * time.Second

	// poolSize bounds the connections to one server. They are opened when needed: one per shard that is read, one per
	// lane that is appended to, and a few for everything else.
	poolSize = 4096
)

// Client is a client of its own of the Redis at a URL of the forms that REDIS_URL has, for programs that look at the servers
// from outside. It does not connect.
func Client(url string) (redis.UniversalClient, error) { return dial(url, nil) }

// dial parses the URL and returns the client. It does not connect.
//
// Retries of go-redis are off everywhere: a command whose answer was lost may have been executed, and only the caller
// knows how to find out.
func dial(raw string, open func(ctx context.Context, network, addr string) (net.Conn, error)) (redis.UniversalClient, error) {
	raw, hosts := splitHosts(raw)
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("not a URL") // url.Error quotes the URL, and the password in it
	}
	q := u.Query()
	certs, err := certificates(q)
	if err != nil {
		return nil, err
	}
	scheme, kind, _ := strings.Cut(u.Scheme, "+")
	if kind == "" {
		if len(hosts) > 1 {
			return nil, errors.New("several hosts: want redis+sentinel:// or redis+cluster://")
		}
		u.RawQuery = q.Encode()
		o, err := redis.ParseURL(u.String())
		if err != nil {
			return nil, plain(err)
		}
		o.MaxRetries, o.ContextTimeoutEnabled, o.Protocol, o.DisableIdentity = -1, true, 2, true
		o.DialerRetries, o.PipelinePoolSize = 1, -1
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		o.PoolSize, o.ReadTimeout = orSize(o.PoolSize), orTimeout(o.ReadTimeout)
		certs.apply(o.TLSConfig)
		if open != nil {
			o.Dialer = open
		}
		return redis.NewClient(o), nil
	}

	for i, h := range hosts {
		if h == "" {
			return nil, errors.New("an empty host")
		}
		if _, _, err := net.SplitHostPort(h); err != nil {
			port := "6379"
			if kind == "sentinel" {
				port = "26379"
			}
			hosts[i] = net.JoinHostPort(strings.Trim(h, "[]"), port)
		}
	}
	u.Scheme, u.Host = scheme, hosts[0]
	for _, h := range hosts[1:] {
		q.Add("addr", h)
	}

	switch kind {
	case "sentinel":
		// redis+sentinel://user:password@sentinel:26379,…/master/db?sentinel_password=…: user and password are those of
		// the servers, as with the other forms; go-redis reads them as the sentinels'.
		path := strings.Split(strings.Trim(u.Path, "/"), "/")
		if path[0] == "" || len(path) > 2 {
			return nil, errors.New("want redis+sentinel://host:port,host:port/<name of the master>/<db>")
		}
		u.Path = strings.Join(path[1:], "")
		q.Set("master_name", path[0])
		server := u.User
		u.User = nil
		if p := q.Get("sentinel_password"); p != "" {
			u.User = url.UserPassword(q.Get("sentinel_username"), p)
		}
		q.Del("sentinel_username")
		q.Del("sentinel_password")
		u.RawQuery = q.Encode()
		o, err := redis.ParseFailoverURL(u.String())
		if err != nil {
			return nil, plain(err)
		}
		if server != nil {
			o.Username = server.Username()
			o.Password, _ = server.Password()
		}
		o.MaxRetries, o.ContextTimeoutEnabled, o.Protocol, o.DisableIdentity = -1, true, 2, true
		o.DialerRetries, o.PipelinePoolSize = 1, -1
		o.PoolSize, o.ReadTimeout = orSize(o.PoolSize), orTimeout(o.ReadTimeout)
		certs.apply(o.TLSConfig)
		return redis.NewFailoverClient(o), nil
	case "cluster":
		if p := strings.Trim(u.Path, "/"); p != "" && p != "0" {
			return nil, fmt.Errorf("a Cluster has the database 0 alone, not %q", p)
		}
		u.Path = ""
		skip := q.Get("skip_verify")
		q.Del("skip_verify") // the one option that ParseClusterURL lacks
		u.RawQuery = q.Encode()
		o, err := redis.ParseClusterURL(u.String())
		if err != nil {
			return nil, plain(err)
		}
		o.MaxRetries, o.ContextTimeoutEnabled, o.Protocol, o.DisableIdentity = -1, true, 2, true
		o.DialerRetries, o.PipelinePoolSize = 1, -1
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		o.PoolSize, o.ReadTimeout = orSize(o.PoolSize), orTimeout(o.ReadTimeout)
		certs.apply(o.TLSConfig)
		if o.TLSConfig != nil {
			o.TLSConfig.InsecureSkipVerify = skip == "true" || skip == "1"
		}
		return redis.NewClusterClient(o), nil
	}
	return nil, fmt.Errorf("the scheme %q is none of redis, rediss, unix, redis+sentinel, rediss+sentinel, redis+cluster, rediss+cluster", scheme+"+"+kind)
}

// splitHosts takes the hosts out of scheme://user:password@host,host/path, of which url.Parse takes only one, and leaves
// the first in the URL.
func splitHosts(raw string) (string, []string) {
	i := strings.Index(raw, "://")
	if i < 0 {
		return raw, nil
	}
	i += len("://")
	end := len(raw)
	if j := strings.IndexAny(raw[i:], "/?#"); j >= 0 {
		end = i + j
	}
	i += strings.LastIndexByte(raw[i:end], '@') + 1
	hosts := strings.Split(raw[i:end], ",")
	return raw[:i] + hosts[0] + raw[end:], hosts
}

func orSize(n int) int {
	if n == 0 {
		return poolSize
	}
	return n
}

func orTimeout(d time.Duration) time.Duration {
	if d > 0 && d < minTimeout {
		return minTimeout
	}
	if d < 0 {
		return 0 // a read without time-out hangs for ever on a server that is gone; go-redis's default instead
	}
	return d
}

// plain drops the URL, and with it the password, from a parse error.
func plain(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return errors.New(strings.TrimPrefix(err.Error(), "redis: "))
}

// tlsFiles are the query options tls_ca, tls_cert and tls_key: files in PEM form.
type tlsFiles struct {
	roots *x509.CertPool
	certs []tls.Certificate
}

func certificates(q url.Values) (tlsFiles, error) {
	var f tlsFiles
	ca, cert, key := q.Get("tls_ca"), q.Get("tls_cert"), q.Get("tls_key")
	for _, k := range []string{"tls_ca", "tls_cert", "tls_key"} {
		q.Del(k)
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return f, fmt.Errorf("tls_ca: %w", err)
		}
		f.roots = x509.NewCertPool()
		if !f.roots.AppendCertsFromPEM(pem) {
			return f, fmt.Errorf("tls_ca: no certificate in %s", ca)
		}
	}
	if (cert == "") != (key == "") {
		return f, errors.New("tls_cert and tls_key belong together")
	}
	if cert != "" {
		c, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return f, fmt.Errorf("tls_cert, tls_key: %w", err)
		}
		f.certs = []tls.Certificate{c}
	}
	return f, nil
}

// apply puts the files into the configuration of a connection with TLS; without TLS c is nil.
func (f tlsFiles) apply(c *tls.Config) {
	if c == nil {
		return
	}
	c.MinVersion = tls.VersionTLS12
	c.RootCAs, c.Certificates = f.roots, f.certs
	c.ServerName = "" // each server is verified under the name it is dialled by
}
