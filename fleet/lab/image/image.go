// Package image packs static binaries into OCI images, as archives that
// containerd imports, and pushes OCI layouts to a registry over plain HTTP.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// A Descriptor names a blob (OCI image specification, descriptor.md).
type Descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Pack writes an image with one file, /NAME from binary, which is its entry
// point, as an OCI layout in a tar archive at path. Users are 65532.
func Pack(path, ref, binary string) error {
	name := "/" + filepath.Base(binary)
	content, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	var plain, packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return err
	}
	layer := archive{tar.NewWriter(io.MultiWriter(&plain, zip)), nil}
	layer.dir("tmp", 0o1777)
	layer.file(name[1:], 0o755, content)
	if err := layer.close(); err != nil {
		return err
	}
	if err := zip.Close(); err != nil {
		return err
	}

	layerBlob := packed.Bytes()
	config := document(map[string]any{
		"architecture": "amd64", "os": "linux", "created": "1970-01-01T00:00:00Z",
		"config": map[string]any{"Entrypoint": []string{name}, "User": "65532:65532", "Env": []string{"PATH=/"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(plain.Bytes())}},
	})
	manifest := document(map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest,
		"config": describe(typeConfig, config),
		"layers": []Descriptor{describe(typeLayer, layerBlob)},
	})
	top := describe(typeManifest, manifest)
	top.Annotations = map[string]string{"io.containerd.image.name": ref, "org.opencontainers.image.ref.name": ref}

	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // closed below
	out := archive{tar.NewWriter(f), nil}
	out.file("oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`))
	for _, blob := range [][]byte{layerBlob, config, manifest} {
		out.file("blobs/sha256/"+strings.TrimPrefix(digest(blob), "sha256:"), 0o644, blob)
	}
	out.file("index.json", 0o644, document(map[string]any{
		"schemaVersion": 2, "mediaType": typeIndex, "manifests": []Descriptor{top},
	}))
	if err := out.close(); err != nil {
		return err
	}
	return f.Close()
}

// Push copies the one image (or index of one for several architectures) in an
// OCI layout folder to HOST/NAME:TAG and gives its digest.
func Push(ctx context.Context, client *http.Client, layout, ref string) (string, error) {
	host, rest, ok := strings.Cut(ref, "/")
	colon := strings.LastIndexByte(rest, ':')
	if !ok || colon < 0 {
		return "", fmt.Errorf("image %q: want HOST:PORT/NAME:TAG", ref)
	}
	p := pusher{client: client, layout: layout, base: "http://" + host + "/v2/" + rest[:colon]}
	b, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		return "", fmt.Errorf("OCI layout: %w", err)
	}
	var index struct{ Manifests []Descriptor }
	if err := json.Unmarshal(b, &index); err != nil {
		return "", fmt.Errorf("OCI layout %s: %w", layout, err)
	}
	if len(index.Manifests) != 1 {
		return "", fmt.Errorf("OCI layout %s holds %d images: want 1", layout, len(index.Manifests))
	}
	d := index.Manifests[0]
	if err := p.manifest(ctx, d, rest[colon+1:]); err != nil {
		return "", fmt.Errorf("push %s: %w", ref, err)
	}
	return d.Digest, nil
}

type pusher struct {
	client *http.Client
	layout string
	base   string
}

// manifest pushes what a manifest or index refers to, then itself.
func (p pusher) manifest(ctx context.Context, d Descriptor, tag string) error {
	b, err := os.ReadFile(p.blob(d))
	if err != nil {
		return err
	}
	var m struct {
		Manifests []Descriptor
		Config    *Descriptor
		Layers    []Descriptor
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return err
	}
	for _, child := range m.Manifests {
		if err := p.manifest(ctx, child, child.Digest); err != nil {
			return err
		}
	}
	if m.Config != nil {
		m.Layers = append(m.Layers, *m.Config)
	}
	for _, l := range m.Layers {
		if err := p.upload(ctx, l); err != nil {
			return err
		}
	}
	_, err = p.do(ctx, http.MethodPut, p.base+"/manifests/"+tag, d.MediaType, b)
	return err
}

func (p pusher) upload(ctx context.Context, d Descriptor) error {
	if _, err := p.do(ctx, http.MethodHead, p.base+"/blobs/"+d.Digest, "", nil); err == nil {
		return nil // it is there
	}
	b, err := os.ReadFile(p.blob(d))
	if err != nil {
		return err
	}
	resp, err := p.do(ctx, http.MethodPost, p.base+"/blobs/uploads/", "", nil)
	if err != nil {
		return err
	}
	location, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
	if err != nil {
		return err
	}
	q := location.Query()
	q.Set("digest", d.Digest)
	location.RawQuery = q.Encode()
	_, err = p.do(ctx, http.MethodPut, location.String(), "application/octet-stream", b)
	return err
}

func (p pusher) blob(d Descriptor) string {
	return filepath.Join(p.layout, "blobs", "sha256", filepath.Base(strings.TrimPrefix(d.Digest, "sha256:")))
}

func (p pusher) do(ctx context.Context, method, target, kind string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	if resp.StatusCode/100 != 2 {
		reason, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) //nolint:errcheck // what there is of it
		u := url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: req.URL.Path}
		return nil, fmt.Errorf("%s %s: %s %s", method, &u, resp.Status, bytes.TrimSpace(reason))
	}
	return resp, nil
}

// An archive is a tar writer that keeps its first error.
type archive struct {
	tar *tar.Writer
	err error
}

func (a *archive) dir(name string, mode int64) { a.add(name+"/", tar.TypeDir, mode, nil) }

func (a *archive) file(name string, mode int64, content []byte) {
	a.add(name, tar.TypeReg, mode, content)
}

func (a *archive) add(name string, kind byte, mode int64, content []byte) {
	if a.err != nil {
		return
	}
	a.err = a.tar.WriteHeader(&tar.Header{Name: name, Typeflag: kind, Mode: mode, Size: int64(len(content)), ModTime: time.Unix(0, 0)})
	if a.err == nil {
		_, a.err = a.tar.Write(content)
	}
}

func (a *archive) close() error {
	if a.err != nil {
		return a.err
	}
	return a.tar.Close()
}

func describe(kind string, blob []byte) Descriptor {
	return Descriptor{MediaType: kind, Digest: digest(blob), Size: int64(len(blob))}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func document(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only maps of strings get here
	}
	return b
}
