package filter_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/barrage-im/barrage/filter"
)

// entriesOf reads a list that a fuzzer wrote: a word a line, marked by its first
// characters.
func entriesOf(list string) (entries []filter.Entry) {
	const most = 20
	for i, line := range strings.Split(list, "\n") {
		if i == most {
			break
		}
		e := filter.Entry{Severity: uint8(1 + i%4), Action: filter.Action(1 + i%5), Strict: i%3 == 0}
		if rest, ok := strings.CutPrefix(line, "!"); ok {
			e, line = filter.Entry{Allow: true}, rest
		}
		if rest, ok := strings.CutPrefix(line, "|"); ok {
			e.Left, line = true, rest
		}
		if rest, ok := strings.CutSuffix(line, "|"); ok {
			e.Right, line = true, rest
		}
		e.Word = line
		entries = append(entries, e)
	}
	return entries
}

func seeds(f *testing.F) {
	for _, s := range [][2]string{
		{"bad\n!badge\n|ass|\n傻逼", "a b@d b\u200bad badge 傻…逼 b\xffad"},
		{"il1\nli\n666\n哈哈\na", "l1|i!666......6哈.哈 哈哈哈aaaaaaa"},
		{"o0\n5$\n😀\nc++", "O0o 5$$ 😀\ufe0f c + +"},
		{"ab ab\nabab\nb.a\n!aba", strings.Repeat("ab ", 70)},
		{"x" + strings.Repeat("y", 63), strings.Repeat("xy", 200)},
	} {
		f.Add(s[0], []byte(s[1]))
	}
}

// Both engines find what the reference finds, in any text, of any list.
func FuzzScan(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, list string, text []byte) {
		const longest = 4 << 10 // the reference is slow
		if len(text) > longest || len(list) > longest {
			return
		}
		var usable []filter.Entry
		for _, e := range entriesOf(list) {
			if _, err := filter.Compile([]filter.Entry{e}, filter.Options{}); err == nil {
				usable = append(usable, e)
			}
		}
		c, err := newCompared(usable)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.places(text); err != nil {
			t.Fatal(err)
		}
		if err := c.verdicts(text, uint8(len(text)%5)); err != nil {
			t.Fatal(err)
		}
	})
}

// Whatever is listed: it is refused, or what is found with it lies in the text.
func FuzzCompile(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, list string, text []byte) {
		entries := entriesOf(list)
		c, err := filter.Compile(entries, filter.Options{})
		if (c == nil) != (err != nil) {
			t.Fatalf("a filter: %v, error %v", c != nil, err)
		}
		if err != nil {
			return
		}
		end := int32(0)
		for _, s := range c.Scan(nil, text) {
			if s.Start < end || s.End <= s.Start || int(s.End) > len(text) || int(s.Entry) >= c.Len() || c.Entry(s.Entry).Allow {
				t.Fatalf("%+v in %q: %v", entries, text, s)
			}
			end = s.End
		}
		if v := c.Judge(text, 0); end > 0 && v.Action == filter.Pass {
			t.Fatalf("%+v in %q: something is found, and the verdict is pass", entries, text)
		}
		masked := c.AppendMasked(nil, text, 0)
		if utf8.RuneCount(masked) != utf8.RuneCount(text) || !bytes.Equal(c.AppendMasked(nil, text, filter.MaxSeverity+1), text) {
			t.Fatalf("%+v: %q becomes %q", entries, text, masked)
		}
	})
}
