// Command handler is a service for HANDLER_URL: it answers each window with the sum of its records' `value`. handler.py,
// next to it, is the same in Python.
//
//	go run ./examples/handler -listen 127.0.0.1:9000
//	STREAM=s EMITTER=count WINDOW_SIZE=100 HANDLER_URL=http://127.0.0.1:9000 SINK=kafka … process
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"time"
)

// window is what the service needs of a window. docs/HANDLERS.md has all of it.
type window struct {
	ID   string `json:"id"`
	Data []struct {
		Value *float64 `json:"value"`
	} `json:"data"`
}

type result struct {
	Window string  `json:"window"`
	Count  int     `json:"count"`
	Sum    float64 `json:"sum"`
}

func handle(w http.ResponseWriter, r *http.Request) {
	var win window
	if err := json.NewDecoder(r.Body).Decode(&win); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest) // 4xx: a dead letter at once
		return
	}
	if len(win.Data) == 0 {
		w.WriteHeader(http.StatusNoContent) // nothing is written for this window
		return
	}
	res := result{Window: win.ID, Count: len(win.Data)}
	for i, d := range win.Data {
		if d.Value == nil {
			http.Error(w, fmt.Sprintf("record %d has no value", i), http.StatusUnprocessableEntity)
			return
		}
		res.Sum += *d.Value
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(res); err != nil {
		log.Printf("answering window %s: %v", win.ID, err)
	}
}

func main() {
	listen := flag.String("listen", "127.0.0.1:9000", "host:port, or unix:/path/to/socket")
	flag.Parse()
	network, address := "tcp", *listen
	if socket, ok := strings.CutPrefix(*listen, "unix:"); ok {
		network, address = "unix", socket
	}
	l, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on %s", l.Addr())
	s := &http.Server{Handler: http.HandlerFunc(handle), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(s.Serve(l))
}
