package field

// Scanner finds several fields in a value at once, where values come one after the other and are alike: see Checker. What
// it does not find so is looked for as ever. Not safe for concurrent use.
type Scanner struct {
	checker Checker
	paths   [][]segment
	places  []int  // of each path in the shape: the step whose gap is its value, or one of those below
	marks   []mark // of the value at hand
	value   []byte
	fits    bool // whether the value at hand has the shape
}

const (
	elsewhere = -1 // an object or an array
	nowhere   = -2 // values of the shape have no such field
)

// Bind returns a reference like f that is looked for by the scanner.
func (s *Scanner) Bind(f Ref) Ref {
	if f.kind == inValue {
		f.scanner, f.slot = s, len(s.paths)
		s.paths = append(s.paths, f.path)
	}
	return f
}

// Bound reports whether there is anything to be looked for.
func (s *Scanner) Bound() bool { return len(s.paths) > 0 }

// Next takes the value that is read from now on. The references that were bound may be used for others too; those are
// looked for one by one. nil ends that: the value's memory may be used for another one then.
func (s *Scanner) Next(p []byte) {
	s.value, s.fits = p, false
	if len(s.paths) == 0 || len(p) < 8 {
		return
	}
	c := &s.checker
	if len(c.shape) > 0 {
		if s.fits = c.fits(p, s.marks); s.fits {
			c.hit()
			return
		}
		c.worth--
	}
	if c.stale() {
		s.learn(p)
	}
}

// learn takes the shape of p, and where the paths lead in it.
func (s *Scanner) learn(p []byte) {
	c := &s.checker
	c.shape = c.shape[:0]
	if !ValidJSON(p) {
		return
	}
	c.learn(p)
	s.marks = append(s.marks[:0], make([]mark, len(c.shape))...)
	if len(c.shape) == 0 || !c.fits(p, s.marks) {
		c.shape = c.shape[:0]
		return
	}
	s.places = s.places[:0]
	for _, path := range s.paths {
		from, to, _ := scan(p, path)
		place := elsewhere
		if to == 0 {
			place = nowhere
		}
		for k := range c.shape {
			if c.shape[k].gap != gapNone && place == elsewhere {
				if f, t := s.gap(k); f == from && t == to {
					place = k
				}
			}
		}
		s.places = append(s.places, place)
	}
}

// gap is where the value at the gap of step k is.
func (s *Scanner) gap(k int) (from, to int) {
	m := s.marks[k]
	if s.checker.shape[k].gap == gapText {
		return int(m.from) - 1, int(m.to) + 1 // with the quotes
	}
	return int(m.from), int(m.to)
}

// find is scan for one of the paths; ok is false if it can't tell.
func (s *Scanner) find(slot int, value []byte) (from, to int, ok bool) {
	if !s.fits || len(value) != len(s.value) || &value[0] != &s.value[0] {
		return 0, 0, false
	}
	switch k := s.places[slot]; k {
	case elsewhere:
		return 0, 0, false
	case nowhere:
		return 0, 0, true
	default:
		from, to = s.gap(k)
		return from, to, true
	}
}
