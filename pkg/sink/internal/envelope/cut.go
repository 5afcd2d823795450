package envelope

// Span is a run of a window's records: those in [From, To) that are not left out.
type Span struct {
	From, To int
	Count    int // of those not left out
	Size     int // of their encoded values
}

// Cut cuts elements of these sizes, in bytes, into spans that with base bytes around them stay within limit, as few as
// keeping the order allows. An element too large even for a span of its own is left out: its index is appended to left and
// its size becomes negative. No elements at all make one empty span; if all are left out there is no span.
func Cut(spans []Span, left []int, sizes []int, base, limit int) ([]Span, []int) {
	room := limit - base
	at := Span{}
	for i, n := range sizes {
		switch {
		case n > room:
			sizes[i] = -n
			left = append(left, i)
			continue
		case at.Count > 0 && at.Size+n > room:
			spans = append(spans, at)
			at = Span{From: at.To}
		}
		at.To = i + 1
		at.Count++
		at.Size += n
	}
	if at.Count > 0 || len(sizes) == 0 && room >= 0 {
		spans = append(spans, at)
	}
	return spans, left
}
