// Package sim runs the real ingest and the real workers against models of Redis, Kafka and MongoDB, in one process, under a
// schedule that a seed decides.
//
// Every request of the programs parks at a model; when all goroutines of the bubble (testing/synctest) wait, the seed picks
// one and its fate: it takes effect and is answered, its reply is lost, it takes effect late, its process dies or freezes.
// One at a time goes on, so a seed is the same run each time. Between them Redis fails over to an earlier moment or is
// emptied, brokers complete transactions late, workers come and go, with other settings, too. What comes out is compared
// with a reference that knows nothing of shards.
//
// All of it is in the tests. A failing seed is printed with the command that runs it alone.
package sim
