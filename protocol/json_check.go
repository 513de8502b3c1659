package protocol

import (
	"strconv"
	"unicode/utf8"
)

// maxMembers bounds the members of one JSON object: twice the largest message.
const maxMembers = 32

// checkJSON holds a frame to the one form that no two JSON parsers read
// differently: one object, UTF-8, no byte order mark, nesting to maxDepth, no
// member twice, no escape in a member's name, integers written without fraction
// or exponent and no larger than MaxSeq, no escaped lone surrogate. An error is
// Malformed.
func checkJSON(frame []byte) error {
	if !utf8.Valid(frame) {
		return Errorf(Malformed, "a JSON frame must be valid UTF-8")
	}
	c := jsonChecker{in: frame}
	c.space()
	if c.peek() != '{' {
		return Errorf(Malformed, "a JSON frame must be one object")
	}
	c.value(0)
	c.space()
	if c.err == "" && c.at < len(c.in) {
		c.err = "a JSON frame must be one object on a line of its own"
	}
	if c.err != "" {
		return Errorf(Malformed, "%s (at byte %d)", c.err, c.at)
	}
	return nil
}

type jsonChecker struct {
	in  []byte
	at  int
	err string // the first one; nothing moves once it is set
}

func (c *jsonChecker) peek() byte {
	if c.at < len(c.in) {
		return c.in[c.at]
	}
	return 0
}

func (c *jsonChecker) space() {
	for c.at < len(c.in) {
		switch c.in[c.at] {
		case ' ', '\t', '\r', '\n':
			c.at++
		default:
			return
		}
	}
}

// take moves past b and reports whether it was there.
func (c *jsonChecker) take(b byte) bool {
	if c.err != "" || c.peek() != b || c.at == len(c.in) {
		return false
	}
	c.at++
	return true
}

func (c *jsonChecker) fail(err string) {
	if c.err == "" {
		c.err = err
	}
}

func (c *jsonChecker) value(depth int) {
	if depth > maxDepth {
		c.fail("JSON nested too deep")
		return
	}
	switch b := c.peek(); {
	case b == '{':
		c.object(depth)
	case b == '[':
		c.array(depth)
	case b == '"':
		c.str()
	case b == '-' || b >= '0' && b <= '9':
		c.number()
	default:
		c.literal()
	}
}

func (c *jsonChecker) object(depth int) {
	c.at++
	var room [8][]byte
	names := room[:0]
	c.space()
	if c.take('}') {
		return
	}
	for c.err == "" {
		c.space()
		if c.peek() != '"' {
			c.fail("a member's name must be a string")
			return
		}
		name, escaped := c.str()
		if escaped {
			c.fail("a member's name must not contain escapes")
		}
		if len(names) == maxMembers {
			c.fail("too many members in one object")
		}
		for _, other := range names {
			if string(other) == string(name) {
				c.fail("a member must not appear twice")
			}
		}
		names = append(names, name)
		c.space()
		if !c.take(':') {
			c.fail("a colon must follow a member's name")
			return
		}
		c.space()
		c.value(depth + 1)
		c.space()
		if c.take('}') {
			return
		}
		if !c.take(',') {
			c.fail("JSON syntax")
		}
	}
}

func (c *jsonChecker) array(depth int) {
	c.at++
	c.space()
	if c.take(']') {
		return
	}
	for c.err == "" {
		c.space()
		c.value(depth + 1)
		c.space()
		if c.take(']') {
			return
		}
		if !c.take(',') {
			c.fail("JSON syntax")
		}
	}
}

// str moves past a string and returns what is between its quotes.
func (c *jsonChecker) str() (raw []byte, escaped bool) {
	c.at++
	start := c.at
	for c.at < len(c.in) {
		switch b := c.in[c.at]; {
		case b == '"':
			c.at++
			return c.in[start : c.at-1], escaped
		case b < ' ':
			c.fail("a control character in a string")
			return nil, escaped
		case b == '\\':
			escaped = true
			if !c.escape() {
				c.fail("a bad escape in a string")
				return nil, escaped
			}
		default:
			c.at++
		}
	}
	c.fail("a string without end")
	return nil, escaped
}

func (c *jsonChecker) escape() bool {
	if c.at+1 >= len(c.in) {
		return false
	}
	switch c.in[c.at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		c.at += 2
		return true
	case 'u':
	default:
		return false
	}
	r, ok := c.unit()
	if !ok || r >= 0xdc00 && r <= 0xdfff {
		return false
	}
	if r >= 0xd800 && r <= 0xdbff {
		low, ok := c.unit()
		return ok && low >= 0xdc00 && low <= 0xdfff
	}
	return true
}

// unit reads \uXXXX.
func (c *jsonChecker) unit() (uint64, bool) {
	if c.at+6 > len(c.in) || c.in[c.at] != '\\' || c.in[c.at+1] != 'u' {
		return 0, false
	}
	r, err := strconv.ParseUint(string(c.in[c.at+2:c.at+6]), 16, 32)
	c.at += 6
	return r, err == nil
}

func (c *jsonChecker) number() {
	negative := c.take('-')
	start := c.at
	for c.at < len(c.in) && c.in[c.at] >= '0' && c.in[c.at] <= '9' {
		c.at++
	}
	digits := c.in[start:c.at]
	v, err := strconv.ParseUint(string(digits), 10, 64)
	switch next := c.peek(); {
	case len(digits) == 0, len(digits) > 1 && digits[0] == '0', negative && v == 0:
		c.fail("a number must be a plain integer")
	case next == '.' || next == 'e' || next == 'E':
		c.fail("a number must have no fraction and no exponent")
	case err != nil || v > MaxSeq:
		c.fail("a number must not be larger than 2^53-1")
	}
}

func (c *jsonChecker) literal() {
	for _, word := range [...]string{"true", "false", "null"} {
		if len(c.in)-c.at >= len(word) && string(c.in[c.at:c.at+len(word)]) == word {
			c.at += len(word)
			return
		}
	}
	c.fail("JSON syntax")
}
