package emit

// askEvery is how often a user's emitter is asked while records wait and none come, in milliseconds.
const askEvery = 1000

type custom struct {
	open
	timeless
	emitter Emitter
	waiting Waiting // kept to save an allocation
}

// NewCustom makes the strategy of a user's emitter.
func NewCustom(e Emitter) Strategy { return &custom{emitter: e} }

func (c *custom) Traits() Traits { return Traits{Asked: true, Turns: true} }

func (c *custom) Open(q *Queue, now, _ int64) { q.Due = now + askEvery }

func (c *custom) Ask(q *Queue, now int64) Cut {
	c.waiting = Waiting{Records: q.Records, Now: now, Since: q.Since}
	picked := c.emitter.Query(&c.waiting)
	if len(picked) > 0 && c.emitter.Ready(&c.waiting, picked) {
		return Cut{Reason: Ready, Picked: picked}
	}
	q.Due = now + askEvery
	return Cut{}
}
