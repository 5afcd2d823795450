package ingest

import (
	"context"
	"os"

	"github.com/windrow-io/windrow/internal/config"
	"github.com/windrow-io/windrow/internal/program"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/buffer"
)

// Main is the whole program ingest, configured by the environment. It does not return: it ends the process with 0 after
// SIGTERM or SIGINT, 2 if the configuration is wrong.
func Main() {
	os.Exit(program.Run(config.ProgramIngest, os.Args[1:], os.Stderr, RunProgram))
}

// RunProgram builds an Ingest from a program's configuration and runs it until work is done. For Windrow's own programs.
func RunProgram(hard, work context.Context, e program.Env) error {
	c := e.Config
	buffer.ClientLog(e.Logger)
	b, err := buffer.Open(c.Buffer(e.Logger))
	if err != nil {
		return err
	}
	defer b.Close()
	k, err := c.Kafka()
	if err != nil {
		return err
	}
	cluster := wire.New(k)
	defer cluster.Close()
	in, err := New(Options{
		Cluster: cluster, Buffer: b,
		Topics: string(c.Topics), Group: c.Group, Start: string(c.Start),
		ReadCommitted: c.Isolation == "read_committed", Shards: c.Shards, ShardKey: c.ShardKey, MaxBytes: int64(c.BufferMaxBytes),
		Abort: hard, Shutdown: c.Shutdown, Conditions: e.Conditions, Logger: e.Logger,
	})
	if err != nil {
		return err
	}
	return in.Run(work)
}
