package record

import "iter"

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte // nil: absent
}

// Headers yields the record's headers in order. The values alias the record.
func (r *Record) Headers() iter.Seq[Header] {
	return func(yield func(Header) bool) {
		for p, i := headersStart(r.headers); i < len(p); {
			var key, value []byte
			key, value, i = nextHeader(p, i)
			if i < 0 || !yield(Header{Key: string(key), Value: value}) {
				return
			}
		}
	}
}

// Header returns the last header named key. The value aliases the record.
func (r *Record) Header(key string) (value []byte, ok bool) {
	for p, i := headersStart(r.headers); i < len(p); {
		var k, v []byte
		k, v, i = nextHeader(p, i)
		if i < 0 {
			break
		}
		if string(k) == key {
			value, ok = v, true
		}
	}
	return value, ok
}

// SetHeaders replaces the record's headers.
func (r *Record) SetHeaders(hs ...Header) {
	r.headers = nil
	if len(hs) > 0 {
		r.headers = appendHeaders(make([]byte, 0, HeadersSize(hs...)), hs)
	}
}

// HeadersSize is what hs add to Record.Size and, as Builder.SizeWith counts them, to a batch, in bytes.
func HeadersSize(hs ...Header) int {
	if len(hs) == 0 {
		return 0
	}
	n := varintLen(int64(len(hs)))
	for _, h := range hs {
		n += varintLen(int64(len(h.Key))) + len(h.Key) + sizedLen(h.Value)
	}
	return n
}

func appendHeaders(dst []byte, hs []Header) []byte {
	dst = appendVarint(dst, int64(len(hs)))
	for _, h := range hs {
		dst = append(appendVarint(dst, int64(len(h.Key))), h.Key...)
		dst = appendSized(dst, h.Value)
	}
	return dst
}

// headersStart returns p and the index of its first header: the headers reach to p's end, see checkHeaders.
func headersStart(p []byte) ([]byte, int) {
	_, i := varint(p, 0)
	if i < 0 {
		return nil, 0
	}
	return p, i
}

// nextHeader reads the header at p[i:] and returns the index behind it, negative if there is none.
func nextHeader(p []byte, i int) (key, value []byte, next int) {
	key, i = sized(p, i)
	if i < 0 || key == nil {
		return nil, nil, -1
	}
	value, i = sized(p, i)
	return key, value, i
}

// checkHeaders reports whether p is a count and exactly as many headers. Every Record's headers have passed it, so that
// they can be copied into other batches unseen.
func checkHeaders(p []byte) bool {
	n, i := varint(p, 0)
	if i < 0 || n < 0 {
		return false
	}
	for ; n > 0 && i >= 0; n-- {
		_, _, i = nextHeader(p, i)
	}
	return i == len(p)
}
