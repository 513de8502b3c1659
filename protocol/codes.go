package protocol

import (
	"fmt"
	"slices"
)

// Code is an error or close code. Codes are wire values: append only, never
// renumbered. Their range tells a client what to do without knowing the code:
//
//	  1–199   error, permanent: the same request will be refused again
//	200–299   error, temporary: the same request may be sent again, after the wait the error names
//	300–399   between processes only; clients never see them
//	4000–4099 close: connect again, here or elsewhere, after the wait named
//	4100–4199 close: connect again, to another endpoint
//	4200–4299 close: get a new token, then connect again
//	4300–4399 close: give up, the client or its configuration is wrong
type Code uint32

// Errors that answer a command.
const (
	OK Code = 0

	Malformed        Code = 100
	Unsupported      Code = 101
	BadRoom          Code = 102
	TooLarge         Code = 103
	BadKey           Code = 104
	KeyConflict      Code = 105
	NotJoined        Code = 106
	TooManyRooms     Code = 107
	BadArgument      Code = 108
	AlreadyConnected Code = 109
	Expired          Code = 110
	AlreadyJoined    Code = 111
	Forbidden        Code = 121
	TokenInvalid     Code = 122
	Muted            Code = 123
	Banned           Code = 124
	NotFound         Code = 130
	Trimmed          Code = 131
	Future           Code = 132
	EpochChanged     Code = 133
	Blocked          Code = 140
	Held             Code = 141

	RateLimited Code = 200
	SlowMode    Code = 201
	OutOfOrder  Code = 202
	Overloaded  Code = 203
	Unavailable Code = 204
	Timeout     Code = 205
	Draining    Code = 206
	KeysFull    Code = 207
	DiskFull    Code = 208
	Corrupt     Code = 209
	Unchecked   Code = 210

	Fenced      Code = 300
	LaneUnknown Code = 301
	NotLeader   Code = 302
	NoLeader    Code = 303
	BadCommand  Code = 304
)

// Codes that end a connection.
const (
	CloseDraining         Code = 4000
	CloseSlow             Code = 4001
	CloseHeartbeat        Code = 4002
	CloseOverloaded       Code = 4003
	CloseInternal         Code = 4004
	CloseHandshakeTimeout Code = 4005

	CloseEdgeFull        Code = 4100
	CloseAddressLimit    Code = 4101
	CloseUserConnections Code = 4102

	CloseTokenExpired Code = 4200

	CloseMalformed       Code = 4300
	CloseUnauthenticated Code = 4301
	CloseTooLarge        Code = 4302
	CloseNotConnected    Code = 4303
	CloseVersion         Code = 4304
	CloseFlood           Code = 4305
	CloseWrongEncoding   Code = 4306
	CloseReplaced        Code = 4307
)

// Error is a refusal that has a code. It is what the SDK returns and what the
// server turns into an error frame.
type Error struct {
	Code       Code
	Message    string // for people; says what to do
	RetryAfter int64  // milliseconds; 0 says nothing
	Seq        uint64
	First      uint64
	Head       uint64
	Epoch      string
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.String()
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Is makes errors.Is(err, &Error{Code: c}) compare codes only.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Errorf makes an Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Temporary reports whether the same request may succeed later.
func (c Code) Temporary() bool { return c >= 200 && c < 300 }

// Reconnect reports whether a close code asks the client to connect again.
func (c Code) Reconnect() bool { return c < 4300 }

// Name is the code's name on the wire, such as "rate_limited".
func (c Code) Name() string {
	if n, ok := codeNames[c]; ok {
		return n
	}
	return fmt.Sprintf("code_%d", uint32(c))
}

func (c Code) String() string { return c.Name() }

var codeNames = map[Code]string{
	OK: "ok", Malformed: "malformed", Unsupported: "unsupported", BadRoom: "bad_room", TooLarge: "too_large",
	BadKey: "bad_key", KeyConflict: "key_conflict", NotJoined: "not_joined", TooManyRooms: "too_many_rooms",
	BadArgument: "bad_argument", AlreadyConnected: "already_connected", Expired: "expired", AlreadyJoined: "already_joined",
	Forbidden: "forbidden", TokenInvalid: "token_invalid", NotFound: "not_found", Trimmed: "trimmed", Future: "future",
	EpochChanged: "epoch_changed", RateLimited: "rate_limited", SlowMode: "slow_mode", OutOfOrder: "out_of_order",
	Overloaded: "overloaded", Unavailable: "unavailable", Timeout: "timeout", Draining: "draining",
	Muted: "muted", Banned: "banned", Blocked: "blocked", Held: "held", Unchecked: "unchecked",
	KeysFull: "keys_full", DiskFull: "disk_full", Corrupt: "corrupt",
	Fenced: "fenced", LaneUnknown: "lane_unknown", NotLeader: "not_leader", NoLeader: "no_leader", BadCommand: "bad_command",
	CloseDraining: "draining", CloseSlow: "slow_consumer", CloseHeartbeat: "heartbeat_timeout",
	CloseOverloaded: "overloaded", CloseInternal: "internal", CloseHandshakeTimeout: "handshake_timeout",
	CloseEdgeFull: "edge_full", CloseAddressLimit: "address_limit", CloseUserConnections: "user_connections",
	CloseTokenExpired: "token_expired", CloseMalformed: "malformed", CloseUnauthenticated: "unauthenticated",
	CloseTooLarge: "too_large", CloseNotConnected: "not_connected", CloseVersion: "unsupported_version",
	CloseFlood: "flood", CloseWrongEncoding: "wrong_encoding", CloseReplaced: "replaced",
}

// Codes lists every code that a client may see, in ascending order.
func Codes() []Code {
	var list []Code
	for c := range codeNames {
		if c != OK && (c < 300 || c >= 4000) {
			list = append(list, c)
		}
	}
	slices.Sort(list)
	return list
}
