package record

import "errors"

var errBinary = errors.New("stored record is corrupt")

// AppendBinary appends r, with all its fields, in the form that checkpoints use; ReadBinary reads it back.
func (r *Record) AppendBinary(dst []byte) []byte {
	dst = appendVarint(dst, int64(len(r.Topic)))
	dst = append(dst, r.Topic...)
	dst = appendVarint(dst, int64(r.Partition))
	dst = appendVarint(dst, r.Offset)
	dst = appendVarint(dst, r.Timestamp)
	dst = appendVarint(dst, r.Received)
	dst = appendSized(dst, r.Key)
	dst = appendSized(dst, r.Value)
	return appendSized(dst, r.headers)
}

// ReadBinary reads a record written by AppendBinary from src into r, aliasing src, and returns what follows it. The topic
// is a string of its own, kept if r has the same already. After an error r is not to be used.
func (r *Record) ReadBinary(src []byte) (rest []byte, err error) {
	topic, i := sized(src, 0)
	partition, i := varint(src, i)
	offset, i := varint(src, i)
	timestamp, i := varint(src, i)
	received, i := varint(src, i)
	key, i := sized(src, i)
	value, i := sized(src, i)
	headers, i := sized(src, i)
	if i < 0 || topic == nil || partition != int64(int32(partition)) || headers != nil && !checkHeaders(headers) {
		return nil, errBinary
	}
	if r.Topic != string(topic) {
		r.Topic = string(topic)
	}
	r.Partition = int32(partition)
	r.Offset, r.Timestamp, r.Received = offset, timestamp, received
	r.Key, r.Value, r.headers = key, value, headers
	return src[i:], nil
}
