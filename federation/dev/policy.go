package dev

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// benchPolicy lets "barrage bench" show what the machine can do: its rooms have
// no rates that one would feel. All other rooms have the built-in policy.
func benchPolicy() *rpc.Policy {
	return &rpc.Policy{
		Pattern: "bench-*", PublishRate: rpc.MaxPublishRate, PublishBurst: rpc.MaxPublishRate,
		UserRate: rpc.MaxPublishRate, UserBurst: rpc.MaxPublishRate,
	}
}

// setPolicies gives a new cluster its policies. A cluster that was given some
// before keeps them.
func (f *federation) setPolicies(ctx context.Context) error {
	secure, err := f.credentials(pki.Operator, "dev")
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("passthrough:///"+f.sites[0].address,
		grpc.WithTransportCredentials(credentials.NewTLS(secure.ClientConfig(pki.Core, "h2"))))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	operator := rpc.NewOperatorClient(conn)
	now, err := operator.GetPolicies(ctx, &rpc.StatusRequest{})
	if err != nil || now.GetVersion() > 0 {
		return err
	}
	res, err := operator.SetPolicies(ctx, &rpc.PutPolicies{Policies: []*rpc.Policy{benchPolicy()}})
	if err == nil && res.GetCode() != 0 {
		err = protocol.Errorf(protocol.Code(res.GetCode()), "%s", res.GetMessage())
	}
	if err != nil {
		return fmt.Errorf("set policies: %w", err)
	}
	return nil
}
