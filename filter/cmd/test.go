package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/protocol/ops"
)

// maxLine bounds a text that is read from standard input, in bytes: more than
// any message has.
const maxLine = 1 << 20

// textView is what became of a text, in JSON.
type textView struct {
	Text     string      `json:"text"`
	Action   string      `json:"action"`
	Severity uint8       `json:"severity,omitempty"`
	Masked   string      `json:"masked,omitempty"`
	Matches  []matchView `json:"matches,omitempty"`
	Sound    *entryView  `json:"sound,omitempty"` // found by sound only
}

// matchView has byte offsets into the text.
type matchView struct {
	Start int32  `json:"start"`
	End   int32  `json:"end"`
	Text  string `json:"text"`
	entryView
}

type entryView struct {
	Word       string   `json:"word"`
	Where      string   `json:"where"`
	Action     string   `json:"action"`
	Severity   uint8    `json:"severity"`
	Categories []string `json:"categories,omitempty"`
}

type testOptions struct {
	Pub      string `yaml:"pub" help:"file with the public keys, to check a bundle's signature"`
	Severity uint32 `yaml:"severity" help:"entries below do not count, as in a room's filter_severity"`
	JSON     bool   `yaml:"json" help:"print an object for each text"`
}

// Validate refuses severities that no entry has.
func (o testOptions) Validate() error {
	if o.Severity < filter.MinSeverity || o.Severity > filter.MaxSeverity {
		return fmt.Errorf("severity %d: use %d to %d", o.Severity, filter.MinSeverity, filter.MaxSeverity)
	}
	return nil
}

func test(ctx context.Context, s streams, args []string) error {
	o := testOptions{Severity: filter.MinSeverity}
	const usage = "filter test [flags] LIST|BUNDLE [TEXT...]   (without a text: lines of standard input)"
	rest, err := ops.Flags(usage, &o, args)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return ops.Usagef("usage: barrage %s", usage)
	}
	all, err := load(rest[:1], o.Pub)
	if err != nil {
		return err
	}
	var f *filter.Filter
	if all.fatal == 0 {
		if f, err = filter.Compile(all.entries, filter.Options{}); err != nil {
			all.uncompilable(err)
		}
	}
	if err := all.writeProblems(s.err); err != nil {
		return err
	}
	try := func(text string) error {
		v := all.judge(f, text, uint8(o.Severity))
		if o.JSON {
			return json.NewEncoder(s.out).Encode(v)
		}
		return v.write(s)
	}
	if texts := rest[1:]; len(texts) > 0 && (len(texts) > 1 || texts[0] != "-") {
		for _, text := range texts {
			if err := try(text); err != nil {
				return err
			}
		}
		return nil
	}
	lines := bufio.NewScanner(s.in)
	lines.Buffer(nil, maxLine)
	for lines.Scan() && ctx.Err() == nil {
		if err := try(lines.Text()); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("a line of standard input has more than %s; no message is as long", size(maxLine))
	}
	return errors.Join(lines.Err(), ctx.Err())
}

func (s *set) judge(f *filter.Filter, text string, severity uint8) textView {
	verdict := f.Judge([]byte(text), severity)
	v := textView{Text: text, Action: verdict.Action.String(), Severity: verdict.Severity}
	if verdict.Action == filter.Pass {
		v.Severity = 0
	}
	for _, m := range f.Scan(nil, []byte(text)) {
		if s.entries[m.Entry].Severity < severity {
			continue
		}
		v.Matches = append(v.Matches, matchView{Start: m.Start, End: m.End, Text: text[m.Start:m.End], entryView: s.viewEntry(m.Entry)})
	}
	if verdict.Action != filter.Pass && len(v.Matches) == 0 && s.entries[verdict.Entry].Strict {
		e := s.viewEntry(verdict.Entry)
		v.Sound = &e
	}
	if masked := string(f.AppendMasked(nil, []byte(text), severity)); masked != text {
		v.Masked = masked
	}
	return v
}

func (s *set) viewEntry(i uint32) entryView {
	e := &s.entries[i]
	return entryView{Word: e.Word, Where: s.where(i), Action: e.Action.String(), Severity: e.Severity, Categories: e.Categories}
}

func (e entryView) String() string {
	about := append([]string{e.Where, e.Action, fmt.Sprintf("severity %d", e.Severity)}, e.Categories...)
	return fmt.Sprintf("%s (%s)", printable(e.Word), strings.Join(about, ", "))
}

// write tells it in lines: the verdict and the text, and below what was found.
func (v textView) write(s streams) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%-6s  %s\n", v.Action, printable(v.Text))
	for _, m := range v.Matches {
		fmt.Fprintf(&b, "        %d-%d %q: %s\n", m.Start, m.End, m.Text, m.entryView)
	}
	if v.Sound != nil {
		fmt.Fprintf(&b, "        by sound: %s\n", v.Sound)
	}
	if v.Masked != "" {
		fmt.Fprintf(&b, "        masked: %s\n", printable(v.Masked))
	}
	_, err := s.out.Write([]byte(b.String()))
	return err
}
