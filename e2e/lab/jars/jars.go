// Package jars keeps the class path of Apache Kafka releases, fetched once from Maven Central, in the user's cache
// directory. It needs mvn only for the first use of a version.
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

// complete is the file that says a directory holds every jar.
const complete = ".complete"

// Dir returns the directory with the jars of a version of Kafka, fetching them if they are not there yet. Processes that
// want the same version at once wait for the first.
func Dir(ctx context.Context, version string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("kafka's jars need a cache directory: set HOME or XDG_CACHE_HOME: %w", err)
	}
	dir := filepath.Join(cache, "windrow", "kafka-"+version)
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
	if err := fetch(ctx, version, dir); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, complete), nil, 0o644)
}

func present(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, complete))
	return err == nil
}

func fetch(ctx context.Context, version, dir string) error {
	if _, err := exec.LookPath("mvn"); err != nil {
		return fmt.Errorf("kafka %s is not in %s and mvn, which fetches it, is not installed: run `make setup`", version, dir)
	}
	var pom bytes.Buffer
	if err := pomTemplate.Execute(&pom, struct{ Version, Logging string }{version, logging(version)}); err != nil {
		return err
	}
	file := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(file, pom.Bytes(), 0o644); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", file, "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("fetching kafka %s with mvn: %w\n%s", version, err, out)
	}
	return nil
}

// logging is the back end of slf4j that a version of Kafka expects; without one it keeps silent about its errors.
func logging(version string) string {
	if strings.HasPrefix(version, "3.") {
		return dependency("org.slf4j", "slf4j-reload4j", "1.7.36")
	}
	const log4j = "org.apache.logging.log4j"
	return dependency(log4j, "log4j-slf4j-impl", "2.24.3") +
		dependency(log4j, "log4j-core", "2.24.3") +
		dependency(log4j, "log4j-1.2-api", "2.24.3")
}

func dependency(group, artifact, version string) string {
	return fmt.Sprintf("<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n",
		group, artifact, version)
}

var pomTemplate = template.Must(template.New("pom").Parse(`<project>
<modelVersion>4.0.0</modelVersion><groupId>io.windrow</groupId><artifactId>kafka-for-tests</artifactId><version>1</version>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{{.Version}}</version></dependency>
{{.Logging}}</dependencies>
</project>
`))
