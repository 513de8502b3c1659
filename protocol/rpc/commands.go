package rpc

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Proposal.commands is field 4 of Section in its encoded form, so that core
// appends what an edge sends to its log without looking at each command but to
// check it.

const commandsField = 4

// AppendCommand appends an encoded Command to the commands of a Proposal.
func AppendCommand(dst, command []byte) []byte {
	dst = protowire.AppendTag(dst, commandsField, protowire.BytesType)
	return protowire.AppendBytes(dst, command)
}

// PackCommands returns the commands of a Proposal.
func PackCommands(commands ...[]byte) []byte {
	size := 0
	for _, c := range commands {
		size += protowire.SizeTag(commandsField) + protowire.SizeBytes(len(c))
	}
	dst := slices.Grow([]byte(nil), size)
	for _, c := range commands {
		dst = AppendCommand(dst, c)
	}
	return dst
}

// NextCommand cuts the first command off the commands of a Proposal. ok is
// false at their end, and where they are damaged: then rest is not empty.
func NextCommand(commands []byte) (command, rest []byte, ok bool) {
	num, kind, n := protowire.ConsumeTag(commands)
	if n < 0 || num != commandsField || kind != protowire.BytesType {
		return nil, commands, false
	}
	command, m := protowire.ConsumeBytes(commands[n:])
	if m < 0 {
		return nil, commands, false
	}
	return command, commands[n+m:], true
}
