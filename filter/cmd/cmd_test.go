package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol/ops"
)

// invoke runs a sub-command in a directory of its own.
func invoke(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, diagnostics bytes.Buffer
	err = run(t.Context(), streams{strings.NewReader(stdin), &out, &diagnostics}, args)
	return out.String(), diagnostics.String(), err
}

func must(t *testing.T, args ...string) string {
	t.Helper()
	out, diagnostics, err := invoke(t, "", args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, out, diagnostics)
	}
	return out
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const words = "%list 1\n%language en\n%license CC0-1.0\nzounds\tseverity=4 action=block category=insult\ngadzooks\n!zounds and gadzooks\n"

// made is a key pair, and a bundle signed with it.
func made(t *testing.T) (list, rules, pub string) {
	t.Helper()
	dir := t.TempDir()
	list, rules = write(t, "old-words.txt", words), filepath.Join(dir, "rules.bundle")
	must(t, "key", "--out", dir)
	must(t, "compile", list, "--key", filepath.Join(dir, "filter.key"), "--name", "lobby", "--version", "7", "-o", rules)
	return list, rules, filepath.Join(dir, "filter.pub")
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
	}
}

func TestFromKeyToBundle(t *testing.T) {
	dir := t.TempDir()
	contains(t, must(t, "key", "--out", filepath.Join(dir, "keys")), "key id:", "filter.key", "next: barrage filter compile")
	private, pub := filepath.Join(dir, "keys", "filter.key"), filepath.Join(dir, "keys", "filter.pub")
	if st, err := os.Stat(private); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("private key: %v, %v", st, err)
	}
	if _, _, err := invoke(t, "", "key", "--out", filepath.Join(dir, "keys")); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("a second key in the same place: %v", err)
	}

	list, rules := write(t, "old-words.txt", words), filepath.Join(dir, "rules.bundle")
	if err := os.WriteFile(rules, []byte("the one before"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := must(t, "compile", list, "--key", private, "--name", "lobby", "--version", "7", "--mode", "report", "-o", rules)
	contains(t, out, "3 entries of 1 list: engine ", "built in ", "ordinary messages hit", "set lobby, version 7")
	data, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := publicKeys(pub)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(data, keys)
	if err != nil || b.Name != "lobby" || b.Version != 7 || b.Mode != bundle.Report || b.CreatedMS == 0 || len(b.Entries()) != 3 {
		t.Errorf("%v: %+v", err, b)
	}
	if st, err := os.Stat(rules); err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("mode of the bundle: %v, %v", st, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("beside the bundle is left: %v %v", left, err)
	}
}

func TestShow(t *testing.T) {
	_, rules, pub := made(t)
	contains(t, must(t, "show", rules), "lobby", "version:   7", "enforce", "not checked", "old-words  en        CC0-1.0  3        1")
	contains(t, must(t, "show", rules, "--pub", pub), ", valid")
	contains(t, must(t, "show", rules, "--list", "old-words"), "%list 1\n%name old-words\n", "!zounds and gadzooks\n")
	var v bundleView
	if err := json.Unmarshal([]byte(must(t, "show", rules, "--pub", pub, "--json")), &v); err != nil {
		t.Fatal(err)
	}
	if v.Signature != "valid" || v.Name != "lobby" || v.Version != 7 || len(v.Digest) != 64 || len(v.Lists) != 1 || v.Lists[0].Allowed != 1 {
		t.Errorf("%+v", v)
	}

	_, _, otherPub := made(t)
	out, _, err := invoke(t, "", "show", rules, "--pub", otherPub)
	if !errors.Is(err, bundle.ErrUntrusted) {
		t.Errorf("other key: %v", err)
	}
	contains(t, out, "NOT of the keys")
	if _, _, err := invoke(t, "", "show", rules, "--list", "nothing"); !isUsage(err) {
		t.Errorf("no such list: %v", err)
	}
}

// unsigned writes a bundle that nobody signed.
func unsignedBundle(t *testing.T) string {
	t.Helper()
	s, err := load([]string{write(t, "w.txt", words)}, "")
	if err != nil {
		t.Fatal(err)
	}
	data, err := bundle.Make(bundle.Manifest{Name: "x", Version: 1}, s.lists, nil)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "unsigned.bundle", string(data))
}

