package chat

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestATokenFileThatIsNotThereEndsTheCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	err := Run(t.Context(), []string{"--server", "tcp://127.0.0.1:1", "--plain", "--token-file", path}, strings.NewReader(""), &bytes.Buffer{})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}
