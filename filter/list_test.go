package filter

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files of lists again")

// withoutLines: the canonical form has other lines than the source.
func withoutLines(l *List) List {
	c := *l
	c.Entries = slices.Clone(l.Entries)
	for i := range c.Entries {
		c.Entries[i].Line = 0
	}
	return c
}

func TestAListIsRead(t *testing.T) {
	source, err := os.ReadFile("testdata/chat-en.txt")
	if err != nil {
		t.Fatal(err)
	}
	l, problems := ParseList("file", source)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	insult := []string{"insult"}
	want := List{Name: "chat-en", Language: "en", License: "CC0-1.0", Entries: []Entry{
		{Word: "badword", Language: "en", Severity: 2, Categories: insult, Action: Mask, Left: true, Right: true, Line: 8},
		{Word: "some phrase", Language: "en", Severity: 4, Categories: []string{"threat", "violence"}, Action: Block, Left: true, Right: true, Line: 9},
		{Word: "darn", Language: "en", Severity: 2, Categories: insult, Action: Mask, Left: true, Line: 10},
		{Word: "heck", Language: "en", Severity: 2, Categories: insult, Action: Mask, Line: 11},
		{Word: "加微信", Language: "zh", Severity: 2, Categories: []string{"spam"}, Action: Mask, Line: 12},
		{Word: "秒杀", Language: "zh", Severity: 2, Categories: []string{"spam"}, Action: Mask, Left: true, Right: true, Line: 13},
		{Word: "Scunthorpe", Language: "en", Left: true, Right: true, Allow: true, Line: 14},
		{Word: "weixin", Language: "en", Severity: 2, Categories: insult, Action: Mask, Left: true, Right: true, Strict: true, Line: 15},
		{Word: "#tag", Language: "en", Severity: 2, Categories: insult, Action: Mask, Right: true, Line: 16},
		{Word: "!x", Language: "en", Severity: 2, Categories: insult, Action: Mask, Right: true, Line: 17},
		{Word: "%x", Language: "en", Severity: 2, Categories: insult, Action: Mask, Right: true, Line: 18},
		{Word: "***", Language: "en", Severity: 2, Categories: insult, Action: Mask, Line: 19},
		{Word: `a\b`, Language: "en", Severity: 2, Categories: insult, Action: Mask, Left: true, Right: true, Line: 20},
	}}
	for i := range max(len(want.Entries), len(l.Entries)) {
		if i >= len(l.Entries) || i >= len(want.Entries) || !reflect.DeepEqual(l.Entries[i], want.Entries[i]) {
			t.Fatalf("entry %d: got\n%+v\nwant\n%+v", i, l.Entries, want.Entries)
		}
	}
	if l.Name != want.Name || l.Language != want.Language || l.License != want.License {
		t.Errorf("got %q %q %q", l.Name, l.Language, l.License)
	}

	canonical := AppendList(nil, l)
	const golden = "testdata/chat-en.canonical"
	if *update {
		if err := os.WriteFile(golden, canonical, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(golden); err != nil || !bytes.Equal(canonical, text) {
		t.Errorf("canonical form (%v):\n%s", err, canonical)
	}
	mustReadBack(t, l)
}

// mustReadBack checks that the canonical form is read back as the same list.
func mustReadBack(t *testing.T, l *List) {
	t.Helper()
	canonical := AppendList(nil, l)
	again, problems := ParseList("other", canonical)
	if Fatal(problems) {
		t.Fatalf("%v in\n%s", problems, canonical)
	}
	if a, b := withoutLines(l), withoutLines(again); len(a.Entries)+len(b.Entries) > 0 && !reflect.DeepEqual(a, b) {
		t.Fatalf("wrote\n%+v\nread\n%+v\nas\n%s", a, b, canonical)
	}
	if second := AppendList(nil, again); !bytes.Equal(second, canonical) {
		t.Fatalf("first\n%s\nthen\n%s", canonical, second)
	}
}

// A word's ends are ends of words where its script puts spaces between words.
func TestBoundariesFollowTheScript(t *testing.T) {
	for word, want := range map[string][2]bool{
		"shit": {true, true}, "блин": {true, true}, "حمار": {true, true}, "ÄRGER": {true, true}, "e\u0301t\u0301": {true, true},
		"傻逼": {}, "バカヤロー": {}, "ばか": {}, "바보": {}, "ไอ้บ้า": {}, "ﾊﾞｶﾞ": {}, "々": {},
		"加v1": {false, true}, "2b青年": {true, false}, "🍆": {}, "$$$": {}, "c++": {true, false}, "\u200dshit\u200d": {true, true},
		"ｆｕｃｋ": {true, true}, "चूतिया": {true, true}, "१२": {true, true}, "𝐛𝐚𝐝": {true, true},
		"*shit": {false, true}, "shit*": {true, false}, "*shit*": {}, "|秒杀|": {true, true}, "|秒杀": {true, false},
		"|秒杀*": {true, false}, "*$|": {false, true},
	} {
		l, problems := ParseList("t", []byte("%list 1\n"+word+"\n"))
		if len(problems) > 0 || len(l.Entries) != 1 {
			t.Errorf("%q: %v", word, problems)
			continue
		}
		if e := l.Entries[0]; e.Left != want[0] || e.Right != want[1] {
			t.Errorf("%q: left %v, right %v, want %v", word, e.Left, e.Right, want)
		}
		mustReadBack(t, l)
	}
}

// Bad input: each with its line, and with what to do.
func TestProblemsOfLists(t *testing.T) {
	const head = "%list 1\n"
	for name, c := range map[string]struct {
		source  string
		want    []string // each is part of the problem at its place
		entries int
	}{
		"empty file":          {"", []string{"the list is empty: it must begin"}, 0},
		"only comments":       {"# nothing\n\n", []string{"the list is empty"}, 0},
		"no entries":          {head, []string{"warning: the list has no entries"}, 0},
		"no version":          {"word\n", []string{"line 1: the list must begin with"}, 1},
		"version later":       {"%name x\n%list 1\nword\n", []string{"line 1: the list must begin"}, 1},
		"newer version":       {"%list 2\nword\n", []string{`line 1: the list is of format version "2"`}, 0},
		"unknown directive":   {head + "%lang en\na\n", []string{"line 2: %lang is no directive: use one of [list name"}, 1},
		"directive twice":     {head + "%name a\n%name b\na\n", []string{"line 3: %name stands in line 2 already"}, 1},
		"directive too late":  {head + "a\n%language en\n", []string{"line 3: %language must stand before the first entry"}, 1},
		"bad name":            {head + "%name a b\na\n", []string{"line 2: %name: \"a b\" has a character"}, 1},
		"bad language":        {head + "%language klingon_x\na\n", []string{"line 2: %language: \"klingon_x\" is no language tag"}, 1},
		"no licence":          {head + "%license\na\n", []string{"line 2: %license: 0 bytes"}, 1},
		"bad default":         {head + "%default severity=9\na\n", []string{"line 2: %default: severity \"9\": use 1 to 4"}, 1},
		"unknown option":      {head + "a\tlevel=3\n", []string{`line 2: "level" is no option: use one of [severity`}, 0},
		"option without =":    {head + "a\tblock\n", []string{`line 2: "block" is no option: write name=value`}, 0},
		"option twice":        {head + "a\tseverity=1 severity=2\n", []string{"line 2: severity is given twice"}, 0},
		"bad severity":        {head + "a\tseverity=5\nb\tseverity=0\nc\tseverity=\n", []string{"line 2: severity \"5\"", "line 3: severity \"0\"", "line 4: severity \"\""}, 0},
		"bad action":          {head + "a\taction=kill\n", []string{`line 2: "kill" is no action`}, 0},
		"action pass":         {head + "a\taction=pass\n", []string{"line 2: action=pass: write ! before"}, 0},
		"bad category":        {head + "a\tcategory=x,,y\nb\tcategory=ä\n", []string{"line 2: category \"\"", "line 3: category \"ä\""}, 0},
		"many categories":     {head + "a\tcategory=1,2,3,4,5,6,7,8,9\n", []string{"line 2: 9 categories; use at most 8"}, 0},
		"bad strict":          {head + "a\tstrict=on\n", []string{"line 2: strict \"on\": use yes or no"}, 0},
		"allowed with option": {head + "!a\tseverity=2\n", []string{"line 2: \"a\" is an allowed word"}, 0},
		"empty word":          {head + "\tseverity=2\n*\n!\n**\n", []string{"line 2: there is no word", "line 3: there is no", "line 4: there is no", "line 5: there is no"}, 0},
		"invisible word":      {head + "\u200b\u200d\n", []string{"line 2: there is no word"}, 0},
		"long word":           {head + strings.Repeat("好", 171) + "\n", []string{"has 513 bytes; a word has at most 512"}, 0},
		"not UTF-8":           {head + "caf\xe9\nok\n", []string{"line 2: byte 4 of the line is not UTF-8"}, 1},
		"NUL":                 {head + "a\x00b\n", []string{"line 2: control character U+0000"}, 0},
		"lone CR":             {head + "a\rb\n", []string{"line 2: control character U+000D"}, 0},
		"line separator":      {head + "a\u2028b\n", []string{"line 2: control character U+2028"}, 0},
		"star inside":         {head + "f*ck\n", []string{`line 2: * inside "f*ck"`}, 0},
		"bad escape":          {head + `a\n` + "\n" + `b\` + "\n", []string{`line 2: \ in "a\\n"`, `line 3: \ in`}, 0},
		"space for tab":       {head + "bad severity=4\n", []string{"line 2: severity= inside \"bad severity=4\": options need a tab"}, 0},
		"comment behind word": {head + "bad # why\n", []string{"line 2: warning: \"bad # why\" is all one phrase"}, 1},
		"trailing space":      {head + "bad \nsad \tseverity=2\n", []string{"line 2: warning: spaces", "line 3: warning: spaces"}, 2},
		"bidi control":        {head + "a\u202eb\n", []string{"line 2: warning: \"a\\u202eb\" has U+202E"}, 1},
		"duplicate":           {head + "bad\nBAD\tseverity=2\n", []string{"line 3: warning: \"BAD\" stands in line 2 already"}, 1},
		"composed duplicate":  {head + "caf\u00e9\ncafe\u0301\n", []string{"line 3: warning:"}, 1},
		"allowed and not":     {head + "bad\n!Bad\n", []string{"line 3: \"Bad\" contradicts line 2: one is allowed"}, 1},
		"other action":        {head + "bad\nbad\taction=block\n", []string{"line 3: \"bad\" contradicts line 2: action mask there, block here"}, 1},
		"other severity":      {head + "bad\nbad\tseverity=4\n", []string{"contradicts line 2: severity 2 there, 4 here"}, 1},
		"other ends":          {head + "bad\nbad*\n", []string{"contradicts line 2: they end differently"}, 1},
		"other categories":    {head + "bad\nbad\tcategory=x\n", []string{"contradicts line 2: the categories differ"}, 1},
		"strict or not":       {head + "bad\nbad\tstrict=yes\n", []string{"contradicts line 2: one is strict"}, 1},
		"other language":      {head + "bad\nbad\tlanguage=de\n", []string{"contradicts line 2: language \"\" there, \"de\" here"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			l, problems := ParseList("t", []byte(c.source))
			if len(problems) != len(c.want) || len(l.Entries) != c.entries {
				t.Fatalf("%d entries, problems %v", len(l.Entries), problems)
			}
			for i, want := range c.want {
				if got := problems[i].String(); !strings.Contains(got, want) {
					t.Errorf("got  %s\nwant %s", got, want)
				}
				if problems[i].Fatal == strings.Contains(want, "warning:") {
					t.Errorf("fatal: %v: %s", problems[i].Fatal, problems[i])
				}
			}
			mustReadBack(t, l)
		})
	}
}

func TestAListNeedsAName(t *testing.T) {
	for _, name := range []string{"", "my list", strings.Repeat("x", MaxName+1)} {
		if _, problems := ParseList(name, []byte("%list 1\na\n")); !Fatal(problems) || !strings.Contains(fmt.Sprint(problems), "%name") {
			t.Errorf("%q: %v", name, problems)
		}
	}
}

// A default holds until the next one, which begins anew.
func TestDefaults(t *testing.T) {
	l, problems := ParseList("t", []byte("%list 1\n%language en\na\n%default severity=4 action=block category=x language=de strict=yes\n"+
		"b\nc\tseverity=1 category= strict=no language=\n!ok\n%default action=flag\nd\tseverity=3\n%default\ne\tseverity=3\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	x := []string{"x"}
	want := []Entry{
		{Word: "a", Language: "en", Severity: 2, Action: Mask},
		{Word: "b", Language: "de", Severity: 4, Action: Block, Categories: x, Strict: true},
		{Word: "c", Severity: 1, Action: Block},
		{Word: "ok", Language: "de", Allow: true},
		{Word: "d", Language: "en", Severity: 3, Action: Flag},
		{Word: "e", Language: "en", Severity: 3, Action: Mask}, // the same text of options, upon another default
	}
	for i := range want {
		want[i].Left, want[i].Right = true, true
	}
	if got := withoutLines(l).Entries; !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	mustReadBack(t, l)
}

func TestOnlyTheFirstProblemsAreTold(t *testing.T) {
	var b strings.Builder
	b.WriteString("%list 1\nword\n")
	for range 3 * MaxProblems {
		b.WriteString("word\n")
	}
	b.WriteString("word\taction=block\n")
	_, problems := ParseList("t", []byte(b.String()))
	if len(problems) != MaxProblems+1 || !Fatal(problems) {
		t.Fatalf("%d problems, fatal: %v", len(problems), Fatal(problems))
	}
	// What is fatal is told although the warnings alone are too many.
	if p := problems[MaxProblems-1]; !p.Fatal || !strings.Contains(p.Message, "contradicts line 2") {
		t.Errorf("the last that is told: %s", p)
	}
	if p := problems[MaxProblems]; p.Fatal || p.Message != fmt.Sprintf("and %d more", 2*MaxProblems+1) {
		t.Errorf("behind them: %s", p)
	}
	if _, problems := ParseList("t", []byte("%list 1\n"+strings.Repeat("\xff\n", 2*MaxProblems))); !problems[len(problems)-1].Fatal {
		t.Errorf("behind fatal ones: %v", problems[len(problems)-1])
	}
}

// bigList is about 10 MB, as a mixed dictionary would be.
func bigList() []byte {
	b := []byte("%list 1\n%default category=spam\n")
	for i := 0; len(b) < 10<<20; i++ {
		switch i % 4 {
		case 0:
			b = fmt.Appendf(b, "加微信%d\n", i)
		case 1:
			b = fmt.Appendf(b, "word%d\tseverity=3 action=block\n", i)
		case 2:
			b = fmt.Appendf(b, "|%c%c秒杀%d|\tcategory=a,b\n", 0x4e00+i%20000, 0x4e00+i/20000, i)
		case 3:
			b = fmt.Appendf(b, "*éclair %d*\n", i)
		}
	}
	return b
}

func TestATenMegabyteListIsReadAtOnce(t *testing.T) {
	source := bigList()
	best := time.Hour
	var l *List
	for range 3 { // the machine has other work
		start := time.Now()
		var problems []Problem
		l, problems = ParseList("big", source)
		best = min(best, time.Since(start))
		if len(problems) > 0 || len(l.Entries) < 300_000 {
			t.Fatalf("%d entries, %v", len(l.Entries), problems)
		}
		if best < time.Second {
			break
		}
	}
	t.Logf("%d entries, %d bytes in %v", len(l.Entries), len(source), best)
	if best > 10*time.Second { // alone: 0.3 s; under the race detector ten times that
		t.Errorf("took %v", best)
	}
}

func TestTooMuchIsRefused(t *testing.T) {
	l, problems := ParseList("t", make([]byte, MaxSource+1))
	if !Fatal(problems) || len(l.Entries) > 0 || !strings.Contains(problems[0].Message, "split it") {
		t.Errorf("source: %v", problems)
	}
	if testing.Short() {
		t.Skip("a million entries take a second")
	}
	b := []byte("%list 1\n")
	for i := range MaxEntries + 2 {
		b = fmt.Appendf(b, "w%x\n", i)
	}
	l, problems = ParseList("t", b)
	if len(l.Entries) != MaxEntries || len(problems) != 1 || !strings.Contains(problems[0].String(), "line 1000002: more than 1000000 entries") {
		t.Errorf("%d entries: %v", len(l.Entries), problems)
	}
}

func FuzzParseList(f *testing.F) {
	if source, err := os.ReadFile("testdata/chat-en.txt"); err == nil {
		f.Add(source)
	}
	f.Add([]byte("%list 1\n%language zh\n%default language= strict=yes\na\\=b severity\\=1\n!x\tlanguage=en\nÀ*\n*\u0301*\n"))
	f.Add([]byte("%list 1\n\\|\\*\\\\*\n||\n **a \n\\ \n\xff\n"))
	f.Fuzz(func(t *testing.T, source []byte) {
		l, problems := ParseList("fuzz", source)
		if len(problems) > MaxProblems+1 {
			t.Fatalf("%d problems", len(problems))
		}
		mustReadBack(t, l)
	})
}

func BenchmarkParseList(b *testing.B) {
	source := bigList()
	b.SetBytes(int64(len(source)))
	b.ReportAllocs()
	for b.Loop() {
		ParseList("big", source)
	}
}
