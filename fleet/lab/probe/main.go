// Probe is what the lab's own tests run in pods, for want of a shell in an
// image: it says who it is, resolves names and fetches URLs when asked.
//
//	GET /            the pod's host name
//	GET /resolve?name=N   N's addresses, one a line
//	GET /fetch?url=U      what U answers
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	patience = 5 * time.Second
	maxBody  = 1 << 16
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		name, err := os.Hostname()
		answer(w, name, err)
	})
	http.HandleFunc("/resolve", func(w http.ResponseWriter, r *http.Request) {
		addrs, err := net.DefaultResolver.LookupHost(r.Context(), r.FormValue("name"))
		answer(w, strings.Join(addrs, "\n"), err)
	})
	client := &http.Client{Timeout: patience}
	http.HandleFunc("/fetch", func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, r.FormValue("url"), nil)
		if err != nil {
			answer(w, "", err)
			return
		}
		resp, err := client.Do(req)
		if err != nil {
			answer(w, "", err)
			return
		}
		defer resp.Body.Close() //nolint:errcheck // read only
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
		answer(w, strings.TrimSpace(string(body)), err)
	})
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: patience}
	log.Fatal(server.ListenAndServe())
}

func answer(w http.ResponseWriter, text string, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprintln(w, text) //nolint:errcheck // the asker went away
}
