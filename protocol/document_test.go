package protocol_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/protocol"
)

const document = "../docs/protocol.md"

func TestTheDocumentHoldsEveryCode(t *testing.T) {
	text := read(t, document)
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| .*\|$`).FindAllStringSubmatch(text, -1)
	listed := map[string]bool{}
	for _, row := range rows {
		listed[row[1]] = true
	}
	for _, c := range protocol.Codes() {
		row := fmt.Sprintf("\n| %d | `%s` | ", uint32(c), c.Name())
		if strings.Count(text, row) != 1 {
			t.Errorf("%s has no row %q", document, row)
		}
		delete(listed, fmt.Sprint(uint32(c)))
	}
	if len(listed) > 0 {
		t.Errorf("%s describes codes that do not exist: %v", document, listed)
	}
}

func TestTheDocumentsFramesAreReal(t *testing.T) {
	n := 0
	for line := range strings.Lines(read(t, document)) {
		side, frame, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !ok || side != "→" && side != "←" {
			continue
		}
		n++
		name := map[string]string{"→": "client_", "←": "server_"}[side]
		m, err := golden{name: name}.decode(protocol.JSON, []byte(frame))
		if err != nil {
			t.Errorf("%s: %v", frame, err)
			continue
		}
		if again := string(golden{name, m}.encoded(protocol.JSON)); again != frame {
			t.Errorf("the document says\n%s\nwhich is written\n%s", frame, again)
		}
	}
	if n < 20 {
		t.Errorf("only %d frames were found", n)
	}
}

func TestCodesAreUniqueAndInTheirRanges(t *testing.T) {
	source, err := os.ReadFile("codes.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^\t(\w+) +Code = (\d+)$`).FindAllStringSubmatch(string(source), -1)
	if len(declared) < 40 {
		t.Fatalf("only %d codes were found", len(declared))
	}
	value, name := map[string]string{}, map[string]string{}
	for _, d := range declared {
		if d[1] == "OK" {
			continue
		}
		if other := value[d[2]]; other != "" {
			t.Errorf("%s and %s are both %s", other, d[1], d[2])
		}
		value[d[2]] = d[1]
		var c protocol.Code
		if _, err := fmt.Sscan(d[2], &c); err != nil {
			t.Fatal(err)
		}
		closes := strings.HasPrefix(d[1], "Close")
		if strings.HasPrefix(c.Name(), "code_") || closes != (c >= 4000) || c.Temporary() != (c >= 200 && c < 300) {
			t.Errorf("%s = %d is named %q", d[1], c, c.Name())
		}
		key := fmt.Sprint(c.Name(), closes)
		if other := name[key]; other != "" {
			t.Errorf("%s and %s are both named %s", other, d[1], c.Name())
		}
		name[key] = d[1]
	}
}