// Unsigned, damaged and foreign bundles are refused by whoever looks.
func TestBadBundles(t *testing.T) {
	_, rules, pub := made(t)
	data, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(data)
	damaged[len(damaged)/2] ^= 1
	_, foreign, _ := made(t)
	for name, c := range map[string]struct {
		path string
		want error
	}{
		"unsigned": {unsignedBundle(t), bundle.ErrUnsigned},
		"damaged":  {write(t, "damaged.bundle", string(damaged)), bundle.ErrCorrupt},
		"cut":      {write(t, "cut.bundle", string(data[:len(data)/2])), bundle.ErrCorrupt},
		"foreign":  {foreign, bundle.ErrUntrusted},
	} {
		for _, args := range [][]string{{"check", c.path}, {"test", c.path, "text"}, {"show", c.path}} {
			if _, _, err := invoke(t, "", append(args, "--pub", pub)...); !errors.Is(err, c.want) {
				t.Errorf("%s: %s: %v", name, args[0], err)
			}
		}
	}
	// Without a key to check with, too.
	out, _, err := invoke(t, "", "check", unsignedBundle(t))
	if err == nil {
		t.Error("an unsigned bundle is fine")
	}
	contains(t, out, "the bundle is not signed: edges refuse it")
	contains(t, must(t, "check", rules), "warning: the signature is not checked")
	if out := must(t, "check", rules, "--pub", pub); strings.Contains(out, "warning") {
		t.Error(out)
	}
}

func TestCheckNamesFileAndLine(t *testing.T) {
	a := write(t, "a.txt", "%list 1\nzounds\nzounds\taction=block\ngadzooks\ngadzooks\n\tseverity=1\n")
	out, _, err := invoke(t, "", "check", a)
	if err == nil || !strings.Contains(err.Error(), "2 mistakes") {
		t.Errorf("got %v", err)
	}
	contains(t, out, a+`:3: "zounds" contradicts line 2: action mask there, block here`,
		a+`:5: warning: "gadzooks" stands in line 4 already`, a+":6: there is no word")

	for name, c := range map[string]struct{ text, want string }{
		"empty file":    {"", "the list is empty"},
		"no entries":    {"%list 1\n", "there are no entries: nothing would be found"},
		"long word":     {"%list 1\n" + strings.Repeat("ab", 40) + "\n", ":2: "},
		"matches all":   {"%list 1\n*e*\n的\n", "ordinary messages are hit, and 5 % may be"},
		"not UTF-8":     {"%list 1\n\xff\n", "not UTF-8"},
		"a name needed": {"%list 1\n%name a b\nzounds\n", "%name"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "words.txt", c.text)
			out, _, err := invoke(t, "", "check", path)
			if err == nil || isUsage(err) {
				t.Errorf("got %v", err)
			}
			contains(t, out, c.want)
			// What check refuses, compile does not sign.
			keys, rules := t.TempDir(), filepath.Join(t.TempDir(), "rules.bundle")
			must(t, "key", "--out", keys)
			if _, _, err := invoke(t, "", "compile", path, "--key", filepath.Join(keys, "filter.key"), "-o", rules); err == nil {
				t.Error("compiled")
			}
			if _, err := os.Stat(rules); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a bundle was written: %v", err)
			}
		})
	}
}

// Words that fold to the same are found although they are in different lists.
func TestCheckFindsWhatCountsAsTheSame(t *testing.T) {
	a := write(t, "a.txt", "%list 1\nzounds\taction=block severity=4\ngadzooks\n")
	b := write(t, "b.txt", "%list 1\nＺｏｕｎｄｓ\n!gadzooks\n")
	out := must(t, "check", a, b)
	contains(t, out, "counts as the same as", "of which the stronger counts", a+`:3: warning: "gadzooks": an allowed word covers it`)
	if strings.Count(out, "warning") != 2 {
		t.Error(out)
	}
}

func TestManyUncompilableWordsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("%list 1\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "fine%dword\n", i)
		if i%10 == 0 {
			fmt.Fprintf(&b, "%s%d\n", strings.Repeat("ab", 40), i)
		}
	}
	out, _, err := invoke(t, "", "check", write(t, "w.txt", b.String()))
	if n := strings.Count(out, "\n"); err == nil || n != maxTold {
		t.Errorf("%d lines, %v", n, err)
	}
	contains(t, out, "w.txt:3: ")
}

