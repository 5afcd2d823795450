package sim

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// redisModel is a Redis, as far as pkg/buffer uses one: strings with a time to live, hashes, sorted sets, streams with
// consumer groups, MULTI under WATCH, scripts, and a memory that can be full. What it has written may be lost, in part or
// whole: it is rolled back to an earlier moment, as by a fail-over to a replica, or emptied.
type redisModel struct {
	w      *world
	keys   map[string]*redisKey
	vers   map[string]int // how often a key was changed, for WATCH
	ahead  time.Duration  // of its clock before the world's
	full   bool
	server int // which one it is; what was sent to one before has no effect on it
	conns  []*redisConn
	saves  []map[string]*redisKey // earlier states, the oldest first
}

// redisKey is one key's value; one of the fields is set.
type redisKey struct {
	text    []byte
	expires int64 // Unix milliseconds; 0: never
	hash    map[string][]byte
	zset    map[string]int64
	stream  *redisStream
}

type redisStream struct {
	entries []redisEntry
	last    entryID
	groups  map[string]*redisGroup
}

type entryID struct{ ms, seq int64 }

func (a entryID) after(b entryID) bool { return a.ms > b.ms || a.ms == b.ms && a.seq > b.seq }

func (a entryID) String() string {
	return strconv.FormatInt(a.ms, 10) + "-" + strconv.FormatInt(a.seq, 10)
}

type redisEntry struct {
	id     entryID
	fields [][]byte
}

type redisGroup struct {
	last      entryID
	pending   map[entryID]string // entry → consumer
	consumers map[string]bool
}

func newRedis(w *world) *redisModel {
	return &redisModel{w: w, keys: map[string]*redisKey{}, vers: map[string]int{}}
}

func (r *redisModel) now() int64 { return time.Now().Add(r.ahead).UnixMilli() }

func (r *redisModel) get(key string) *redisKey {
	k := r.keys[key]
	if k != nil && k.expires > 0 && k.expires <= r.now() {
		delete(r.keys, key)
		r.vers[key]++
		return nil
	}
	return k
}

func (r *redisModel) touch(key string) { r.vers[key]++ }

func (r *redisModel) hash(key string) map[string][]byte {
	k := r.get(key)
	if k == nil {
		k = &redisKey{hash: map[string][]byte{}}
		r.keys[key] = k
	}
	return k.hash
}

func (r *redisModel) stream(key string) *redisStream {
	if k := r.get(key); k != nil {
		return k.stream
	}
	return nil
}

func (r *redisModel) makeStream(key string) *redisStream {
	s := r.stream(key)
	if s == nil {
		s = &redisStream{groups: map[string]*redisGroup{}}
		r.keys[key] = &redisKey{stream: s}
	}
	return s
}

// clone copies a state; values that never change are shared.
func clone(keys map[string]*redisKey) map[string]*redisKey {
	c := make(map[string]*redisKey, len(keys))
	for name, k := range keys {
		n := &redisKey{text: k.text, expires: k.expires, hash: maps.Clone(k.hash), zset: maps.Clone(k.zset)}
		if s := k.stream; s != nil {
			n.stream = &redisStream{entries: slices.Clone(s.entries), last: s.last, groups: map[string]*redisGroup{}}
			for g, x := range s.groups {
				n.stream.groups[g] = &redisGroup{x.last, maps.Clone(x.pending), maps.Clone(x.consumers)}
			}
		}
		c[name] = n
	}
	return c
}

// save keeps the state as one that a fail-over may go back to.
func (r *redisModel) save() {
	r.saves = append(r.saves, clone(r.keys))
	if len(r.saves) > 6 {
		r.saves = r.saves[1:]
	}
}

// failOver goes back to an earlier state, at another server with a clock of its own: every connection is cut.
func (r *redisModel) failOver() {
	if len(r.saves) == 0 {
		return
	}
	i := r.w.rnd.IntN(len(r.saves))
	r.w.note("redis fails over to the state %d saves ago", len(r.saves)-i)
	r.cutAll()
	r.server++
	r.keys = clone(r.saves[i])
	r.saves = r.saves[:i+1]
	if r.w.chance(2) {
		r.stepClock()
	}
	r.w.count("redis fail-over")
}

