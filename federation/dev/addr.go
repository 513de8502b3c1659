package dev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// isLoopback reports whether host, with or without a port, is this machine and
// nothing else.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// next is the address with the port counted up by n. Port 0 stays 0.
func next(addr string, n int) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("address %q: want host:port: %w", addr, err)
	}
	number, err := strconv.Atoi(port)
	if err != nil || number < 0 || number+n > 65535 {
		return "", fmt.Errorf("address %q: the port must be a number up to 65535", addr)
	}
	if number > 0 {
		number += n
	}
	return net.JoinHostPort(host, strconv.Itoa(number)), nil
}

// listen opens a listener, and names the flag to change when it cannot.
func listen(ctx context.Context, addr, flag string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use by another program: choose another address with %s (port 0 takes a free one)", addr, flag)
	case err != nil:
		return nil, fmt.Errorf("listen for %s: %w", flag, err)
	}
	return listener, nil
}

// free makes sure that an address can be listened on, so that the error can
// name the flag to change.
func free(ctx context.Context, addr, flag string) error {
	listener, err := listen(ctx, addr, flag)
	if err != nil {
		return err
	}
	return listener.Close()
}