func TestTextsAreTried(t *testing.T) {
	list, rules, pub := made(t)
	out := must(t, "test", list, "oh Z-o-u-n-d-s!", "GADZOOKS 啊", "zounds and gadzooks", "hello")
	contains(t, out, "block   oh Z-o-u-n-d-s!\n", `3-14 "Z-o-u-n-d-s": zounds (`+list+`:4, block, severity 4, insult)`,
		"masked: oh ***********!", "mask    GADZOOKS 啊\n", "masked: ******** 啊", "pass    zounds and gadzooks\n", "pass    hello\n")

	out, _, err := invoke(t, "zounds\ngadzooks\nhello\x1b[2J\n", "test", rules, "-", "--pub", pub, "--json", "--severity", "3")
	if err != nil {
		t.Fatal(err)
	}
	var got []textView
	for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
		var v textView
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	if len(got) != 3 || got[0].Action != "block" || got[0].Severity != 4 || len(got[0].Matches) != 1 || got[0].Masked != "******" ||
		got[0].Matches[0].Word != "zounds" || got[0].Matches[0].End != 6 || got[1].Action != "pass" || len(got[1].Matches) != 0 || got[2].Action != "pass" {
		t.Errorf("got %+v", got)
	}
	out, _, err = invoke(t, "hello\x1b[2J\u202e\n", "test", list)
	if err != nil || strings.ContainsAny(out, "\x1b\u202e") {
		t.Errorf("what a user wrote reaches the terminal: %q %v", out, err)
	}
	if _, _, err := invoke(t, strings.Repeat("x", maxLine+1), "test", list); err == nil || !strings.Contains(err.Error(), "1.0 MiB") {
		t.Errorf("a long line: %v", err)
	}
}

func TestABadListIsNotTried(t *testing.T) {
	for _, text := range []string{"zounds\n", "%list 1\n" + strings.Repeat("ab", 40) + "\n"} {
		if _, diagnostics, err := invoke(t, "", "test", write(t, "w.txt", text), "zounds"); err == nil || !strings.Contains(diagnostics, "w.txt:") {
			t.Errorf("%v %s", err, diagnostics)
		}
	}
}

func isUsage(err error) bool {
	var u *ops.UsageError
	return errors.As(err, &u)
}

func TestUsage(t *testing.T) {
	list, rules, pub := made(t)
	for _, args := range [][]string{
		{"chek"},
		{"check"},
		{"compile"},
		{"test"},
		{"show"},
		{"show", rules, rules},
		{"key", "x"},
		{"check", list, "--pub", pub},
		{"check", rules, list},
		{"compile", rules, "--key", filepath.Join(filepath.Dir(pub), "filter.key")},
		{"test", list, "--severity", "5"},
		{"compile", list, "--mode", "try"},
		{"compile", list, "--name", "a b"},
		{"check", list, "--bad"},
	} {
		if _, _, err := invoke(t, "", args...); !isUsage(err) {
			t.Errorf("%v: %v", args, err)
		}
	}
	var help *ops.HelpRequested
	if _, _, err := invoke(t, ""); !errors.As(err, &help) {
		t.Fatalf("no arguments: %v", err)
	}
	text := help.Text
	for _, c := range subcommands {
		contains(t, text, "barrage filter "+c.example)
		if _, _, err := invoke(t, "", c.name, "--help"); !errors.As(err, &help) {
			t.Errorf("%s --help: %v", c.name, err)
		}
	}
	for name, args := range map[string][]string{
		"no list": {"check", "nowhere.txt"}, "no key": {"compile", list, "--key", "nowhere.key"}, "public key": {"compile", list, "--key", pub},
		"no keys": {"check", rules, "--pub", list}, "no bundle": {"show", list},
	} {
		if _, _, err := invoke(t, "", args...); err == nil || isUsage(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATenMegabyteListIsChecked(t *testing.T) {
	if testing.Short() {
		t.Skip("170,000 words")
	}
	b := []byte("%list 1\n%default category=spam\n")
	for i := 0; len(b) < 10<<20; i++ {
		b = fmt.Appendf(b, "zounds%08xgadzooksforsoothegadsodsbodikinsmarryprithee\n", uint32(i)*2654435761)
	}
	contains(t, must(t, "check", write(t, "big.txt", string(b))), "engine folded")
}