// stepClock sets its clock to some time about the world's.
func (r *redisModel) stepClock() {
	r.setClock(time.Duration(r.w.rnd.Int64N(int64(2*time.Second))) - time.Second)
}

func (r *redisModel) setClock(ahead time.Duration) {
	r.ahead = ahead
	r.w.note("redis's clock is %v ahead", r.ahead)
	r.w.count("redis clock step")
}

// flush is FLUSHALL.
func (r *redisModel) flush() {
	for key := range r.keys {
		r.touch(key)
	}
	r.keys = map[string]*redisKey{}
	r.w.note("redis is emptied")
	r.w.count("redis emptied")
}

// cutAll cuts every connection: what was asked on it and not answered is unknown to who asked.
func (r *redisModel) cutAll() {
	for _, c := range slices.Clone(r.w.calls) {
		if c.cut != nil {
			if !c.begun && r.w.chance(2) {
				c.finish()
			}
			r.w.deliver(c, reply{err: errCut})
		}
	}
	// Of idle ones the client notices before it uses them again. A WATCH is lost with its connection.
	for _, c := range r.conns {
		if c.s.watched != nil {
			c.dead = true
		}
	}
	r.conns = slices.DeleteFunc(r.conns, func(c *redisConn) bool { return c.dead })
}

// session is a connection's state at the server.
type session struct {
	multi   bool
	queued  [][][]byte
	aborted bool
	watched map[string]int
}

// do executes one command and appends its answer. done is false for one that blocks: it is to be tried again when ready
// says so, at the latest at until.
func (r *redisModel) do(s *session, args [][]byte, out *[]byte, blocked *block) (done bool) {
	name := strings.ToUpper(string(args[0]))
	switch name {
	case "MULTI":
		s.multi, s.queued, s.aborted = true, nil, false
		*out = append(*out, "+OK\r\n"...)
		return true
	case "EXEC":
		r.exec(s, out)
		return true
	case "WATCH":
		if s.watched == nil {
			s.watched = map[string]int{}
		}
		for _, k := range args[1:] {
			r.get(string(k)) // lets it expire
			s.watched[string(k)] = r.vers[string(k)]
		}
		*out = append(*out, "+OK\r\n"...)
		return true
	}
	if r.full && denied[name] {
		s.aborted = true
		*out = append(*out, oom...)
		return true
	}
	if s.multi {
		s.queued = append(s.queued, args)
		*out = append(*out, "+QUEUED\r\n"...)
		return true
	}
	return r.command(name, args, out, blocked)
}

func (r *redisModel) exec(s *session, out *[]byte) {
	queued, aborted, watched := s.queued, s.aborted, s.watched
	*s = session{}
	if aborted {
		*out = append(*out, "-EXECABORT Transaction discarded because of previous errors.\r\n"...)
		return
	}
	for k, v := range watched {
		r.get(k)
		if r.vers[k] != v {
			if len(queued) > 0 {
				r.w.count("append refused: the tail had moved")
			}
			*out = append(*out, "*-1\r\n"...)
			return
		}
	}
	*out = fmt.Appendf(*out, "*%d\r\n", len(queued))
	for _, args := range queued {
		r.command(strings.ToUpper(string(args[0])), args, out, nil)
	}
}

// denied are the commands that a full Redis refuses.
var denied = map[string]bool{"XADD": true, "HSET": true, "SET": true, "ZADD": true, "XGROUP": true}

const oom = "-OOM command not allowed when used memory > 'maxmemory'.\r\n"

func appendBulk(out []byte, b []byte) []byte {
	if b == nil {
		return append(out, "$-1\r\n"...)
	}
	out = append(strconv.AppendInt(append(out, '$'), int64(len(b)), 10), "\r\n"...)
	return append(append(out, b...), "\r\n"...)
}

