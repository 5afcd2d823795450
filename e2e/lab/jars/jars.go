// Package jars keeps the class paths of the Java servers that the tests run, fetched once from Maven Central, in the user's
// cache directory. It needs mvn only for the first use of a server.
package jars

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
)

// Kafka returns the directory with the jars of a version of Apache Kafka, fetching them if they are not there yet.
func Kafka(ctx context.Context, version string) (string, error) {
	return dir(ctx, "kafka-"+version, append([]artifact{{"org.apache.kafka", "kafka_2.13", version}}, kafkaLogging(version)...))
}

// kafkaLogging is the back end of slf4j that a version of Kafka expects; without one it keeps silent about its errors.
func kafkaLogging(version string) []artifact {
	if strings.HasPrefix(version, "3.") {
		return []artifact{{"org.slf4j", "slf4j-reload4j", "1.7.36"}}
	}
	const log4j, log4jVersion = "org.apache.logging.log4j", "2.24.3"
	return []artifact{
		{log4j, "log4j-slf4j-impl", log4jVersion},
		{log4j, "log4j-core", log4jVersion},
		{log4j, "log4j-1.2-api", log4jVersion},
	}
}

const mongoVersion = "1.47.0"

// Mongo returns the directory with the jars of mongo-java-server, fetching them if they are not there yet.
func Mongo(ctx context.Context) (string, error) {
	return dir(ctx, "mongo-java-server-"+mongoVersion, []artifact{
		{"de.bwaldvogel", "mongo-java-server", mongoVersion},
		{"org.slf4j", "slf4j-simple", "1.7.36"},
	})
}

type artifact struct{ Group, Name, Version string }

// complete is the file that says a directory holds every jar.
const complete = ".complete"

// dir returns the directory of that name with the artifacts and all that they depend on. Processes that want the same at
// once wait for the first.
func dir(ctx context.Context, name string, artifacts []artifact) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("the servers' jars need a cache directory: set HOME or XDG_CACHE_HOME: %w", err)
	}
	dir := filepath.Join(cache, "windrow", name)
	if present(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	if present(dir) {
		return dir, nil
	}
	if err := fetch(ctx, dir, artifacts); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, complete), nil, 0o644)
}

func present(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, complete))
	return err == nil
}

func fetch(ctx context.Context, dir string, artifacts []artifact) error {
	if _, err := exec.LookPath("mvn"); err != nil {
		return fmt.Errorf("%s is empty and mvn, which fills it, is not installed: run `make setup`", dir)
	}
	var pom bytes.Buffer
	if err := pomTemplate.Execute(&pom, artifacts); err != nil {
		return err
	}
	file := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(file, pom.Bytes(), 0o644); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", file, "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("filling %s with mvn: %w\n%s", dir, err, out)
	}
	return nil
}

var pomTemplate = template.Must(template.New("pom").Parse(`<project>
<modelVersion>4.0.0</modelVersion><groupId>io.windrow</groupId><artifactId>servers-for-tests</artifactId><version>1</version>
<dependencies>{{range .}}
<dependency><groupId>{{.Group}}</groupId><artifactId>{{.Name}}</artifactId><version>{{.Version}}</version></dependency>{{end}}
</dependencies>
</project>
`))
