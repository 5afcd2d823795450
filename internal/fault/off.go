//go:build !faults

package fault

// Point is a place where a test may end the program. Names are <write>.before and <write>.after.
func Point(string) {}
