package cmd

import (
	"context"
	"fmt"

	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/cmd/operator"
	"github.com/barrage-im/barrage/protocol/ops"
	"github.com/barrage-im/barrage/protocol/rpc"
)

type removeOptions struct {
	operator.Options `yaml:",inline"`
}

// Validate refuses what cannot work.
func (o removeOptions) Validate() error { return checkTimeout(o.Options) }

// remove is "barrage filter remove": a set is no longer in force anywhere.
func remove(ctx context.Context, s streams, args []string) error {
	const usage = "filter remove [flags] NAME"
	o := removeOptions{operator.Defaults()}
	rest, err := ops.Flags(usage, &o, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return ops.Usagef("usage: barrage %s", usage)
	}
	return remote(ctx, s.err, o.Options, func(ctx context.Context, core rpc.OperatorClient) error {
		ctx, cancel := context.WithTimeout(ctx, o.Timeout)
		defer cancel()
		res, err := core.DropFilter(ctx, &rpc.RemoveFilter{Name: rest[0]})
		if err != nil {
			return err
		}
		switch code := protocol.Code(res.GetCode()); code {
		case protocol.OK:
		case protocol.NotFound:
			return protocol.Errorf(code, "%s (barrage filter status)", res.GetMessage())
		default:
			return &protocol.Error{Code: code, Message: res.GetMessage()}
		}
		_, err = fmt.Fprintf(s.out, "%s is removed; edges drop it within seconds\n", operator.Printable(rest[0]))
		return err
	})
}
