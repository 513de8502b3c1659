package dev

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"sync/atomic"
)

//go:embed page
var files embed.FS

// policy lets the page load nothing from elsewhere and run no inline script.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self' ws: wss:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// regionLink is how the page offers the other regions.
type regionLink struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// page is what a region serves beside its edge's WebSocket. links is read with
// every request: addresses are known only when all regions stand.
func page(region string, links *atomic.Pointer[[]regionLink]) http.Handler {
	static, err := fs.Sub(files, "page")
	if err != nil {
		panic("dev: the embedded page is missing") // only a wrong go:embed line
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(static))
	mux.HandleFunc("GET /dev/info", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		regions := []regionLink{}
		if known := links.Load(); known != nil {
			regions = *known
		}
		json.NewEncoder(w).Encode(map[string]any{"region": region, "regions": regions}) //nolint:errcheck // the browser has gone
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-cache")
		mux.ServeHTTP(w, r)
	})
}
