package record

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// sensorValue is a plausible JSON value of about 200 bytes.
func sensorValue(r *rand.Rand, i int) []byte {
	return fmt.Appendf(nil, `{"device":{"id":"sensor-%04d","site":"hall %d"},"ts":%d,"temperature":%.2f,"humidity":%.1f,"pressure":%.2f,"ok":true,"status":"running","tags":["a%d","b"],"message":"cycle %d completed without faults"}`,
		r.IntN(1000), r.IntN(20), 1700000000000+int64(i)*7, 15+10*r.Float64(), 40+20*r.Float64(), 990+30*r.Float64(), r.IntN(9), i)
}

func sensorBatch(tb testing.TB, codec Codec, n int) Batch {
	tb.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	var b Builder
	for i := range n {
		b.Add(1700000000000+int64(i), nil, sensorValue(r, i))
	}
	p, err := b.Seal(Producer{ID: -1, Epoch: -1}, -1, false, codec)
	if err != nil {
		tb.Fatal(err)
	}
	v, _, err := ParseBatch(p)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func BenchmarkDecode(b *testing.B) {
	for codec := None; codec <= Zstd; codec++ {
		b.Run(codec.String(), func(b *testing.B) {
			const n = 1000
			v := sensorBatch(b, codec, n)
			var d Decoder
			size := 0
			b.ReportAllocs()
			for b.Loop() {
				d.Reset()
				if err := d.Decode(&v, &Record{Topic: "t"}, 0, func(r *Record) { size += len(r.Value) }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	for codec := None; codec <= Zstd; codec++ {
		b.Run(codec.String(), func(b *testing.B) {
			const n = 1000
			value := sensorValue(rand.New(rand.NewPCG(1, 2)), 0)
			var batch Builder
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				for i := range n {
					batch.Add(1700000000000+int64(i), nil, value)
				}
				if _, err := batch.Seal(Producer{ID: 1}, 0, true, codec); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/record")
		})
	}
}

// BenchmarkGrow fills a builder that has no memory yet to a mebibyte, with values of 20 KB: windows of 100 records.
func BenchmarkGrow(b *testing.B) {
	value := make([]byte, 20<<10)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		var batch Builder
		for batch.SizeWith(0, len(value), 0) <= 1<<20 {
			batch.Add(0, nil, value)
		}
	}
}

func BenchmarkCRC(b *testing.B) {
	v := sensorBatch(b, None, 1000)
	b.SetBytes(int64(len(v.Raw)))
	for b.Loop() {
		if err := v.CheckCRC(); err != nil {
			b.Fatal(err)
		}
	}
}