func appendText(out []byte, s string) []byte { return appendBulk(out, []byte(s)) }

func appendArray(out []byte, n int) []byte {
	return append(strconv.AppendInt(append(out, '*'), int64(n), 10), "\r\n"...)
}

func appendInt(out []byte, n int64) []byte {
	return append(strconv.AppendInt(append(out, ':'), n, 10), "\r\n"...)
}

func appendEntries(out []byte, es []redisEntry) []byte {
	out = appendArray(out, len(es))
	for _, e := range es {
		out = appendArray(out, 2)
		out = appendText(out, e.id.String())
		out = appendArray(out, len(e.fields))
		for _, f := range e.fields {
			out = appendBulk(out, f)
		}
	}
	return out
}

func parseID(b []byte) (id entryID) {
	ms, seq, _ := bytes.Cut(b, []byte("-"))
	id.ms, _ = strconv.ParseInt(string(ms), 10, 64)
	id.seq, _ = strconv.ParseInt(string(seq), 10, 64)
	return id
}

// command executes one command outside MULTI, or within EXEC.
func (r *redisModel) command(name string, args [][]byte, out *[]byte, blocked *block) (done bool) {
	key := ""
	if len(args) > 1 {
		key = string(args[1])
	}
	o := *out
	defer func() { *out = o }()
	switch name {
	case "PING":
		o = append(o, "+PONG\r\n"...)
	case "INFO":
		o = appendText(o, "redis_version:7.2.0\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n")
	case "TIME":
		now := time.Now().Add(r.ahead)
		o = appendArray(o, 2)
		o = appendText(o, strconv.FormatInt(now.Unix(), 10))
		o = appendText(o, strconv.Itoa(now.Nanosecond()/1000))
	case "TYPE":
		kind := "none"
		if k := r.get(key); k != nil && k.stream != nil {
			kind = "stream"
		} else if k != nil {
			kind = "hash"
		}
		o = append(append(append(o, '+'), kind...), "\r\n"...)
	case "EXISTS":
		n := int64(0)
		if r.get(key) != nil {
			n = 1
		}
		o = appendInt(o, n)
	case "GET":
		if k := r.get(key); k != nil {
			o = appendBulk(o, k.text)
		} else {
			o = appendBulk(o, nil)
		}
	case "HSET":
		h := r.hash(key)
		for i := 2; i+1 < len(args); i += 2 {
			h[string(args[i])] = args[i+1]
		}
		r.touch(key)
		r.w.check.published(key, args[2:])
		o = appendInt(o, int64(len(args)/2-1))
	case "HGET", "HMGET":
		k := r.get(key)
		if name == "HMGET" {
			o = appendArray(o, len(args)-2)
		}
		for _, f := range args[2:] {
			if k == nil {
				o = appendBulk(o, nil)
			} else {
				o = appendBulk(o, k.hash[string(f)])
			}
		}
	case "HGETALL":
		k := r.get(key)
		if k == nil {
			o = appendArray(o, 0)
			break
		}
		o = appendArray(o, 2*len(k.hash))
		for _, f := range slices.Sorted(maps.Keys(k.hash)) {
			o = appendText(o, f)
			o = appendBulk(o, k.hash[f])
		}
	case "ZREM":
		if k := r.get(key); k != nil {
			delete(k.zset, string(args[2]))
		}
		o = appendInt(o, 1)
	case "ZRANGE":
		o = r.zrange(o, key)
	case "XADD":
		s := r.makeStream(key)
		id := entryID{r.now(), 0}
		if !id.after(s.last) {
			id = entryID{s.last.ms, s.last.seq + 1}
		}
		r.w.check.appended(key, s, args[3:])
		s.entries = append(s.entries, redisEntry{id, args[3:]})
		s.last = id
		r.touch(key)
		o = appendText(o, id.String())
	case "XRANGE":
		s := r.stream(key)
		if s == nil {
			o = appendArray(o, 0)
			break
		}
		i := 0
		if from := args[2]; from[0] == '(' {
			after := parseID(from[1:])
			i, _ = slices.BinarySearchFunc(s.entries, after, func(e redisEntry, id entryID) int {
				if e.id.after(id) {
					return 1
				}
				return -1
			})
		}
		n, _ := strconv.Atoi(string(args[5]))
		o = appendEntries(o, s.entries[i:min(i+n, len(s.entries))])
	case "XREAD":
		return r.read(args, &o, blocked)
	case "XREADGROUP":
		return r.readGroup(args, &o, blocked)
	case "XGROUP":
		o = r.makeGroup(o, string(args[2]), string(args[3]))
	case "XPENDING":
		g := r.group(key, string(args[2]))
		if g == nil {
			o = append(o, "-NOGROUP No such key or consumer group\r\n"...)
			break
		}
		end := parseID(args[4])
		n, _ := strconv.Atoi(string(args[5]))
		ids := r.pending(g, end, n)
		o = appendArray(o, len(ids))
		for _, id := range ids {
			o = appendArray(o, 4)
			o = appendText(o, id.String())
			o = appendText(o, g.pending[id])
			o = appendInt(appendInt(o, 0), 1)
		}
	case "XACK":
		if g := r.group(key, string(args[2])); g != nil {
			for _, id := range args[3:] {
				delete(g.pending, parseID(id))
			}
		}
		o = appendInt(o, int64(len(args)-3))
	case "XTRIM":
		n := 0
		if s := r.stream(key); s != nil {
			from := parseID(args[len(args)-1]) // MINID = id
			for n < len(s.entries) && from.after(s.entries[n].id) {
				n++
			}
			s.entries = s.entries[n:]
			if n > 0 {
				r.touch(key)
				r.w.count("lane trimmed")
			}
		}
		o = appendInt(o, int64(n))
	case "XLEN":
		n := 0
		if s := r.stream(key); s != nil {
			n = len(s.entries)
		}
		o = appendInt(o, int64(n))
	case "MEMORY": // USAGE key SAMPLES n
		o = r.memory(o, string(args[2]))
	case "XINFO":
		o = appendArray(o, 0)
	case "EVAL":
		o = r.eval(o, args)
	default:
		o = fmt.Appendf(o, "-ERR unknown command '%s'\r\n", name)
	}
	return true
}

