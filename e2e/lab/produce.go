package lab

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// producePatience bounds one call of Produce.
const producePatience = 2 * time.Minute

// Produce writes records to the partitions that they name, in their order, and returns when all are acknowledged. The
// records then know their offsets and timestamps. Options may set codec, batch size and the like.
func (k *KafkaServer) Produce(t testing.TB, records []*kgo.Record, options ...kgo.Opt) {
	t.Helper()
	produce(t, k.Producer(t, options...), records)
}

// ProduceTxn writes records in one transaction, and commits it or aborts it.
func (k *KafkaServer) ProduceTxn(t testing.TB, commit bool, records []*kgo.Record, options ...kgo.Opt) {
	t.Helper()
	client := k.Producer(t, append([]kgo.Opt{kgo.TransactionalID(Name(t))}, options...)...)
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	produce(t, client, records)
	ctx, cancel := context.WithTimeout(t.Context(), producePatience)
	defer cancel()
	if err := client.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
		t.Fatalf("ending a transaction: %v", err)
	}
}

// Producer returns a client that writes records to the partitions that they name; it is closed with the test.
func (k *KafkaServer) Producer(t testing.TB, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	return k.Client(t, append([]kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedRecords(100_000),
		kgo.UnknownTopicRetries(-1),
	}, options...)...)
}

func produce(t testing.TB, client *kgo.Client, records []*kgo.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), producePatience)
	defer cancel()
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatalf("producing %d records: %v", len(records), err)
	}
}
