package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/lab/jars"
)

// DefaultKafkaVersion is the version of Apache Kafka under test; the environment variable KAFKA_VERSION names another.
const DefaultKafkaVersion = "4.3.1"

// KafkaVersion is the version of Apache Kafka that this run uses.
func KafkaVersion() string {
	if v := os.Getenv("KAFKA_VERSION"); v != "" {
		return v
	}
	return DefaultKafkaVersion
}

// KafkaServer is a node of Apache Kafka, broker and controller in one process (KRaft), with a data directory that outlives
// its restarts. It is the only one of its cluster, or one of several: see KafkaCluster.
type KafkaServer struct {
	Addr   string  // host:port of the plain listener
	Secure *Secure // the TLS listeners, if asked for
	Proxy  *Proxy  // the listener behind a proxy, if asked for
	Clock  *Clock  // of its own, if asked for

	seeds   []string // the plain listeners of all nodes
	id      int32    // of the node
	dir     string   // data, properties
	options kafkaOptions
	log     *logBuffer
	command *command
}

type kafkaOptions struct {
	properties []string // key=value, later ones win
	secure     bool
	proxied    bool
	clock      bool
	stopped    bool
}

// KafkaOption sets a detail of a private server.
type KafkaOption func(*kafkaOptions)

// Property sets a line of the server's configuration.
func Property(key, value string) KafkaOption {
	return func(o *kafkaOptions) { o.properties = append(o.properties, key+"="+value) }
}

// WithoutAutoCreate makes a server that creates no topic because somebody asked for it.
func WithoutAutoCreate() KafkaOption { return Property("auto.create.topics.enable", "false") }

// WithSecurity adds the TLS listeners of Secure.
func WithSecurity() KafkaOption { return func(o *kafkaOptions) { o.secure = true } }

// BehindProxy adds a listener that is reached, and advertised, through KafkaServer.Proxy only.
func BehindProxy() KafkaOption { return func(o *kafkaOptions) { o.proxied = true } }

// WithClock gives the server a clock of its own, which can step.
func WithClock() KafkaOption { return func(o *kafkaOptions) { o.clock = true } }

// NotStarted leaves the start of the server to the test: its address is known before it answers.
func NotStarted() KafkaOption { return func(o *kafkaOptions) { o.stopped = true } }

// Kafka returns a running server. Without options it is the one that all tests of the binary share: never stop that one,
// and use topic names that no other test uses (see Name). With options it is the test's own and ends with it.
func Kafka(t testing.TB, options ...KafkaOption) *KafkaServer {
	t.Helper()
	if len(options) == 0 {
		return sharedKafka(t)
	}
	k, err := newKafka(t.TempDir(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if k.command != nil {
			k.command.kill()
		}
	})
	showOnFailure(t, "kafka", k.log)
	if !k.options.stopped {
		k.Start(t)
	}
	return k
}

// KafkaCluster returns three running nodes of one cluster, on which every topic has three replicas, and a write is
// acknowledged when two have it. They end with the test.
func KafkaCluster(t testing.TB, options ...KafkaOption) []*KafkaServer {
	t.Helper()
	const size = 3
	nodes, err := newNodes(t.TempDir(), size, options...)
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan error, size)
	for _, k := range nodes {
		t.Cleanup(func() {
			if k.command != nil {
				k.command.kill()
			}
		})
		showOnFailure(t, fmt.Sprintf("kafka %d", k.id), k.log)
		go func() { started <- k.start() }() // none answers before there is a majority
	}
	for range nodes {
		if err := <-started; err != nil {
			t.Fatal(err)
		}
	}
	return nodes
}

func newKafka(dir string, options ...KafkaOption) (*KafkaServer, error) {
	nodes, err := newNodes(dir, 1, options...)
	if err != nil {
		return nil, err
	}
	return nodes[0], nil
}

