// Package lab starts the real servers and programs that the end-to-end tests run against, on free loopback ports: Apache
// Kafka, redis-server, a server of MongoDB's protocol, and Windrow's own programs as separate processes. They can be
// killed, paused, cut off and restarted, and end with the test, or with the test binary however that ends.
//
// A server that cannot be started fails the test and says what to install; nothing is skipped.
package lab
