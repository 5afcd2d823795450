package record_test

import (
	"fmt"

	"github.com/windrow-io/windrow/pkg/record"
)

// A batch is built, sealed for a producer, and read back from its third offset on.
func Example() {
	var b record.Builder
	for i := range 4 {
		b.Add(1700000000000, []byte("sensor"), fmt.Appendf(nil, `{"n":%d}`, i), record.Header{Key: "unit", Value: []byte("°C")})
	}
	raw, err := b.Seal(record.Producer{ID: 7}, 0, false, record.LZ4)
	if err != nil {
		panic(err)
	}

	batch, _, err := record.ParseBatch(raw)
	if err != nil {
		panic(err)
	}
	if err := batch.CheckCRC(); err != nil {
		panic(err)
	}
	fmt.Println(batch.Count, "records,", batch.Codec(), "up to offset", batch.Next())

	var d record.Decoder
	if err := d.Decode(&batch, &record.Record{Topic: "events"}, 2, func(r *record.Record) {
		unit, _ := r.Header("unit")
		fmt.Printf("%s/%d %s=%s %s\n", r.Topic, r.Offset, r.Key, r.Value, unit)
	}); err != nil {
		panic(err)
	}
	// Output:
	// 4 records, lz4 up to offset 4
	// events/2 sensor={"n":2} °C
	// events/3 sensor={"n":3} °C
}
