package fleet

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Clusters that cannot be reached are unknown, never well, and the command fails.
func TestUnreachableIsUnknown(t *testing.T) {
	text, err := os.ReadFile("spec/testdata/fleet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	desc, config := filepath.Join(dir, "fleet.yaml"), filepath.Join(dir, "kubeconfig")
	// eu-1 refuses connections; us-1 and ap-1 have no context.
	kubeconfig := `{"apiVersion":"v1","kind":"Config","clusters":[{"name":"eu-1","cluster":{"server":"http://127.0.0.1:1"}}],"contexts":[{"name":"eu-1","context":{"cluster":"eu-1"}}]}`
	for path, b := range map[string][]byte{desc: text, config: []byte(kubeconfig)} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := run(t, "status", desc, "--kubeconfig", config)
	if err == nil || err.Error() != "3 of 3 clusters are unknown" {
		t.Error(err)
	}
	for _, want := range []string{"eu-1", "the API server does not answer", `context us-1 of the kubeconfig`} {
		if !strings.Contains(out, want) {
			t.Errorf("without %s:\n%s", want, out)
		}
	}
	out, _ = run(t, "status", desc, "--kubeconfig", config, "-o", "json")
	var rows []struct {
		Cluster string
		Known   bool
		Why     string
	}
	if err := json.Unmarshal([]byte(out), &rows); err != nil || len(rows) != 3 || rows[0].Known || rows[0].Why == "" {
		t.Errorf("%v %+v", err, rows)
	}
}