// memory is what a stream's entries take, or null.
func (r *redisModel) memory(o []byte, key string) []byte {
	s := r.stream(key)
	if s == nil {
		return appendBulk(o, nil)
	}
	n := 0
	for _, e := range s.entries {
		for _, f := range e.fields {
			n += len(f)
		}
	}
	return appendInt(o, int64(n))
}

func (r *redisModel) zrange(o []byte, key string) []byte {
	k := r.get(key)
	if k == nil {
		return appendArray(o, 0)
	}
	o = appendArray(o, len(k.zset))
	for _, m := range slices.Sorted(maps.Keys(k.zset)) {
		o = appendText(o, m)
	}
	return o
}

func (r *redisModel) group(key, name string) *redisGroup {
	if s := r.stream(key); s != nil {
		return s.groups[name]
	}
	return nil
}

func (r *redisModel) makeGroup(o []byte, key, name string) []byte {
	s := r.makeStream(key)
	if s.groups[name] != nil {
		return append(o, "-BUSYGROUP Consumer Group name already exists\r\n"...)
	}
	s.groups[name] = &redisGroup{pending: map[entryID]string{}, consumers: map[string]bool{}}
	return append(o, "+OK\r\n"...)
}

// pending are the group's pending entries up to end, in order.
func (r *redisModel) pending(g *redisGroup, end entryID, n int) (ids []entryID) {
	for id := range g.pending {
		if !id.after(end) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b entryID) int {
		if a.after(b) {
			return 1
		}
		return -1
	})
	return ids[:min(n, len(ids))]
}

// block is what a blocking command waits for.
type block struct {
	until time.Time
	ready func() bool
}