// newNodes makes the nodes of a cluster, not started yet.
func newNodes(dir string, size int, options ...KafkaOption) ([]*KafkaServer, error) {
	nodes := make([]*KafkaServer, size)
	seeds, controllers := make([]string, size), make([]string, size)
	for i := range nodes {
		for _, addr := range []*string{&seeds[i], &controllers[i]} {
			port, err := freePort()
			if err != nil {
				return nil, err
			}
			*addr = address(port)
		}
	}
	for i := range nodes {
		at := dir
		if size > 1 {
			at = filepath.Join(dir, fmt.Sprint(i+1))
			if err := os.MkdirAll(at, 0o700); err != nil {
				return nil, err
			}
		}
		k := &KafkaServer{Addr: seeds[i], seeds: seeds, id: int32(i + 1), dir: at, log: &logBuffer{}}
		for _, o := range options {
			o(&k.options)
		}
		if err := k.configure(controllers); err != nil {
			return nil, err
		}
		nodes[i] = k
	}
	return nodes, nil
}

// configure writes the node's configuration; controllers are the addresses of all nodes' controllers.
func (k *KafkaServer) configure(controllers []string) error {
	listeners := listenerList{{name: "PLAINTEXT", protocol: "PLAINTEXT", addr: k.Addr}}
	var properties []string
	var err error
	if k.options.proxied {
		behind, err := freePort()
		if err != nil {
			return err
		}
		if k.Proxy, err = newProxy(address(behind)); err != nil {
			return err
		}
		listeners = append(listeners, listener{name: "PROXIED", protocol: "PLAINTEXT", addr: address(behind), advertised: k.Proxy.Addr})
	}
	if k.options.clock {
		if k.Clock, err = newClock(k.dir); err != nil {
			return err
		}
	}
	if k.options.secure {
		if k.Secure, err = newSecure(filepath.Join(k.dir, "tls")); err != nil {
			return err
		}
		listeners = append(listeners, k.Secure.listeners()...)
		properties = k.Secure.properties()
	}
	properties = slices.Concat(k.defaultProperties(controllers, listeners), properties, k.options.properties)
	if err := os.WriteFile(k.file("server.properties"), []byte(strings.Join(properties, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	return writeLogging(k.dir)
}

func (k *KafkaServer) file(name string) string { return filepath.Join(k.dir, name) }

type listener struct{ name, protocol, addr, advertised string }

type listenerList []listener

func (ls listenerList) join(f func(listener) string) string {
	var parts []string
	for _, l := range ls {
		parts = append(parts, f(l))
	}
	return strings.Join(parts, ",")
}

func (k *KafkaServer) defaultProperties(controllers []string, listeners listenerList) []string {
	voters := make([]string, len(controllers))
	for i, c := range controllers {
		voters[i] = fmt.Sprintf("%d@%s", i+1, c)
	}
	replicas := fmt.Sprint(len(controllers))
	minISR := fmt.Sprint(max(1, len(controllers)-1))
	at := func(l listener) string { return l.name + "://" + l.addr }
	advertised := func(l listener) string {
		if l.advertised != "" {
			return l.name + "://" + l.advertised
		}
		return at(l)
	}
	protocol := func(l listener) string { return l.name + ":" + l.protocol }
	return []string{
		"process.roles=broker,controller",
		fmt.Sprint("node.id=", k.id),
		"controller.quorum.voters=" + strings.Join(voters, ","),
		"controller.listener.names=CONTROLLER",
		"listeners=" + listeners.join(at) + ",CONTROLLER://" + controllers[k.id-1],
		"advertised.listeners=" + listeners.join(advertised),
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT," + listeners.join(protocol),
		"log.dirs=" + k.file("log"),
		"num.partitions=4",
		"group.initial.rebalance.delay.ms=0",
		"num.network.threads=2",
		"num.io.threads=4",
		"log.cleaner.dedupe.buffer.size=16777216",
		// Every node holds every topic.
		"default.replication.factor=" + replicas,
		"min.insync.replicas=" + minISR,
		"offsets.topic.replication.factor=" + replicas,
		"offsets.topic.num.partitions=4",
		"transaction.state.log.replication.factor=" + replicas,
		"transaction.state.log.min.isr=" + minISR,
		"transaction.state.log.num.partitions=4",
		"share.coordinator.state.topic.replication.factor=" + replicas,
		"share.coordinator.state.topic.min.isr=" + minISR,
		// A broker killed with -9 waits until its own old session is over, by default 9 s. Much shorter ones are lost on a
		// busy machine, and a lone broker that loses its session now and again forgets transactions: Kafka 3.9.2 and 4.3.1
		// leave them open for ever.
		"broker.session.timeout.ms=6000",
		"broker.heartbeat.interval.ms=500",
	}
}

// writeLogging configures both logging back ends: which of the two is used depends on Kafka's version.
func writeLogging(dir string) error {
	const log4j1 = `log4j.rootLogger=WARN, A
log4j.appender.A=org.apache.log4j.ConsoleAppender
log4j.appender.A.layout=org.apache.log4j.PatternLayout
log4j.appender.A.layout.ConversionPattern=[%d] %p %m (%c)%n
`
	const log4j2 = `rootLogger.level=warn
rootLogger.appenderRef.a.ref=A
appender.a.type=Console
appender.a.name=A
appender.a.layout.type=PatternLayout
appender.a.layout.pattern=[%d] %p %m (%c)%n
`
	if err := os.WriteFile(filepath.Join(dir, "log4j.properties"), []byte(log4j1), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "log4j2.properties"), []byte(log4j2), 0o600)
}

// java is the command line of a class on Kafka's class path.
func (k *KafkaServer) java(jarDir string, args ...string) []string {
	return append([]string{
		"java", "-cp", filepath.Join(jarDir, "*"),
		"-Dlog4j.configuration=file:" + k.file("log4j.properties"),
		"-Dlog4j2.configurationFile=file:" + k.file("log4j2.properties"),
		"-XX:+UseSerialGC", "-Xshare:auto",
	}, args...)
}

// startPatience is how long a server may take to answer, on a busy machine.
const startPatience = 4 * time.Minute

// fetchPatience is how long a server's jars may take to come over the network, the first time.
const fetchPatience = 10 * time.Minute

// Start starts the server, on the data it has, and waits until it answers.
func (k *KafkaServer) Start(t testing.TB) {
	t.Helper()
	if err := k.start(); err != nil {
		t.Fatalf("%v\n%s", err, k.log.tail())
	}
}

func (k *KafkaServer) start() error {
	if err := needJava(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), fetchPatience)
	defer cancel()
	jarDir, err := jars.Kafka(ctx, KafkaVersion())
	if err != nil {
		return err
	}
	if _, err := os.Stat(k.file("log/meta.properties")); err != nil {
		if err := k.format(jarDir); err != nil {
			return err
		}
	}
	env := os.Environ()
	if k.Clock != nil {
		env = append(env, k.Clock.env()...)
	}
	k.command, err = run("kafka", k.java(jarDir, "-Xms512m", "-Xmx512m", "kafka.Kafka", k.file("server.properties")), env, k.log)
	if err != nil {
		return err
	}
	answers := func() bool { return !k.command.running() || k.ping() == nil }
	if !holdsWithin(startPatience, answers) {
		return fmt.Errorf("kafka did not answer within %v", startPatience)
	}
	if !k.command.running() {
		return fmt.Errorf("kafka ended while it started: %v", k.command.err)
	}
	return nil
}

func needJava() error {
	if _, err := exec.LookPath("java"); err != nil {
		return fmt.Errorf("java (17 or newer, with its compiler) is not installed: run `make setup`")
	}
	return nil
}

func (k *KafkaServer) format(jarDir string) error {
	const clusterID = "MkU3OEVBNTcwNTJENDM2Qg"
	args := []string{"-Xmx128m", "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format", "-t", clusterID, "-c", k.file("server.properties")}
	if k.Secure != nil {
		args = append(args, k.Secure.scramUsers()...)
	}
	argv := k.java(jarDir, args...)
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("formatting kafka's data directory: %w\n%s", err, bytes.TrimSpace(out))
	}
	return nil
}

