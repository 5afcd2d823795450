// Package handler is the client of a user's processing over HTTP (HANDLER_URL): it posts windows as JSON and says what the
// answer means.
//
//	POST with one window, or an array of windows if the client is for batches
//	2xx with JSON     the result, in place of the window; null: nothing is to be written. For a batch an array, one
//	                  element a window, in their order
//	204               nothing is to be written, of no window of the call
//	408 425 429 5xx   failed: to be tried again, not before what Retry-After says
//	4xx               refused: trying again is of no use
//	anything else     failed: a redirection, an answer that is no JSON, none within the time-out
//	no connection     unavailable: the service never saw the windows
//
// The headers say whose windows they are: Idempotency-Key, which is the window's id, for a batch a digest of the ids;
// Windrow-Stream, Windrow-Pipeline, Windrow-Shard, and Windrow-Attempt, from 1.
package handler

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"time"
)

// Headers of a call.
const (
	HeaderKey      = "Idempotency-Key"
	HeaderStream   = "Windrow-Stream"
	HeaderPipeline = "Windrow-Pipeline"
	HeaderShard    = "Windrow-Shard"
	HeaderAttempt  = "Windrow-Attempt"
)

const (
	connectTimeout = 5 * time.Second
	idleTimeout    = 90 * time.Second
	maxRetryAfter  = 10 * time.Minute
	shownBody      = 512 // bytes of an answer that an error quotes
)

// Kind is what an error of a call means for its windows.
type Kind int

// The kinds.
const (
	Failed      Kind = iota // try again
	Refused                 // don't
	Unavailable             // the service was not reached: it knows nothing of the call
)

// Error is why a call gave no result.
type Error struct {
	Kind  Kind
	After time.Duration // Retry-After: not to be tried again before; 0: nothing was said
	Err   error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

func failed(format string, args ...any) *Error { return &Error{Err: fmt.Errorf(format, args...)} }

// Options of a Client.
type Options struct {
	URL         string        // see ParseURL
	Timeout     time.Duration // of a call, from its beginning to the end of the answer; 0: none
	MaxResponse int64         // bytes that an answer may have; 0: no limit
	Batch       bool          // calls hold arrays of windows, even of one
}

// Client calls a service. Safe for concurrent use.
type Client struct {
	o      Options
	url    string
	client *http.Client
}

// New makes a Client; it does not connect. The error is about the URL.
func New(o Options) (*Client, error) {
	a, err := ParseURL(o.URL)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: connectTimeout}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = dialer.DialContext
	if a.Socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", a.Socket)
		}
	}
	// A connection is only made for a call that finds none idle, so there are never more than calls at a time: HANDLER_CONCURRENCY
	// for each shard. Keeping all of them spares every call but the first ones the handshake.
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.IdleConnTimeout = 0, math.MaxInt, idleTimeout
	return &Client{o: o, url: a.URL, client: &http.Client{
		Transport: t,
		// A redirection would be followed as a GET, without the windows.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.client.CloseIdleConnections() }

// Call is what one request says.
type Call struct {
	Windows                 [][]byte // as JSON; one, unless the client is for batches
	IDs                     []string // of the windows
	Stream, Pipeline, Shard string
	Attempt                 int // from 1
}

// Do makes a call and returns a result for each window: compact JSON, or nil if nothing is to be written. The error is an
// *Error, or ctx's.
func (c *Client) Do(ctx context.Context, call *Call) ([]json.RawMessage, error) {
	outer := ctx
	if c.o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.o.Timeout)
		defer cancel()
	}
	connected := false
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// An idle connection may turn out to be closed, and no other be had.
		GetConn: func(string) { connected = false },
		GotConn: func(httptrace.GotConnInfo) { connected = true },
	}), http.MethodPost, c.url, bytes.NewReader(c.body(call)))
	if err != nil {
		return nil, err
	}
	c.headers(req, call)
	resp, err := c.client.Do(req)
	if err != nil {
		if outer.Err() != nil {
			return nil, outer.Err()
		}
		if !connected {
			return nil, &Error{Kind: Unavailable, Err: fmt.Errorf("the handler can't be reached: %w", err)}
		}
		return nil, c.noAnswer(err)
	}
	defer resp.Body.Close()
	results, err := c.answer(resp, len(call.Windows))
	if outer.Err() != nil {
		return nil, outer.Err()
	}
	return results, err
}

