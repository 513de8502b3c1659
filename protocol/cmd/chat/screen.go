package chat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// A screen is where lines are shown and typed: a terminal with line editing, or
// plain streams.
type screen struct {
	in      io.Reader
	out     io.Writer
	painted bool           // colours
	term    *term.Terminal // nil when plain
	restore func()

	mu sync.Mutex // held while writing a line
}

func newScreen(in io.Reader, out io.Writer, plain bool) (*screen, error) {
	s := &screen{in: in, out: out, restore: func() {}}
	inFile, inOK := in.(*os.File)
	outFile, outOK := out.(*os.File)
	if plain || !inOK || !outOK || !term.IsTerminal(int(inFile.Fd())) || !term.IsTerminal(int(outFile.Fd())) || os.Getenv("TERM") == "dumb" {
		return s, nil
	}
	before, err := term.MakeRaw(int(inFile.Fd()))
	if err != nil {
		return nil, fmt.Errorf("prepare the terminal: %w; --plain does without", err)
	}
	s.painted = os.Getenv("NO_COLOR") == ""
	s.term = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, out}, "> ")
	s.term.SetBracketedPasteMode(true)
	if w, h, err := term.GetSize(int(outFile.Fd())); err == nil && w > 0 && h > 0 {
		_ = s.term.SetSize(w, h) // the next line will know better
	}
	s.restore = func() {
		s.term.SetBracketedPasteMode(false)
		_ = term.Restore(int(inFile.Fd()), before) // nothing more can be done about it
	}
	return s, nil
}

func (s *screen) close() {
	s.prompt("")
	s.restore()
}

// read sends what is typed, line by line, until the input ends or ctx does.
func (s *screen) read(ctx context.Context, lines chan<- string) {
	if s.term == nil {
		readLines(ctx, s.in, lines)
		return
	}
	defer close(lines)
	for {
		line, err := s.term.ReadLine()
		if err != nil && !errors.Is(err, term.ErrPasteIndicator) {
			return // end of input, Ctrl-C or Ctrl-D
		}
		select {
		case lines <- line:
		case <-ctx.Done():
			return
		}
	}
}

// print shows one line, above the one being typed.
func (s *screen) print(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.out
	if s.term != nil {
		w = s.term
		if f, ok := s.out.(*os.File); ok {
			if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 0 && height > 0 {
				_ = s.term.SetSize(width, height)
			}
		}
	}
	_, _ = io.WriteString(w, line+"\n") // a screen that is gone ends the input too
}

func (s *screen) prompt(p string) {
	if s.term != nil {
		s.term.SetPrompt(p)
	}
}

const reset = "\x1b[0m"

func (s *screen) paint(code, text string) string {
	if !s.painted || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + reset
}

func (s *screen) dim(text string) string { return s.paint("2", text) }

// name paints a user's name; it is padded by the caller, if at all.
func (s *screen) name(user, name string, own bool) string {
	code := fmt.Sprintf("38;5;%d", colour(user))
	if own {
		code = "1;" + code
	}
	return s.paint(code, name)
}

// note shows a line about the room rather than of it.
func (s *screen) note(format string, args ...any) {
	s.print(s.dim("— " + fmt.Sprintf(format, args...)))
}
