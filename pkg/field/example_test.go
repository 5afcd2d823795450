package field_test

import (
	"errors"
	"fmt"

	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/record"
)

func ExampleRef_Text() {
	r := record.Record{Topic: "events", Value: []byte(`{"device":{"id":"d1","tags":["hot","dry"]},"a.b":2}`)}
	for _, text := range []string{"device.id", "device.tags.1", `a\.b`, "@topic", "site"} {
		f, err := field.Parse(text)
		if err != nil {
			panic(err)
		}
		value, err := f.Text(nil, &r)
		if errors.Is(err, field.ErrMissing) {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%s = %s\n", f, value)
	}
	// Output:
	// device.id = d1
	// device.tags.1 = dry
	// a\.b = 2
	// @topic = events
	// site: no such field
}
