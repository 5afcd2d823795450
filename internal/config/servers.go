package config

import (
	"os"
	"slices"
)

// Servers are where Kafka, Redis and MongoDB are and how they are reached, without a pipeline.
type Servers struct {
	Common
	MongoURL      URL
	MongoDatabase string

	// Environ are the variables that said so, NAME=value, to be handed to programs that are to use the same servers.
	Environ []string
}

// serverVariables are those that LoadServers reads.
var serverVariables = []string{
	"REDIS_URL", "KAFKA_BROKERS", "KAFKA_TLS", "KAFKA_TLS_CA", "KAFKA_TLS_CERT", "KAFKA_TLS_KEY",
	"KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "MONGO_URL", "MONGO_DATABASE",
}

// LoadServers reads and checks the variables of servers alone. All but KAFKA_BROKERS may be missing. The error is an *Error.
func LoadServers() (*Servers, error) {
	c := new(Config)
	var problems []Problem
	failed := map[string]bool{}
	add := func(p Problem) {
		problems = append(problems, p)
		failed[p.Variable] = true
	}
	var environ []string
	for _, v := range variables(c) {
		if !slices.Contains(serverVariables, v.Name) {
			continue
		}
		text, set := os.LookupEnv(v.Name)
		if v.Name == "REDIS_URL" && text == "" {
			failed[v.Name] = true // nothing to check
			continue
		}
		if problem := v.load(); problem != nil {
			add(*problem)
		} else if set && text != "" {
			environ = append(environ, v.Name+"="+text)
		}
	}
	checker{c, failed, add}.common()
	if len(problems) > 0 {
		return nil, &Error{Problems: problems}
	}
	return &Servers{Common: c.Common, MongoURL: c.MongoURL, MongoDatabase: c.MongoDatabase, Environ: environ}, nil
}
