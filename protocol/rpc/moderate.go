package rpc

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/barrage-im/barrage/protocol"
)

// Actions are what core can do for a moderator.
var Actions = []string{"retract", "mute", "unmute", "ban", "unban", "slow"}

// CheckModerate says what is wrong with a moderation, for whoever asks for it;
// what it lets pass, a room may still refuse.
func CheckModerate(m *Moderate) error {
	if _, err := protocol.CanonicalRoom(m.GetRoom()); err != nil {
		return errors.New(message(err))
	}
	switch {
	case !slices.Contains(Actions, m.GetAction()):
		return fmt.Errorf("action %.40q is none of %v", m.GetAction(), Actions)
	case len(m.GetReason()) > protocol.MaxReason:
		return fmt.Errorf("the reason has %d bytes, at most %d are allowed", len(m.GetReason()), protocol.MaxReason)
	case !utf8.ValidString(m.GetReason()):
		return errors.New("the reason must be valid UTF-8")
	}
	switch m.GetAction() {
	case "retract":
		if m.GetSeq() == 0 || m.GetSeq() > protocol.MaxSeq {
			return errors.New("retract needs the seq of a message")
		}
	case "slow":
		if m.GetDurationMs() > MaxSlowMode {
			return fmt.Errorf("slow mode of %d ms, the most is %d (a day)", m.GetDurationMs(), int64(MaxSlowMode))
		}
	default:
		if err := protocol.CheckUser(m.GetUser()); err != nil {
			return fmt.Errorf("user %.80q: %s", m.GetUser(), message(err))
		}
		if m.GetDurationMs() > uint64(protocol.MaxSanction.Milliseconds()) {
			return fmt.Errorf("%d ms is more than ten years: leave the duration out, and it holds until it is lifted", m.GetDurationMs())
		}
	}
	return nil
}

// message is a fault's text without its code.
func message(err error) string {
	var fault *protocol.Error
	if errors.As(err, &fault) {
		return fault.Message
	}
	return err.Error()
}
