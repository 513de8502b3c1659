package rpc_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/protocol/rpc"
)

func TestPoliciesOfModerationAreChecked(t *testing.T) {
	crowd := make([]string, rpc.MaxModerators)
	for i := range crowd {
		crowd[i] = fmt.Sprint("user-", i)
	}
	for _, c := range []struct {
		policy *rpc.Policy
		want   string // in the error; empty: none
	}{
		{&rpc.Policy{}, ""},
		{&rpc.Policy{Owners: []string{"ann"}, Moderators: crowd, Role: "muted", Filter: "report", FilterSeverity: 4, Hook: "open"}, ""},
		{&rpc.Policy{Role: "member", Filter: "enforce", Hook: "closed", FilterSeverity: 1}, ""},
		{&rpc.Policy{Filter: "off", Hook: "off"}, ""},
		{&rpc.Policy{Owners: append(crowd, "one-more")}, "101 owners, at most 100 are allowed: give the others the role in their token"},
		{&rpc.Policy{Moderators: append(crowd, "one-more")}, "101 moderators"},
		{&rpc.Policy{Moderators: []string{"ann", ""}}, "moderators: \"\": a user id "},
		{&rpc.Policy{Owners: []string{"a b"}}, "owners: \"a b\": a user id "},
		{&rpc.Policy{Owners: []string{"ann", "bob", "ann"}}, "owners: \"ann\" is there twice"},
		{&rpc.Policy{Role: "owner"}, "role \"owner\" is none of [member muted]"},
		{&rpc.Policy{Filter: "on"}, "filter \"on\" is none of [enforce report off]"},
		{&rpc.Policy{Hook: "maybe"}, "hook \"maybe\" is none of [off open closed]"},
		{&rpc.Policy{FilterSeverity: 5}, "filter_severity is 5, the most is 4"},
	} {
		c.policy.Pattern = "*"
		err := rpc.CheckPolicies([]*rpc.Policy{c.policy}, nil)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.policy, err, c.want)
		}
	}
}

func TestAllPoliciesTogetherHaveBoundedModerators(t *testing.T) {
	var table []*rpc.Policy
	for i := range rpc.MaxAllModerators / rpc.MaxModerators {
		p := &rpc.Policy{Pattern: fmt.Sprint("p", i)}
		for j := range rpc.MaxModerators {
			p.Moderators = append(p.Moderators, fmt.Sprint("user-", j))
		}
		table = append(table, p)
	}
	if err := rpc.CheckPolicies(table, nil); err != nil {
		t.Fatal(err)
	}
	err := rpc.CheckPolicies(append(table, &rpc.Policy{Pattern: "*", Owners: []string{"ann"}}), nil)
	if err == nil || !strings.Contains(err.Error(), "10001 owners and moderators in all policies") {
		t.Errorf("got %v", err)
	}
}

func TestWhatModerationSaysIsInForceAsItWasSet(t *testing.T) {
	set := &rpc.Policy{
		Pattern: "x", Owners: []string{"ann"}, Moderators: []string{"bob"}, Role: "muted", Filter: "report", FilterSeverity: 3, Hook: "open",
	}
	effective := rpc.EffectivePolicy(set)
	plain := rpc.EffectivePolicy(&rpc.Policy{Pattern: "x"})
	plain.Owners, plain.Moderators, plain.Role = set.Owners, set.Moderators, set.Role
	plain.Filter, plain.FilterSeverity, plain.Hook = set.Filter, set.FilterSeverity, set.Hook
	if !proto.Equal(effective, plain) {
		t.Errorf("%v became %v", set, effective)
	}
}
