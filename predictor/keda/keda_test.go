package keda

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serving starts a server of a load and a client of it.
func serving(t *testing.T, cfg Config, load *atomic.Int64, secure credentials.TransportCredentials) (ExternalScalerClient, func()) {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	s, err := Listen(t.Context(), cfg, "eu", func() float64 { return float64(load.Load()) / 1000 }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	conn, err := grpc.NewClient(s.Addr().String(), grpc.WithTransportCredentials(secure))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = conn.Close()
	})
	return NewExternalScalerClient(conn), stop
}

func ref(data ...string) *ScaledObjectRef {
	r := &ScaledObjectRef{Name: "edge", Namespace: "live", ScalerMetadata: map[string]string{"scalerAddress": "predictor:6000"}}
	for i := 0; i+1 < len(data); i += 2 {
		r.ScalerMetadata[data[i]] = data[i+1]
	}
	return r
}

func TestAScalerTellsItsSpecAndItsLoad(t *testing.T) {
	var load atomic.Int64
	c, _ := serving(t, Config{}, &load, insecure.NewCredentials())
	spec, err := c.GetMetricSpec(t.Context(), ref("targetSize", "1500.5")) // before there is any forecast
	if err != nil || len(spec.GetMetricSpecs()) != 1 {
		t.Fatal(spec, err)
	}
	if m := spec.GetMetricSpecs()[0]; m.GetMetricName() != MetricName || m.GetTargetSize() != 1501 || m.GetTargetSizeFloat() != 1500.5 {
		t.Errorf("spec %v", m)
	}
	ask := func() *MetricValue {
		t.Helper()
		got, err := c.GetMetrics(t.Context(), &GetMetricsRequest{ScaledObjectRef: ref("targetSize", "2000", "metricName", "ahead", "region", "eu"), MetricName: "ahead"})
		if err != nil || len(got.GetMetricValues()) != 1 {
			t.Fatal(got, err)
		}
		return got.GetMetricValues()[0]
	}
	if m := ask(); m.GetMetricName() != "ahead" || m.GetMetricValue() != 0 || m.GetMetricValueFloat() != 0 {
		t.Errorf("without a forecast: %v", m)
	}
	load.Store(12_345_600)
	if m := ask(); m.GetMetricValue() != 12_346 || m.GetMetricValueFloat() != 12_345.6 {
		t.Errorf("with one: %v", m)
	}
}

func TestActivityIsStreamed(t *testing.T) {
	var load atomic.Int64
	c, stop := serving(t, Config{}, &load, insecure.NewCredentials())
	if a, err := c.IsActive(t.Context(), ref("targetSize", "1")); err != nil || a.GetResult() {
		t.Errorf("%v, %v; want inactive", a, err)
	}
	stream, err := c.StreamIsActive(t.Context(), ref("targetSize", "1"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, false} {
		got, err := stream.Recv()
		if err != nil || got.GetResult() != want {
			t.Fatalf("%d: %v, %v; want %v", i, got, err, want)
		}
		load.Store(map[bool]int64{false: 5000, true: 0}[want])
	}
	stop()
	if _, err := stream.Recv(); err == nil {
		_, err = stream.Recv()
		if status.Code(err) != codes.Unavailable {
			t.Errorf("at the end: %v", err)
		}
	}
}

func TestMetadataThatCannotBeUsedSaysWhatToDo(t *testing.T) {
	var load atomic.Int64
	c, _ := serving(t, Config{}, &load, insecure.NewCredentials())
	for says, r := range map[string]*ScaledObjectRef{
		"targetSize is missing": ref(),
		"above 0":               ref("targetSize", "0"),
		`targetSize "NaN"`:      ref("targetSize", "NaN"),
		`targetSize "many"`:     ref("targetSize", "many"),
		`targetSize "Inf"`:      ref("targetSize", "Inf"),
		"metricName":            ref("targetSize", "1", "metricName", "a b"),
		"of region":             ref("targetSize", "1", "region", "us"),
	} {
		_, spec := c.GetMetricSpec(t.Context(), r)
		_, active := c.IsActive(t.Context(), r)
		_, metrics := c.GetMetrics(t.Context(), &GetMetricsRequest{ScaledObjectRef: r})
		stream, err := c.StreamIsActive(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		_, streamed := stream.Recv()
		for _, err := range []error{spec, active, metrics, streamed} {
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "live/edge") {
				t.Errorf("%s: %v", says, err)
			}
		}
	}
	if _, err := c.GetMetrics(t.Context(), &GetMetricsRequest{ScaledObjectRef: ref("targetSize", "1"), MetricName: "other"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("another metric: %v", err)
	}
	if _, err := c.GetMetrics(t.Context(), &GetMetricsRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("nothing: %v", err)
	}
}

// certificate writes a certificate that vouches for itself.
func certificate(t *testing.T) (cert, key string, pair tls.Certificate) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
}

func TestTLSWithAndWithoutAClientsCertificate(t *testing.T) {
	cert, key, pair := certificate(t)
	roots := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(leaf)
	with := credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{pair}})
	without := credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots})
	var load atomic.Int64
	for name, c := range map[string]struct {
		cfg    Config
		secure credentials.TransportCredentials
		code   codes.Code
	}{
		"TLS":                   {Config{Cert: cert, Key: key}, without, codes.OK},
		"plain text":            {Config{Cert: cert, Key: key}, insecure.NewCredentials(), codes.Unavailable},
		"known client":          {Config{Cert: cert, Key: key, ClientCA: cert}, with, codes.OK},
		"client without a cert": {Config{Cert: cert, Key: key, ClientCA: cert}, without, codes.Unavailable},
	} {
		client, _ := serving(t, c.cfg, &load, c.secure)
		if _, err := client.GetMetricSpec(t.Context(), ref("targetSize", "1")); status.Code(err) != c.code {
			t.Errorf("%s: %v; want %s", name, err, c.code)
		}
	}
}

func TestConfigurationsThatCannotWork(t *testing.T) {
	for says, c := range map[string]Config{
		"host:port": {Listen: "6000"},
		"both":      {Listen: ":1", Cert: "a"},
		"over TLS":  {Listen: ":1", ClientCA: "a"},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	if _, err := Listen(t.Context(), Config{Listen: "127.0.0.1:0", Cert: "/nowhere", Key: "/nowhere"}, "eu", nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err == nil || !strings.Contains(err.Error(), "cert and key") {
		t.Errorf("no certificate: %v", err)
	}
}
