package upstream

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/protocol/rpc"
)

func say(p *rpc.RoomPresence) string {
	if p == nil {
		return "-"
	}
	words := []string{fmt.Sprint(p.GetSessions())}
	for _, u := range p.GetUsers() {
		words = append(words, fmt.Sprintf("%s=%d", u.GetUser(), u.GetSessions()))
	}
	slices.Sort(words[1:])
	if p.GetReplace() {
		words = append(words, "replace")
	}
	return strings.Join(words, " ")
}

func newRoom() *roomRoster {
	return &roomRoster{name: "r", users: map[string]*userRoster{}, changed: map[string]*userRoster{}, named: true}
}

func (rr *roomRoster) enter(user string) {
	if rr.users[user] == nil {
		rr.users[user] = &userRoster{}
	}
	rr.users[user].sessions++
	rr.sessions++
	rr.changed[user] = rr.users[user]
}

func (rr *roomRoster) exit(user string) {
	rr.users[user].sessions--
	rr.sessions--
	rr.changed[user] = rr.users[user]
}

func stated(rr *roomRoster, limit int) string {
	p, _ := rr.state(limit)
	return say(p)
}

func TestJoinAndLeaveBetweenStatementsCancel(t *testing.T) {
	rr := newRoom()
	rr.enter("ann")
	rr.enter("ben")
	rr.exit("ben")
	if got := stated(rr, 10); got != "1 ann=1" {
		t.Errorf("got %s", got)
	}
	rr.enter("ann")
	rr.exit("ann")
	if got := stated(rr, 10); got != "-" {
		t.Errorf("nothing changed, got %s", got)
	}
	rr.exit("ann")
	if got := stated(rr, 10); got != "0 ann=0" {
		t.Errorf("got %s", got)
	}
}

func TestLongStatementsComeInPieces(t *testing.T) {
	rr := newRoom()
	for i := range 5 {
		rr.enter(fmt.Sprint("user-", i))
	}
	seen := 0
	for more := true; more; {
		p, all := rr.state(2)
		if p.GetSessions() != 5 || len(p.GetUsers()) > 2 {
			t.Errorf("got %s", say(p))
		}
		seen += len(p.GetUsers())
		more = !all
	}
	if seen != 5 {
		t.Errorf("%d users stated", seen)
	}
}

func TestCrowdedRoomsStateCountsAndLaterNames(t *testing.T) {
	rr := newRoom()
	rr.enter("ann")
	stated(rr, 10)
	rr.countsOnly = true
	rr.enter("ben")
	if got := stated(rr, 10); got != "2" {
		t.Errorf("crowded: %s", got)
	}
	rr.countsOnly, rr.full = false, true
	if got := stated(rr, 10); got != "2 ann=1 ben=1 replace" {
		t.Errorf("no longer crowded: %s", got)
	}
}

func TestFreshLaneIsToldEverything(t *testing.T) {
	rr := newRoom()
	rr.enter("ann")
	rr.enter("ben")
	stated(rr, 10)
	rr.exit("ben")
	rr.full = true
	if got := stated(rr, 10); got != "1 ann=1 replace" {
		t.Errorf("got %s", got)
	}
}
