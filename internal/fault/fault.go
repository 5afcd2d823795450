// Package fault lets a test end a program at a named place: before or after a write, where a machine might lose its power.
//
// Programs are built with the tag faults for that; without it a point is nothing. With it the environment variable
// WINDROW_FAULT=<point>@<n> has the process kill itself, as kill -9 does, when it comes to the point for the n-th time.
package fault
