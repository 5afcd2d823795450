package aggregate

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/windrow-io/windrow/pkg/field"
)

type function int

const (
	count function = iota
	sum
	avg
	least
	most
	stddev
	first
	last
	distinct
	approx
	percentile
	top
	collect
)

var functions = map[string]function{
	"count": count, "sum": sum, "avg": avg, "min": least, "max": most, "stddev": stddev, "first": first, "last": last,
	"distinct": distinct, "distinct_approx": approx, "top": top, "collect": collect,
}

const known = "count, sum, avg, min, max, stddev, first, last, distinct, distinct_approx, p50 to p99.9, top, collect"

// maxList bounds how many values top and collect(f, n) may give.
const maxList = 100_000

// Parse reads a list like `count() as n, sum(price), p95(latency.ms) as slow`. A name that is not given is the function's
// and the field's: sum_price. Errors tell the column, from 1, and all that is wrong at once.
func Parse(text string) (*Plan, error) {
	p := &Plan{words: 1}
	var errs []error
	names := map[string]bool{}
	for _, part := range split(text) {
		it, args, err := parseItem(part.text)
		if err == nil {
			err = p.add(it, args)
		}
		if err == nil && names[p.items[len(p.items)-1].name] {
			err = fmt.Errorf("the name %q is taken: add `as` and another", p.items[len(p.items)-1].name)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("column %d, %s: %w", part.column, strings.TrimSpace(part.text), err))
			continue
		}
		names[p.items[len(p.items)-1].name] = true
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return p, nil
}

type part struct {
	text   string
	column int
}

// split takes a list apart at the commas outside parentheses.
func split(text string) (parts []part) {
	depth, from := 0, 0
	end := func(to int) {
		t := text[from:to]
		parts = append(parts, part{t, from + len(t) - len(strings.TrimLeft(t, " \t")) + 1})
		from = to + 1
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			end(i)
		}
	}
	end(len(text))
	return parts
}

func parseItem(text string) (it item, args []string, err error) {
	text = strings.TrimSpace(text)
	open := strings.IndexByte(text, '(')
	if open < 0 {
		return it, nil, errors.New("write function(field), as in sum(price)")
	}
	word := strings.TrimSpace(text[:open])
	inside, rest, ok := strings.Cut(text[open+1:], ")")
	if !ok {
		return it, nil, errors.New("the parenthesis is not closed")
	}
	f, ok := functions[strings.ToLower(word)]
	if digits, isP := strings.CutPrefix(strings.ToLower(word), "p"); !ok && isP {
		if it.arg, err = strconv.ParseFloat(digits, 64); err == nil {
			if it.arg <= 0 || it.arg >= 100 {
				return it, nil, errors.New("a percentile is between 0 and 100")
			}
			f, ok = percentile, true
		}
	}
	if !ok {
		return it, nil, fmt.Errorf("there is no function %q: use one of %s", word, known)
	}
	it.f = f
	if inside = strings.TrimSpace(inside); inside != "" {
		for arg := range strings.SplitSeq(inside, ",") {
			args = append(args, strings.TrimSpace(arg))
		}
	}
	it.name = strings.ToLower(word)
	if len(args) > 0 {
		it.name += "_" + strings.Map(plain, args[0])
	}
	if rest = strings.TrimSpace(rest); rest != "" {
		as, name, _ := strings.Cut(rest, " ")
		if it.name = strings.TrimSpace(name); !strings.EqualFold(as, "as") || it.name == "" || strings.ContainsAny(it.name, " ()\"") {
			return it, nil, fmt.Errorf("%q can't follow: write `as` and a name", rest)
		}
	}
	return it, args, nil
}

// plain is a letter as a name may have it.
func plain(c rune) rune {
	if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
		return c
	}
	return '_'
}

func (p *Plan) add(it item, args []string) error {
	it.field, it.more = -1, -1
	most, listed := 1, it.f == top || it.f == collect
	if listed {
		most = 2
	}
	switch {
	case len(args) > most:
		return fmt.Errorf("it has %d arguments, at most %d are used", len(args), most)
	case len(args) == 0 && it.f == count:
		p.items = append(p.items, it)
		return nil
	case len(args) == 0:
		return errors.New("it needs a field")
	case len(args) < 2 && it.f == top:
		return errors.New("it needs a number: top(field, 10)")
	}
	if len(args) == 2 {
		n, err := strconv.Atoi(args[1])
		if err != nil || n < 1 || n > maxList {
			return fmt.Errorf("%q is no number between 1 and %d", args[1], maxList)
		}
		it.arg = float64(n)
	}
	ref, err := field.Parse(args[0])
	if err != nil {
		return err
	}
	it.field = slices.IndexFunc(p.fields, func(u use) bool { return u.ref.String() == ref.String() })
	if it.field < 0 {
		it.field = len(p.fields)
		p.fields = append(p.fields, use{ref: ref, n: -1, sum: -1, least: -1, most: -1, mean: -1})
	}
	u := &p.fields[it.field]
	p.want(u, it.f)
	if make := maker(it.f, it.arg); make != nil {
		it.more = len(p.more)
		if same := slices.IndexFunc(p.items, func(o item) bool { return it.f == percentile && o.f == percentile && o.field == it.field }); same >= 0 {
			it.more = p.items[same].more // one sketch for all percentiles
			it.shared = true
		} else {
			p.more = append(p.more, make)
		}
	}
	p.items = append(p.items, it)
	return nil
}

// want makes room for what a function needs of the numbers in a field.
func (p *Plan) want(u *use, f function) {
	take := func(at *int, words int) {
		if *at < 0 {
			*at = p.words
			p.words += words
		}
	}
	u.needed = u.needed || f != count
	switch f {
	case count:
		take(&u.n, 1)
		return
	case sum, avg:
		take(&u.sum, 2)
	case least:
		take(&u.least, 1)
	case most:
		take(&u.most, 1)
	case stddev:
		take(&u.mean, 2)
	case percentile:
	default:
		return
	}
	u.numeric = true
	take(&u.n, 1)
}
