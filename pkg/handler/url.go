package handler

import (
	"errors"
	"net/url"
	"strings"
)

// Address is where a service listens.
type Address struct {
	URL    string // http or https
	Socket string // path of a unix socket to connect to instead of the URL's host; empty: none
}

// ParseURL reads http://host:port/path, https://…, or unix:///path/to/socket, the latter with :/path behind it if the
// service is not at /. The error says what is wrong, without the URL: it may hold a password.
func ParseURL(text string) (Address, error) {
	if rest, ok := strings.CutPrefix(text, "unix:"); ok {
		rest = strings.TrimPrefix(rest, "//")
		socket, path, more := strings.Cut(rest, ":")
		switch {
		case !strings.HasPrefix(socket, "/") || strings.HasSuffix(socket, "/"):
			return Address{}, errors.New("must name a socket by its whole path: unix:///run/handler.sock, or unix:///run/handler.sock:/path")
		case more && !strings.HasPrefix(path, "/"):
			return Address{}, errors.New("must have a path behind the socket's colon: unix:///run/handler.sock:/path")
		}
		u, err := url.Parse("http://localhost" + path)
		if err != nil {
			return Address{}, errors.New("has a path that can't be read")
		}
		return Address{URL: u.String(), Socket: socket}, nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return Address{}, errors.New("can't be read as a URL: write http://host:port/path, https://… or unix:///run/handler.sock")
	case u.Scheme != "http" && u.Scheme != "https":
		return Address{}, errors.New("must begin with http://, https:// or unix://")
	case u.Hostname() == "":
		return Address{}, errors.New("has no host: write http://host:port/path")
	case u.Fragment != "":
		return Address{}, errors.New("must have no fragment (#…): it is never sent")
	}
	return Address{URL: u.String()}, nil
}
