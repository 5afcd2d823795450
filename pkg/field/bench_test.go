package field

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/pkg/record"
)

// sensorValues are plausible JSON values of about 200 bytes, each a little different from the next.
func sensorValues() (vs [][]byte) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		vs = append(vs, fmt.Appendf(nil, `{"device":{"id":"sensor-%d","site":"hall %d"},"ts":%d,"temperature":%.2f,"humidity":%.1f,"pressure":%.2f,"ok":%t,"status":"running","tags":["a%d","b"],"message":"cycle %d completed without faults"}`,
			r.IntN(1000), r.IntN(20), 1700000000000+i*7, 15*r.Float64(), 40+20*r.Float64(), 990+30*r.Float64(), i%3 == 0, r.IntN(9), r.IntN(1e5)))
	}
	return vs
}

func BenchmarkValidJSON(b *testing.B) {
	var alike, mixed Checker
	others := sensorValues()
	for i := range others {
		if i%2 == 1 { // another shape each time
			others[i] = fmt.Appendf(others[i][:len(others[i])-1], `,"more":[%s]}`, strings.Repeat("1,", i)+"1")
		}
	}
	for _, c := range []struct {
		name  string
		vs    [][]byte
		valid func([]byte) bool
	}{
		{"alike/Checker", sensorValues(), alike.Valid},
		{"alike/ValidJSON", sensorValues(), ValidJSON},
		{"alike/encoding-json", sensorValues(), json.Valid},
		{"mixed/Checker", others, mixed.Valid},
		{"mixed/ValidJSON", others, ValidJSON},
	} {
		vs := c.vs
		b.Run(c.name, func(b *testing.B) {
			i, bytes := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				if !c.valid(vs[i%len(vs)]) {
					b.Fatal("not valid")
				}
				bytes += len(vs[i%len(vs)])
				i++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(bytes)*200, "ns/200B")
		})
	}
}

func BenchmarkText(b *testing.B) {
	vs := sensorValues()
	for _, text := range []string{"device.id", "tags.1", "message", "no.such"} {
		b.Run(text, func(b *testing.B) {
			f, err := Parse(text)
			if err != nil {
				b.Fatal(err)
			}
			var buf []byte
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				buf, _ = f.Text(buf[:0], &record.Record{Value: vs[i%len(vs)]})
				i++
			}
		})
	}
}