// ping succeeds once the broker is registered and unfenced: only then do its answers name it.
func (k *KafkaServer) ping() error {
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Addr), kgo.RetryTimeout(0), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	brokers, err := kadm.NewClient(client).ListBrokers(ctx)
	if err == nil && !slices.ContainsFunc(brokers, func(b kadm.BrokerDetail) bool { return b.NodeID == k.id }) {
		err = fmt.Errorf("kafka does not know this broker yet")
	}
	return err
}

// Stop ends the server in good order.
func (k *KafkaServer) Stop(t testing.TB) {
	t.Helper()
	if err := k.command.end(time.Minute); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the server at once, as kill -9 does.
func (k *KafkaServer) Kill() { k.command.kill() }

// Pause stops the server's execution until Resume: it keeps its connections and does not answer.
func (k *KafkaServer) Pause(t testing.TB) { signal(t, k.command, syscall.SIGSTOP) }

// Resume ends a Pause.
func (k *KafkaServer) Resume(t testing.TB) { signal(t, k.command, syscall.SIGCONT) }

func signal(t testing.TB, c *command, s syscall.Signal) {
	t.Helper()
	if err := c.signal(s); err != nil {
		t.Fatal(err)
	}
}

// Brokers is what KAFKA_BROKERS is set to: the addresses of all nodes of the cluster.
func (k *KafkaServer) Brokers() string { return strings.Join(k.seeds, ",") }

// Client returns a franz-go client of the server's cluster; it is closed with the test.
func (k *KafkaServer) Client(t testing.TB, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(k.seeds...)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// Admin returns an administration client of the server; it is closed with the test.
func (k *KafkaServer) Admin(t testing.TB) *kadm.Client {
	t.Helper()
	return kadm.NewClient(k.Client(t))
}

// adminPatience bounds one administrative request.
const adminPatience = 30 * time.Second

// CreateTopic makes a topic; settings are pairs of names and values, like "cleanup.policy", "compact".
func (k *KafkaServer) CreateTopic(t testing.TB, topic string, partitions int, settings ...string) {
	t.Helper()
	configs := map[string]*string{}
	for pair := range slices.Chunk(settings, 2) {
		configs[pair[0]] = &pair[1]
	}
	ctx, cancel := context.WithTimeout(t.Context(), adminPatience)
	defer cancel()
	if _, err := k.Admin(t).CreateTopic(ctx, int32(partitions), -1, configs, topic); err != nil {
		t.Fatalf("creating topic %s: %v", topic, err)
	}
}

// DeleteTopics deletes topics, those among them that there are.
func (k *KafkaServer) DeleteTopics(t testing.TB, topics ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), adminPatience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.seeds...)) // not Admin: this is called at the end of a test
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).DeleteTopics(ctx, topics...); err != nil {
		t.Errorf("deleting the topics %v: %v", topics, err)
	}
}

// InSync waits until the node is in sync for every partition of the cluster.
func (k *KafkaServer) InSync(t testing.TB) {
	t.Helper()
	admin := k.Admin(t)
	WaitFor(t, startPatience, fmt.Sprintf("node %d to be in sync", k.id), func() bool {
		topics, err := admin.ListTopicsWithInternal(t.Context())
		inSync := err == nil
		topics.EachPartition(func(p kadm.PartitionDetail) {
			inSync = inSync && slices.Contains(p.ISR, k.id)
		})
		return inSync
	})
}
