package lease

import "fmt"

// StandbyRules decide whose settings hold: true breaks one.
type StandbyRules struct {
	// Workers whose settings are not those of the one that started last take nothing, and give back what they hold.
	// Broken: every worker takes its part.
	NewestHolds bool
	// Of workers that started in the same millisecond, the one whose settings have the greater digest counts as the last.
	// Broken: each takes itself for it.
	TieBroken bool
}

// Standby models two workers with different settings that share two shards: each looks at who is there, gives back what it
// should not hold, and takes what is free. When nobody comes or goes any more, all shards must come under the settings of
// the one that started last, and stay there.
type Standby struct{ Broken StandbyRules }

// StandbyState is who holds which shard, and when each worker started.
type StandbyState struct {
	Started [2]uint8 // 0: not yet
	Holder  [2]uint8 // of each shard: worker + 1
}

// Round is a look of one worker at the shards, or its start.
type Round struct {
	Who     uint8
	Start   uint8 // when it starts; 0: it is a look
	Settled bool  // afterwards all shards are held under the settings that hold
}

func (r Round) String() string {
	if r.Start > 0 {
		return fmt.Sprintf("worker %d starts at %d", r.Who, r.Start)
	}
	return fmt.Sprintf("worker %d looks at the shards", r.Who)
}

// Settled reports whether a step left all shards where they belong.
func Settled(r Round) bool { return r.Settled }

// LookOf reports whether a step is a look of worker w.
func LookOf(w uint8) func(Round) bool {
	return func(r Round) bool { return r.Start == 0 && r.Who == w }
}

// Initial has nobody there.
func (m *Standby) Initial() (s StandbyState) { return s }

// Check: safety does not depend on it.
func (m *Standby) Check(*StandbyState) string { return "" }

// newest reports whether worker w takes its own settings for those that hold. Worker 1's have the greater digest.
func (m *Standby) newest(s *StandbyState, w uint8) bool {
	other := 1 - w
	switch {
	case s.Started[other] == s.Started[w]:
		return w == 1 || m.Broken.TieBroken
	default:
		return s.Started[w] > s.Started[other]
	}
}

// Next gives every step.
func (m *Standby) Next(s *StandbyState, step func(Round, StandbyState)) {
	for w := range uint8(2) {
		t := *s
		if s.Started[w] == 0 {
			for at := uint8(1); at <= 2; at++ { // clocks: which of them comes first does not tell who started first
				t.Started[w] = at
				step(Round{Who: w, Start: at}, t)
			}
			continue
		}
		part := 0
		if m.Broken.NewestHolds {
			part = 1
			if s.Started[1-w] == 0 {
				part = 2
			}
		} else if m.newest(s, w) {
			part = 2
		}
		held := 0
		for shard, holder := range s.Holder {
			switch {
			case holder == w+1 && held < part, holder == 0 && held < part:
				t.Holder[shard] = w + 1
				held++
			case holder == w+1:
				t.Holder[shard] = 0
			}
		}
		step(Round{Who: w, Settled: m.settled(&t)}, t)
	}
}

// settled: the shards are all held by the one whose settings hold; while not both have started, that is not decided yet.
func (m *Standby) settled(s *StandbyState) bool {
	if s.Started[0] == 0 || s.Started[1] == 0 {
		return true
	}
	last := uint8(2)
	if s.Started[0] > s.Started[1] {
		last = 1
	}
	return s.Holder == [2]uint8{last, last}
}
