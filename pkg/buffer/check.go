package buffer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// minMajor is the oldest version of Redis that will do: flags of scripts, and XTRIM MINID with groups as they are now.
const minMajor = 7

// Check connects and verifies the server, every master of a Cluster: version, and that it evicts nothing. ErrPolicy
// (wrapped, with the remedy) will not mend itself; any other error may.
func (b *Buffer) Check(ctx context.Context) error {
	var err error
	switch c := b.rdb.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return b.checkNode(ctx, node, true) })
	case *redis.Client:
		err = b.checkNode(ctx, c, false)
	}
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

func (b *Buffer) checkNode(ctx context.Context, c *redis.Client, cluster bool) error {
	if err := c.Ping(ctx).Err(); err != nil {
		return err
	}
	text, err := c.Info(ctx).Result()
	if err != nil && !answered(err) {
		return err
	}
	info := parseInfo(text)
	if v := info["redis_version"]; v != "" && info["valkey_version"] == "" {
		major, _, _ := strings.Cut(v, ".")
		if n, err := strconv.Atoi(major); err == nil && n < minMajor {
			return fmt.Errorf("%s has version %s: at least %d.0 is needed, or Valkey", c.Options().Addr, v, minMajor)
		}
	}
	if info["role"] == "slave" {
		return fmt.Errorf("%s is a replica: REDIS_URL must lead to the master (redis+sentinel:// finds it)", c.Options().Addr)
	}
	if info["cluster_enabled"] == "1" && !cluster {
		return fmt.Errorf("%s is a node of a Cluster: write redis+cluster:// in REDIS_URL", c.Options().Addr)
	}

	policy := info["maxmemory_policy"]
	if policy == "" {
		m, err := c.ConfigGet(ctx, "maxmemory-policy").Result()
		if err != nil && !answered(err) {
			return err
		}
		policy = m["maxmemory-policy"]
	}
	switch policy {
	case "noeviction":
		return nil
	case "":
		b.policyUnknown.Do(func() {
			b.log.Warn("redis does not say what it does when it is full: make sure that maxmemory-policy is noeviction", zap.String("redis", c.Options().Addr))
		})
		return nil
	}
	return fmt.Errorf("%w: %s has maxmemory-policy %s, and would drop records when it is full: CONFIG SET maxmemory-policy noeviction, and in its configuration file",
		ErrPolicy, c.Options().Addr, policy)
}

// answered reports whether the server refused the command, rather than being out of reach. A server that loads its data
// answers everything with an error and will do so for a while only.
func answered(err error) bool {
	var re redis.Error
	return errors.As(err, &re) && !strings.HasPrefix(err.Error(), "LOADING") && !strings.HasPrefix(err.Error(), "NOAUTH")
}

func parseInfo(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			m[k] = v
		}
	}
	return m
}