func (c *Client) noAnswer(err error) *Error {
	if errors.Is(err, context.DeadlineExceeded) {
		return failed("the handler gave no answer within HANDLER_TIMEOUT=%v", c.o.Timeout)
	}
	return failed("the handler gave no answer: %w", err)
}

func (c *Client) body(call *Call) []byte {
	if !c.o.Batch {
		return call.Windows[0]
	}
	return append(append([]byte{'['}, bytes.Join(call.Windows, []byte{','})...), ']')
}

func (c *Client) headers(req *http.Request, call *Call) {
	key := call.IDs[0]
	if c.o.Batch {
		sum := sha256.Sum256([]byte(strings.Join(call.IDs, ",")))
		key = hex.EncodeToString(sum[:16])
	}
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("Accept", "application/json")
	h.Set("User-Agent", "windrow")
	h.Set(HeaderKey, key) // also tells net/http that the request may be sent again if an idle connection turns out to be closed
	h.Set(HeaderStream, call.Stream)
	h.Set(HeaderPipeline, call.Pipeline)
	h.Set(HeaderShard, call.Shard)
	h.Set(HeaderAttempt, strconv.Itoa(call.Attempt))
}

// answer says what a response means for n windows.
func (c *Client) answer(resp *http.Response, n int) ([]json.RawMessage, error) {
	if resp.StatusCode == http.StatusNoContent {
		return make([]json.RawMessage, n), nil
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, refusal(resp)
	}
	limit := c.o.MaxResponse
	if limit == 0 {
		limit = math.MaxInt64 - 1
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, c.noAnswer(err)
	case int64(len(body)) > limit:
		return nil, &Error{Kind: Refused, Err: fmt.Errorf("the handler's answer has more than HANDLER_MAX_RESPONSE=%d bytes", limit)}
	case len(bytes.TrimSpace(body)) == 0:
		return nil, failed("the handler answered %s without a body: 204 says that nothing is to be written", resp.Status)
	}
	if !c.o.Batch {
		result, err := compact(body)
		if err != nil {
			return nil, failed("the handler answered %s with a body that is not JSON (%w): %s", resp.Status, err, shown(body))
		}
		return []json.RawMessage{result}, nil
	}
	var results []json.RawMessage
	if err := json.Unmarshal(body, &results); err != nil || results == nil {
		return nil, failed("the handler answered %s with a body that is no JSON array, as HANDLER_BATCH asks for: %s", resp.Status, shown(body))
	}
	if len(results) != n {
		return nil, failed("the handler was given %d windows and answered with an array of %d: one element a window is asked for, in the same order", n, len(results))
	}
	for i := range results {
		if results[i], err = compact(results[i]); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// compact is JSON without the space that means nothing; nil for null.
func compact(body []byte) (json.RawMessage, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, body); err != nil {
		return nil, err
	}
	if b.String() == "null" {
		return nil, nil
	}
	return b.Bytes(), nil
}

// refusal is the error of an answer that is no success.
func refusal(resp *http.Response) *Error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, shownBody+1))
	if err == nil && len(body) <= shownBody {
		_, err = io.Copy(io.Discard, resp.Body) // to its end: the connection can be used again
	}
	if err != nil && len(body) == 0 {
		body = fmt.Appendf(nil, "(the body could not be read: %v)", err)
	}
	e := failed("the handler answered %s: %s", resp.Status, shown(body))
	switch code := resp.StatusCode; {
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		e.After = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	case code >= 400:
		e.Kind = Refused
	case code >= 300:
		e.Err = fmt.Errorf("%w: redirections are not followed: is %s what HANDLER_URL should be?", e.Err, resp.Header.Get("Location"))
	}
	return e
}

// retryAfter reads the header Retry-After: seconds, or a date.
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// shown is the start of a body, for an error's text.
func shown(body []byte) string {
	text, more := body, ""
	if len(text) > shownBody {
		text, more = text[:shownBody], "…"
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return "(no body)"
	}
	return strings.ToValidUTF8(string(text), "\uFFFD") + more
}
