package config_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/internal/config"
)

func loadServers(t *testing.T, e env) (*config.Servers, error) {
	t.Helper()
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
		os.Unsetenv(name)
	}
	for name, value := range e {
		t.Setenv(name, value)
	}
	return config.LoadServers()
}

func TestLoadServers(t *testing.T) {
	s, err := loadServers(t, env{"KAFKA_BROKERS": "a:9092,b:9092", "MONGO_URL": "mongodb://m:27017/", "WINDOW_SIZE": "none", "KAFKA_TLS": ""})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Brokers) != 2 || s.RedisURL != "" || s.MongoURL != "mongodb://m:27017/" {
		t.Errorf("%+v", s)
	}
	if want := []string{"KAFKA_BROKERS=a:9092,b:9092", "MONGO_URL=mongodb://m:27017/"}; !reflect.DeepEqual(s.Environ, want) {
		t.Errorf("the variables are %q, want %q", s.Environ, want)
	}
}

func TestLoadServersNamesAllThatIsWrong(t *testing.T) {
	_, err := loadServers(t, env{"REDIS_URL": "http://r:6379", "KAFKA_TLS": "perhaps"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{"KAFKA_BROKERS", "REDIS_URL", "KAFKA_TLS"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
}