// readGroup is XREADGROUP GROUP g c COUNT n [BLOCK ms] STREAMS key … > …
func (r *redisModel) readGroup(args [][]byte, out *[]byte, blocked *block) (done bool) {
	name, consumer := string(args[2]), string(args[3])
	count, _ := strconv.Atoi(string(args[5]))
	wait, keys, _ := streams(args[6:])
	first := blocked == nil || blocked.ready == nil
	got := 0
	var answer []byte
	for _, k := range keys {
		s, g := r.stream(string(k)), r.group(string(k), name)
		if g == nil {
			word := "NOGROUP No such key '" + string(k) + "' or consumer group '" + name + "' in XREADGROUP with GROUP option"
			if !first {
				word = "UNBLOCKED the stream key no longer exists"
			}
			r.w.count("no group")
			*out = append(append(append(*out, '-'), word...), "\r\n"...)
			return true
		}
		g.consumers[consumer] = true
		var es []redisEntry
		for _, e := range s.entries {
			if e.id.after(g.last) && len(es) < count {
				es = append(es, e)
			}
		}
		if len(es) == 0 {
			continue
		}
		for _, e := range es {
			g.pending[e.id] = consumer
		}
		g.last = es[len(es)-1].id
		got++
		answer = appendArray(answer, 2)
		answer = appendBulk(answer, k)
		answer = appendEntries(answer, es)
	}
	if got > 0 {
		*out = append(appendArray(*out, got), answer...)
		return true
	}
	return r.wait(out, blocked, wait, func() bool {
		for _, k := range keys {
			s, g := r.stream(string(k)), r.group(string(k), name)
			if g == nil || len(s.entries) > 0 && s.entries[len(s.entries)-1].id.after(g.last) {
				return true
			}
		}
		return false
	})
}

// wait lets a command that has nothing to answer with block until ready, or answers null.
func (r *redisModel) wait(out *[]byte, blocked *block, d time.Duration, ready func() bool) (done bool) {
	first := blocked == nil || blocked.ready == nil
	if d < 0 || blocked == nil || !first && !blocked.until.After(time.Now()) {
		*out = append(*out, "*-1\r\n"...)
		return true
	}
	if first {
		blocked.until = time.Now().Add(d)
	}
	blocked.ready = ready
	return false
}

// streams reads the end of XREAD's and XREADGROUP's arguments: [BLOCK ms] STREAMS key … from …; wait < 0: don't block.
func streams(args [][]byte) (wait time.Duration, keys, from [][]byte) {
	wait = -1
	if string(args[0]) == "BLOCK" {
		ms, _ := strconv.Atoi(string(args[1]))
		wait, args = time.Duration(ms)*time.Millisecond, args[2:]
	}
	n := len(args[1:]) / 2
	return wait, args[1 : 1+n], args[1+n:]
}

// read is XREAD COUNT n [BLOCK ms] STREAMS key … id …
func (r *redisModel) read(args [][]byte, out *[]byte, blocked *block) (done bool) {
	count, _ := strconv.Atoi(string(args[2]))
	wait, keys, from := streams(args[3:])
	got := 0
	var answer []byte
	for i, k := range keys {
		s := r.stream(string(k))
		if s == nil {
			continue
		}
		after := parseID(from[i])
		var es []redisEntry
		for _, e := range s.entries {
			if e.id.after(after) && len(es) < count {
				es = append(es, e)
			}
		}
		if len(es) == 0 {
			continue
		}
		got++
		answer = appendArray(answer, 2)
		answer = appendBulk(answer, k)
		answer = appendEntries(answer, es)
	}
	if got > 0 {
		*out = append(appendArray(*out, got), answer...)
		return true
	}
	return r.wait(out, blocked, wait, func() bool {
		for i, k := range keys {
			if s := r.stream(string(k)); s != nil && len(s.entries) > 0 && s.entries[len(s.entries)-1].id.after(parseID(from[i])) {
				return true
			}
		}
		return false
	})
}
