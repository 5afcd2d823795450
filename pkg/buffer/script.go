package buffer

import (
	"context"
	_ "embed" // the scripts

	"github.com/redis/go-redis/v9"
)

// The scripts. Each says in its first lines what it is given and what it returns.
var (
	//go:embed lua/claim.lua
	claimScript string
	//go:embed lua/register.lua
	registerScript string
	//go:embed lua/lease_take.lua
	takeScript string
	//go:embed lua/lease_renew.lua
	renewScript string
	//go:embed lua/lease_release.lua
	releaseScript string
	//go:embed lua/beat.lua
	beatScript string
	//go:embed lua/forget.lua
	forgetScript string
	//go:embed lua/group.lua
	groupScript string
	//go:embed lua/publish.lua
	publishScript string
	//go:embed lua/enroll.lua
	enrollScript string
)

// allowOOM, as a script's first line, lets it write although Redis is full. It is added only after Redis refused: what
// stands in for Redis in tests and in the demo does not know it.
const allowOOM = "#!lua flags=allow-oom\n"

// must runs a script of which the writes have to pass even when Redis is full: they are tiny, and without them nobody
// could work on what fills it.
func must(ctx context.Context, rdb redis.Scripter, script string, keys []string, args ...any) *redis.Cmd {
	r := rdb.Eval(ctx, script, keys, args...)
	if fullMemory(r.Err()) {
		fullScripts.Inc()
		r = rdb.Eval(ctx, allowOOM+script, keys, args...)
	}
	return r
}

// full turns Redis's refusal for want of memory into ErrFull.
func full(err error) error {
	if fullMemory(err) {
		return ErrFull
	}
	return err
}
