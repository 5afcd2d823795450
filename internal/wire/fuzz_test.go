package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/windrow-io/windrow/internal/fuzztest"
	"github.com/windrow-io/windrow/pkg/record"
)

// answering is a connection on which every request is answered by the same bytes, under its own number; the first one by
// others, if there are any.
type answering struct {
	first, body []byte
	out         bytes.Buffer
}

func (a *answering) Write(p []byte) (int, error) {
	if len(p) >= 12 { // size, call, version, number
		body := a.body
		if a.first != nil {
			body, a.first = a.first, nil
		}
		a.out.Reset()
		_ = binary.Write(&a.out, binary.BigEndian, int32(len(body)+4))
		a.out.Write(p[8:12])
		a.out.Write(body)
	}
	return len(p), nil
}

func (a *answering) Read(p []byte) (int, error) { return a.out.Read(p) }

// FuzzAnswers gives every call arbitrary bytes as the broker's answer: nothing panics, what makes no sense is an error,
// and a length in it takes no memory that is not there.
func FuzzAnswers(f *testing.F) {
	for call := range uint8(8) {
		f.Add(call, uint8(11), []byte{})
		f.Add(call, uint8(4), make([]byte, 80))
		f.Add(call, uint8(11), bytes.Repeat([]byte{0, 0, 0, 1}, 40))
		f.Add(call, uint8(8), bytes.Repeat([]byte{0x7f, 0xff, 0xff, 0xff}, 20))
	}
	fetch := binary.BigEndian.AppendUint32(nil, 0) // throttle
	fetch = append(fetch, 0, 0, 0, 0, 0, 0)        // code, session
	fetch = append(fetch, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	fetch = append(fetch, make([]byte, 24)...)
	fetch = append(fetch, 0, 0, 0, 1)
	fetch = append(fetch, make([]byte, 16)...)
	fetch = append(fetch, 0, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 'c')
	f.Add(uint8(0), uint8(11), fetch)
	c := New(Config{Brokers: []string{"127.0.0.1:1"}, ClientID: "fuzz"})
	f.Fuzz(func(t *testing.T, call, version uint8, body []byte) {
		v := map[protocol.ApiKey]int16{}
		for _, api := range []protocol.ApiKey{protocol.Fetch, protocol.Produce, protocol.Metadata, protocol.ListOffsets,
			protocol.InitProducerId, protocol.AddPartitionsToTxn, protocol.EndTxn, protocol.FindCoordinator, protocol.ApiVersions} {
			v[api] = int16(version % 16)
		}
		conn := &answering{body: body}
		if call%5 == 2 { // the broker says that it knows the version of Metadata, from 8 to 11
			conn.first = []byte{0, 0, 0, 0, 0, 1, 0, byte(protocol.Metadata), 0, 0, 0, 8 + version%4}
		}
		l := &line{rw: conn, e: &exchange{cluster: c, versions: v}}
		var err error
		fuzztest.Bounded(t, 1<<20+64*len(body), func() {
			switch call % 5 {
			case 0:
				var res *FetchResponse
				res, err = l.fetch(&FetchRequest{Partitions: []FetchPartition{{Topic: "t"}}, MaxBytes: 1 << 20})
				if err == nil {
					size := 0
					for i := range res.Partitions {
						size += len(res.Partitions[i].Records)
					}
					if size > len(body) {
						t.Errorf("%d bytes of records in an answer of %d", size, len(body))
					}
				}
			case 1:
				var b record.Builder
				b.Add(1, nil, []byte("x"))
				p, serr := b.Seal(record.Producer{}, 0, false, record.None)
				if serr != nil {
					t.Fatal(serr)
				}
				var res []Produced
				if res, err = l.produce("", []Raw{{Topic: "t", Bytes: p}}, time.Second); err == nil && len(res) != 1 {
					t.Errorf("%d results of one batch", len(res))
				}
			case 2:
				_, err = l.topics([]string{"t"})
			case 3:
				_, err = l.offsets("t", []int32{0}, Latest, false)
			case 4:
				_, err = l.newest(protocol.Metadata)
			}
		})
		if err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
		if errors.Is(err, io.EOF) {
			t.Errorf("the end of the answer is taken for the connection's: %v", err)
		}
	})
}
