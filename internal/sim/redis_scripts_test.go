package sim

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// scripts are pkg/buffer's, text → name: the model does what each is said to do.
var scripts = func() map[string]string {
	m := map[string]string{}
	files, _ := filepath.Glob("../../pkg/buffer/lua/*.lua")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			panic(err)
		}
		m[string(text)] = strings.TrimSuffix(filepath.Base(f), ".lua")
	}
	if len(m) == 0 {
		panic("sim: pkg/buffer's scripts are not where they were")
	}
	return m
}()

const allowOOM = "#!lua flags=allow-oom\n"

// eval is EVAL script n keys… args…
func (r *redisModel) eval(o []byte, args [][]byte) []byte {
	text, allowed := strings.CutPrefix(string(args[1]), allowOOM)
	name, ok := scripts[text]
	if !ok {
		panic("sim: Redis does not know this script:\n" + text)
	}
	refused := r.full && !allowed
	key := string(args[3])
	argv := args[4:]
	switch name {
	case "lease_take":
		if k := r.get(key); k != nil && string(k.text) != string(argv[0]) {
			return appendInt(o, 0)
		}
		if refused {
			return append(o, oom...)
		}
		r.keys[key] = &redisKey{text: argv[0], expires: r.now() + atoi(argv[1])}
		r.touch(key)
		return appendInt(o, 1)
	case "lease_renew":
		k := r.get(key)
		if k == nil || string(k.text) != string(argv[0]) {
			return appendInt(o, 0)
		}
		k.expires = r.now() + atoi(argv[1])
		return appendInt(o, 1)
	case "lease_release":
		if k := r.get(key); k == nil || string(k.text) != string(argv[0]) {
			return appendInt(o, 0)
		}
		delete(r.keys, key)
		r.touch(key)
		return appendInt(o, 1)
	case "beat": // its first write passes also when Redis is full, and after it the others
		k := r.get(key)
		if k == nil {
			k = &redisKey{zset: map[string]int64{}}
			r.keys[key] = k
		}
		now := r.now()
		for m, at := range k.zset {
			if at <= now-atoi(argv[1]) || at > now {
				delete(k.zset, m)
			}
		}
		k.zset[string(argv[0])] = now
		return r.zrange(o, key)
	case "claim":
		return r.claim(o, key, argv, refused)
	case "register":
		return r.register(o, key, argv, refused)
	case "enroll":
		if k := r.get(key); k != nil && k.hash[string(argv[0])] != nil {
			return appendInt(o, 0)
		}
		if refused {
			return append(o, oom...)
		}
		r.hash(key)[string(argv[0])] = argv[1]
		r.touch(key)
		return appendInt(o, 1)
	case "publish":
		h := r.hash(key)
		for i := 0; i+1 < len(argv); i += 2 {
			h[string(argv[i])] = argv[i+1]
		}
		r.touch(key)
		r.w.check.published(key, argv)
		return appendInt(o, int64(len(argv)/2))
	case "group":
		if r.group(key, string(argv[0])) == nil {
			r.makeGroup(nil, key, string(argv[0]))
		}
		return appendInt(o, 1)
	case "forget":
		if g := r.group(key, string(argv[0])); g != nil {
			for _, c := range g.pending {
				if c == string(argv[1]) {
					return appendInt(o, 0)
				}
			}
			delete(g.consumers, string(argv[1]))
		}
		return appendInt(o, 1)
	}
	panic("sim: Redis has no model of the script " + name)
}

func (r *redisModel) claim(o []byte, key string, argv [][]byte, refused bool) []byte {
	names := []string{"shards", "shard_key", "start", "group", "isolation"}
	have := map[string][]byte{}
	if k := r.get(key); k != nil {
		have = k.hash
	}
	if have["shards"] != nil && (string(have["shards"]) != string(argv[0]) || string(have["shard_key"]) != string(argv[1])) {
		o = appendArray(o, 5)
		for _, n := range names {
			o = appendText(o, string(have[n]))
		}
		return o
	}
	for i, n := range names {
		if have[n] != nil && string(have[n]) == string(argv[i]) {
			continue
		}
		if refused {
			return append(o, oom...)
		}
		r.hash(key)[n] = argv[i]
		r.touch(key)
	}
	o = appendArray(o, 5)
	for i := range names {
		o = appendBulk(o, argv[i])
	}
	return o
}

func (r *redisModel) register(o []byte, key string, argv [][]byte, refused bool) []byte {
	shard := string(argv[0])
	have := ""
	if k := r.get(key); k != nil {
		have = string(k.hash[shard])
	}
	lanes := strings.Fields(have)
	added := int64(0)
	for _, l := range argv[1:] {
		known := false
		for _, x := range lanes {
			known = known || x == string(l)
		}
		if !known {
			lanes = append(lanes, string(l))
			added++
		}
	}
	if added > 0 || have == "" {
		if refused {
			return append(o, oom...)
		}
		r.hash(key)[shard] = []byte(strings.Join(lanes, " "))
		r.touch(key)
	}
	return appendInt(o, added)
}

func atoi(b []byte) int64 {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}
