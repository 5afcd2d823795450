// Package windowjson gives a window the form that sinks write by default, for those who are no sink.
package windowjson

import (
	"math"

	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/internal/envelope"
	"github.com/windrow-io/windrow/pkg/window"
)

// Append appends w as one JSON object, however large, with all its records.
func Append(dst []byte, w *window.Window) []byte {
	var enc envelope.Encoder
	parts, _ := enc.Plan(w, w.ID(0), sink.OutputWindow, math.MaxInt)
	return enc.Append(dst, &parts[0])
}
