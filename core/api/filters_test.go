package api

import (
	"testing"

	"google.golang.org/grpc"

	"github.com/barrage-im/barrage/protocol/rpc"
)

func TestEveryStreamHasItsRoles(t *testing.T) { // B71
	for _, d := range []grpc.ServiceDesc{rpc.Core_ServiceDesc, rpc.Peer_ServiceDesc, rpc.Operator_ServiceDesc} {
		for _, m := range d.Streams {
			if method := "/" + d.ServiceName + "/" + m.StreamName; len(allowed[method]) == 0 {
				t.Errorf("nobody may call %s", method)
			}
		}
	}
}
