package client

import (
	"errors"
	"fmt"
	"time"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/wire"
)

var (
	// ErrClosed: the client was closed, by Close or by a terminal error, which
	// it then wraps.
	ErrClosed = errors.New("client: closed")
	// ErrOutcomeUnknown: the publish was sent and not answered in time. It may
	// have been accepted. Sending it again under the same Message.Key (choose
	// one, to know it) within protocol.KeyWindow is safe.
	ErrOutcomeUnknown = errors.New("client: outcome unknown: it was sent, and may have been accepted")
	// ErrNotSent: the publish never left this process, or only to be refused for
	// the time being, every time. It was not accepted.
	ErrNotSent = errors.New("client: not sent")
	// ErrTimeout: Config.PublishTimeout has passed. Comes together with
	// ErrOutcomeUnknown or ErrNotSent.
	ErrTimeout = errors.New("client: publish timed out")
	// ErrFull: Config.MaxPending publishes wait for their answer.
	ErrFull = errors.New("client: too many publishes pending; wait for answers")
)

// Message is one message of a room: received, or to be published. A publish
// takes Key, Kind, Text and Data; the server sets the rest.
type Message struct {
	Seq    uint64
	Epoch  string    // of the room: seq counts within it
	Time   time.Time // when it was committed
	Sender string    // user id
	Name   string    // the sender's display name, may be empty

	Key  string // publish only: unique per message; empty means random
	Kind string
	Text string
	Data []byte // never changed after it was handed over

	// Retracts is the seq of an earlier message that this one takes back: stop
	// showing that. Text is the reason.
	Retracts uint64
	// Gone says why the message has no content: protocol.GoneRetracted, or
	// protocol.GoneWithheld for one that is for others and not to be shown.
	Gone string
	// Shadow: only its sender and moderators, of whom this user is one, get it.
	Shadow bool
}

// Ack says that a message is committed.
type Ack struct {
	Seq       uint64
	Epoch     string
	Time      time.Time
	Survive   string // what the message survives the loss of: "region" or "zone"
	Duplicate bool   // an earlier attempt under this key had been accepted
	Key       string // the key it was published under
	// Verdict is protocol.VerdictMask when the room's filter replaced words; Text
	// is what everybody got then.
	Verdict string
	Text    string
}

// Position is a place in a room's log: everything up to Seq was delivered.
type Position struct {
	Epoch string
	Seq   uint64
}

// Gap names messages that the application will not get. One of them may have
// taken back a message that is still shown: read again, with History, what is.
type Gap struct {
	First, Last uint64 // inclusive, in Epoch; Last < First when no seq is known
	Reason      string // "trimmed", "slow", "epoch", "merged"
	Epoch       string // epoch from here on
	Was         string // the epoch before, when Reason is "epoch"
}

// Count is the number of messages named, 0 when unknown.
func (g Gap) Count() uint64 {
	if g.Last < g.First {
		return 0
	}
	return g.Last - g.First + 1
}

// Presence is a change of a room's membership. Joined and Left are present
// only when the room's policy asks for events.
type Presence struct {
	Members      uint64
	Joined, Left []Member
}

// Member is one user of a room.
type Member struct {
	User     string
	Name     string
	Sessions uint32
}

// RoomState says how things stand with a room.
type RoomState struct {
	Joined    bool   // false while the connection is away, and when Err is set
	Recovered bool   // this join continued where the one before ended
	Missed    uint64 // messages lost between the last one delivered and this join; OnGap names them
	Members   uint64
	Survive   string
	SlowMode  time.Duration // pause between two messages of one user
	MaxBytes  uint32        // of one message
	Role      string        // what the user is here, as of the last join: see protocol.Roles
	Err       error         // the room was lost for good: why
}

// Phase is the state of a connection.
type Phase uint8

// The phases.
const (
	Connecting Phase = iota // dialling
	Connected
	Waiting // lost, trying again after State.Retry
	Closed  // for good, State.Err says why
)

func (p Phase) String() string {
	switch p {
	case Connecting:
		return "connecting"
	case Connected:
		return "connected"
	case Waiting:
		return "waiting"
	case Closed:
		return "closed"
	}
	return fmt.Sprintf("phase_%d", uint8(p))
}

