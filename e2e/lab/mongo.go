package lab

import (
	"context"
	_ "embed"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/windrow-io/windrow/e2e/lab/jars"
)

// MongoServer is a server of MongoDB's protocol: mongo-java-server, which keeps its data in memory. It stands in for
// MongoDB where upserts by _id and bulk writes are concerned, not for write concerns and transactions. To take it away
// and bring it back with its data, put a Proxy in front of it.
type MongoServer struct {
	Addr string // host:port
	URL  string // mongodb://host:port/

	dir     string
	log     *logBuffer
	command *command
}

// Mongo returns a running server; it ends with the test.
func Mongo(t testing.TB) *MongoServer {
	t.Helper()
	m := MongoNotStarted(t)
	m.Start(t)
	return m
}

// MongoNotStarted leaves the start to the test: the address is known before the server answers.
func MongoNotStarted(t testing.TB) *MongoServer {
	t.Helper()
	addr := address(Port(t))
	m := &MongoServer{Addr: addr, URL: "mongodb://" + addr + "/", dir: t.TempDir(), log: &logBuffer{}}
	t.Cleanup(func() {
		if m.command != nil {
			m.command.kill()
		}
	})
	showOnFailure(t, "mongo", m.log)
	return m
}

//go:embed MongoMain.java
var mongoMain []byte

// Start starts the server, empty, and waits until it answers.
func (m *MongoServer) Start(t testing.TB) {
	t.Helper()
	if err := needJava(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), fetchPatience)
	defer cancel()
	jarDir, err := jars.Mongo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(m.dir, "MongoMain.java")
	if err := os.WriteFile(source, mongoMain, 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(m.Addr, ":")
	argv := []string{"java", "-Xmx2g", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(jarDir, "*"), source, port}
	if m.command, err = run("mongo", argv, os.Environ(), m.log); err != nil {
		t.Fatal(err)
	}
	answers := func() bool { return !m.command.running() || listening(m.Addr) }
	if !holdsWithin(startPatience, answers) || !m.command.running() {
		t.Fatalf("the server of MongoDB's protocol did not start: %s", m.log.tail())
	}
}

// Pause stops the server's execution until Resume: it keeps its connections and does not answer.
func (m *MongoServer) Pause(t testing.TB) { t.Helper(); signal(t, m.command, syscall.SIGSTOP) }

// Resume ends a Pause.
func (m *MongoServer) Resume(t testing.TB) { t.Helper(); signal(t, m.command, syscall.SIGCONT) }

// Collection returns a collection; its client is closed with the test.
func (m *MongoServer) Collection(t testing.TB, database, collection string) *mongo.Collection {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(m.URL))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Disconnect(t.Context()) })
	return client.Database(database).Collection(collection)
}

// LargeDocuments is an option of Documents for those of several MiB: this server does not keep its answers short of
// itself.
var LargeDocuments = options.Find().SetBatchSize(2)

// Documents returns all documents of a collection as JSON (relaxed extended JSON), in no particular order.
func Documents(t testing.TB, c *mongo.Collection, how ...options.Lister[options.FindOptions]) []json.RawMessage {
	t.Helper()
	cursor, err := c.Find(t.Context(), bson.D{}, how...)
	if err != nil {
		t.Fatalf("reading %s: %v", c.Name(), err)
	}
	defer cursor.Close(t.Context())
	var documents []json.RawMessage
	for cursor.Next(t.Context()) {
		document, err := bson.MarshalExtJSON(cursor.Current, false, false)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, document)
	}
	if err := cursor.Err(); err != nil {
		t.Fatalf("reading %s: %v", c.Name(), err)
	}
	return documents
}
