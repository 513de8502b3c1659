package room

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/barrage-im/barrage/core/machine"
)

// An entry is a framed rpc.Entry (machine.AppendFrame). Its sections are packed
// by the leader as they come, encoded by whoever made them.

// Errors of Apply. The replica stops at either: it must not skip an entry.
var (
	ErrNewer   = machine.ErrNewer
	ErrCorrupt = machine.ErrCorrupt
)

// AppendEntry frames sections, each made by AppendSection, as one log entry.
// timeMS is the leader's clock.
func AppendEntry(dst []byte, timeMS int64, sections []byte) []byte {
	start := len(dst)
	dst = machine.AppendFrame(dst)
	dst = protowire.AppendTag(dst, 1, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(timeMS))
	dst = append(dst, sections...)
	return machine.CloseFrame(dst, start)
}

// AppendSection appends one rpc.Section with its field tag in rpc.Entry, so
// that sections one after the other make an entry. commands are as in
// rpc.Proposal.
func AppendSection(dst []byte, edge, generation, first uint64, commands []byte) []byte {
	size := 1 + 8 + 1 + protowire.SizeVarint(generation) + 1 + protowire.SizeVarint(first) + len(commands)
	dst = slices.Grow(dst, size+1+protowire.SizeVarint(uint64(size)))
	dst = protowire.AppendTag(dst, 2, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = protowire.AppendTag(dst, 1, protowire.Fixed64Type)
	dst = protowire.AppendFixed64(dst, edge)
	dst = protowire.AppendTag(dst, 2, protowire.VarintType)
	dst = protowire.AppendVarint(dst, generation)
	dst = protowire.AppendTag(dst, 3, protowire.VarintType)
	dst = protowire.AppendVarint(dst, first)
	return append(dst, commands...)
}

// section is a decoded rpc.Section; its commands lie in the payload.
type section struct {
	edge, generation, first uint64
	bad                     bool // undecodable
	commands                []command
}

// command is what an rpc.Command holds: its one field.
type command struct {
	op   protowire.Number // 0: undecodable
	body []byte
}

// The operations by their field number in rpc.Command.
const (
	opLease    = 1
	opPublish  = 2
	opPresence = 3
	opRelease  = 4
	opModerate = 5
	opTick     = 16
	opTerm     = 17
	opPolicies = 18
)

// Known reports whether this version can apply an encoded rpc.Command. A core
// node refuses others before they get into the log, where every replica of
// this version would have to stop. A damaged command is known: it is answered
// with BadCommand.
func Known(cmd []byte) bool {
	_, err := parseCommand(cmd)
	return err == nil
}

// parseCommand finds the one operation of a command. New meaning needs a new
// operation: a field that this version does not know inside one is ignored or
// refused, but a new operation stops it.
func parseCommand(cmd []byte) (command, error) {
	var c command
	for fields := 0; len(cmd) > 0; fields++ {
		num, kind, n := protowire.ConsumeTag(cmd)
		if n < 0 {
			return command{}, nil
		}
		m := protowire.ConsumeFieldValue(num, kind, cmd[n:])
		if m < 0 {
			return command{}, nil
		}
		switch num {
		case opLease, opPublish, opPresence, opRelease, opModerate, opTick, opTerm, opPolicies:
			if fields > 0 || kind != protowire.BytesType {
				return command{}, nil
			}
			c.op = num
			c.body, _ = protowire.ConsumeBytes(cmd[n:])
		default:
			return command{}, fmt.Errorf("command %d: %w", num, ErrNewer)
		}
		cmd = cmd[n+m:]
	}
	return c, nil
}

// decodeEntry checks the frame and finds all commands, so that an entry which
// cannot be applied is refused before any of it is.
func (s *Shard) decodeEntry(payload []byte) (timeMS int64, err error) {
	s.sections, s.commands = s.sections[:0], s.commands[:0]
	b, err := machine.OpenFrame(payload)
	if err != nil {
		return 0, err
	}
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, fmt.Errorf("entry field: %w", ErrCorrupt)
		}
		b = b[n:]
		switch {
		case num == 1 && kind == protowire.VarintType:
			var v uint64
			v, n = protowire.ConsumeVarint(b)
			timeMS = int64(v)
		case num == 2 && kind == protowire.BytesType:
			var body []byte
			if body, n = protowire.ConsumeBytes(b); n >= 0 {
				if err := s.decodeSection(body); err != nil {
					return 0, err
				}
			}
		default:
			return 0, fmt.Errorf("entry field %d: %w", num, ErrNewer)
		}
		if n < 0 {
			return 0, fmt.Errorf("entry field %d: %w", num, ErrCorrupt)
		}
		b = b[n:]
	}
	return timeMS, nil
}

func (s *Shard) decodeSection(b []byte) error {
	var sec section
	start := len(s.commands)
	for len(b) > 0 && !sec.bad {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			sec.bad = true
			break
		}
		b = b[n:]
		switch {
		case num == 1 && kind == protowire.Fixed64Type:
			sec.edge, n = protowire.ConsumeFixed64(b)
		case num == 2 && kind == protowire.VarintType:
			sec.generation, n = protowire.ConsumeVarint(b)
		case num == 3 && kind == protowire.VarintType:
			sec.first, n = protowire.ConsumeVarint(b)
		case num == 4 && kind == protowire.BytesType:
			var cmd []byte
			if cmd, n = protowire.ConsumeBytes(b); n >= 0 {
				c, err := parseCommand(cmd)
				if err != nil {
					return err
				}
				s.commands = append(s.commands, c)
			}
		case num > 4:
			return fmt.Errorf("section field %d: %w", num, ErrNewer)
		default:
			n = -1
		}
		if n < 0 {
			sec.bad = true
			break
		}
		b = b[n:]
	}
	// The commands of earlier sections keep the array they were appended to,
	// should this append have moved to a larger one.
	sec.commands = s.commands[start:len(s.commands):len(s.commands)]
	if sec.bad {
		sec = section{bad: true}
	}
	s.sections = append(s.sections, sec)
	return nil
}