// State says how the client's connection stands.
type State struct {
	Phase    Phase
	Endpoint string        // connected or being tried
	Retry    time.Duration // Waiting: how long
	Err      error         // Waiting: what ended the connection; Closed: why
	Moved    bool          // Connected: moved from a living connection, nothing was interrupted
}

// Info is what the server said when the connection began.
type Info struct {
	Session  string
	User     string
	Name     string
	Region   string
	Edge     string
	Endpoint string
	Expires  time.Time // of the token; zero means never
	Limits   Limits
	// Heartbeat is how long the connection may be silent before the server
	// beats; HeartbeatTimeout how long an answer may take.
	Heartbeat        time.Duration
	HeartbeatTimeout time.Duration

	resume string
}

// Limits are the server's, for this session.
type Limits struct {
	FrameBytes   int // largest client frame
	MessageBytes int // largest Text + Data
	Rooms        int
	Outstanding  int // publishes not answered yet
	History      int // messages of one page
	KeyWindow    time.Duration
}

// JoinOptions say where a join begins. With Since it continues after that
// position; without, it begins at the head, preceded by up to Recent messages.
type JoinOptions struct {
	Recent int
	Since  *Position
}

// Events are a room's callbacks; nil ones are skipped. All callbacks of a
// client run one after the other on one goroutine. While one runs, at most
// about 4 MiB are buffered; then the client stops reading, and a server that
// waits too long ends the connection as slow. Publish, History and the like
// should be called from another goroutine; PublishAsync may be called here.
// Close must not be.
type Events struct {
	OnMessages func([]Message) // in order, each once; the slice is the callee's
	OnGap      func(Gap)
	OnPresence func(Presence)
	OnState    func(RoomState)
	// OnSanction: the user was muted, unmuted or banned. A ban ends the room:
	// OnState says so too.
	OnSanction func(Sanction)
}

// HistoryOptions say which page to read. From is inclusive; 0 means the
// oldest, or the newest when Reverse.
type HistoryOptions struct {
	From    uint64
	Limit   int // at most Limits.History; 0 means 100
	Reverse bool
	Epoch   string // if set, refused with protocol.EpochChanged when it differs
}

// Page is a page of history, ascending whichever way it was read.
type Page struct {
	Epoch    string
	First    uint64 // oldest seq that history holds
	Head     uint64 // newest
	More     bool   // there are further ones in the direction asked for
	Messages []Message
}

// MembersPage is a page of a room's members.
type MembersPage struct {
	Members    []Member
	Cursor     string // for the next page; empty at the end
	Total      uint64
	CountsOnly bool // above the roster limit a room keeps counts, not names
}

func toMessage(epoch string, m *wire.Message) Message {
	return Message{
		Seq: m.GetSeq(), Epoch: epoch, Time: time.UnixMilli(m.GetTimeMs()), Sender: m.GetSender(), Name: m.GetName(),
		Kind: m.GetKind(), Text: m.GetText(), Data: m.GetData(), Retracts: m.GetRetracts(), Gone: m.GetGone(), Shadow: m.GetShadow(),
	}
}

func toMessages(epoch string, ms []*wire.Message) []Message {
	out := make([]Message, len(ms))
	for i, m := range ms {
		out[i] = toMessage(epoch, m)
	}
	return out
}

func toMembers(ms []*wire.Member) []Member {
	if len(ms) == 0 {
		return nil
	}
	out := make([]Member, len(ms))
	for i, m := range ms {
		out[i] = Member{User: m.GetUser(), Name: m.GetName(), Sessions: m.GetSessions()}
	}
	return out
}

func toError(e *wire.Error) *protocol.Error {
	return &protocol.Error{
		Code: protocol.Code(e.GetCode()), Message: e.GetMessage(), RetryAfter: int64(e.GetRetryAfterMs()),
		Seq: e.GetSeq(), First: e.GetFirst(), Head: e.GetHead(), Epoch: e.GetEpoch(),
	}
}
