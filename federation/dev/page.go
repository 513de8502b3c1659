package dev

import (
	"embed"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/token"
)

//go:embed page
var files embed.FS

// policy lets the page load nothing from elsewhere and run no inline script.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self' ws: wss:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

const (
	// tokenLife is how long a token from the page's door is valid. The page
	// gets a new one with every connection.
	tokenLife = 12 * time.Hour
	// maxTokenRequest bounds the body of a request for a token, in bytes.
	maxTokenRequest = 1 << 10
)

// regionLink is how the page offers the other regions.
type regionLink struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

// A page is what one region serves beside its edge's WebSocket.
type page struct {
	region string
	links  []regionLink
	signer signer
}

// A signer makes the tokens with which browsers of this machine connect.
type signer struct {
	key any
	id  string
}

func (p page) handler() http.Handler {
	static, err := fs.Sub(files, "page")
	if err != nil {
		panic("dev: the embedded page is missing") // only a wrong go:embed line
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(static))
	mux.HandleFunc("GET /dev/info", p.info)
	mux.HandleFunc("POST /dev/token", p.token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-cache")
		mux.ServeHTTP(w, r)
	})
}

func (p page) info(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"region": p.region, "regions": p.links})
}

// token signs whatever name the page asks for: the listeners are loopback only,
// and a page of another origin cannot make a browser send this request.
func (p page) token(w http.ResponseWriter, r *http.Request) {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		http.Error(w, "only the page of this server may ask for a token", http.StatusForbidden)
		return
	}
	if !isLoopback(r.Host) {
		http.Error(w, "open the page under its loopback address", http.StatusForbidden)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxTokenRequest))
	var asked struct{ User, Name string }
	if err == nil {
		err = json.Unmarshal(body, &asked)
	}
	if err != nil {
		http.Error(w, `want {"user":"…","name":"…"}`, http.StatusBadRequest)
		return
	}
	signed, err := p.signer.sign(asked.User, asked.Name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, map[string]any{"token": signed})
}

// sign makes a token that allows everything on every room.
func (s signer) sign(user, name string) (string, error) {
	if err := protocol.CheckName(name); err != nil {
		return "", err
	}
	return token.Sign(token.Claims{
		RegisteredClaims: jwt.RegisteredClaims{Subject: user, ExpiresAt: jwt.NewNumericDate(time.Now().Add(tokenLife))},
		Name:             name,
		Rooms:            []token.Grant{{Pattern: "*", Verbs: token.Verbs()}},
	}, token.HS256, s.key, s.id)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) //nolint:errcheck // the browser has gone
}
