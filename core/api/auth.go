package api

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/barrage-im/barrage/protocol/pki"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// allowed says which roles may call what. A method that is not named here is
// refused. Core nodes may make an operator's changes because the node that the
// operator asked forwards them to the leaders.
var allowed = map[string][]pki.Role{
	rpc.Core_Attach_FullMethodName:      {pki.Edge},
	rpc.Core_Feed_FullMethodName:        {pki.Edge},
	rpc.Core_ReadHistory_FullMethodName: {pki.Edge},
	rpc.Core_ListMembers_FullMethodName: {pki.Edge},
	rpc.Core_Head_FullMethodName:        {pki.Edge},
	rpc.Core_FetchFilter_FullMethodName: {pki.Edge, pki.Core, pki.Operator},

	rpc.Peer_Relay_FullMethodName:   {pki.Core},
	rpc.Peer_Head_FullMethodName:    {pki.Core},
	rpc.Peer_Propose_FullMethodName: {pki.Core},
	rpc.Peer_Join_FullMethodName:    {pki.Core},
	rpc.Peer_Status_FullMethodName:  {pki.Core},

	rpc.Operator_ClusterStatus_FullMethodName:  {pki.Operator, pki.Core},
	rpc.Operator_GetNode_FullMethodName:        {pki.Operator, pki.Core},
	rpc.Operator_ListRooms_FullMethodName:      {pki.Operator, pki.Core},
	rpc.Operator_ShowRoom_FullMethodName:       {pki.Operator, pki.Core},
	rpc.Operator_RoomHistory_FullMethodName:    {pki.Operator, pki.Core},
	rpc.Operator_RoomMembers_FullMethodName:    {pki.Operator, pki.Core},
	rpc.Operator_GetPolicies_FullMethodName:    {pki.Operator, pki.Core},
	rpc.Operator_Audit_FullMethodName:          {pki.Operator, pki.Core},
	rpc.Operator_DropNode_FullMethodName:       {pki.Operator, pki.Core},
	rpc.Operator_TransferLeader_FullMethodName: {pki.Operator, pki.Core},
	rpc.Operator_SetPolicies_FullMethodName:    {pki.Operator},

	rpc.Peer_ModerateRoom_FullMethodName:       {pki.Core},
	rpc.Operator_RoomModeration_FullMethodName: {pki.Operator, pki.Core},
	rpc.Operator_ModerateRoom_FullMethodName:   {pki.Operator},
	rpc.Operator_PushFilter_FullMethodName:     {pki.Operator},
	rpc.Operator_DropFilter_FullMethodName:     {pki.Operator},
}

func (s *Server) authorise(ctx context.Context, method string) error {
	id, ok := caller(ctx)
	if !ok {
		s.metrics.denied.WithLabelValues("identity").Inc()
		return status.Error(codes.Unauthenticated, "no identity")
	}
	if !slices.Contains(allowed[method], id.Role) {
		s.metrics.denied.WithLabelValues("role").Inc()
		s.log.Warn("call denied", "method", method, "identity", id.String())
		return status.Errorf(codes.PermissionDenied, "%s may not call %s", id, method)
	}
	// A call that comes too late is not begun.
	if err := ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return status.Error(codes.DeadlineExceeded, "the deadline had passed on arrival")
	}
	return nil
}

func caller(ctx context.Context) (pki.Identity, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return pki.Identity{}, false
	}
	info, ok := p.AuthInfo.(authInfo)
	return info.id, ok
}

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if err := s.authorise(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	timeout := callTimeout
	if info.FullMethod == rpc.Peer_Join_FullMethodName || info.FullMethod == rpc.Operator_DropNode_FullMethodName {
		timeout = joinTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return handle(ctx, req)
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	if err := s.authorise(ss.Context(), info.FullMethod); err != nil {
		return err
	}
	return handle(srv, ss)
}

// A node that forwards an operator's change to the leaders says on whose
// behalf; the receiver acts itself and forwards no further.
const (
	metaForwarded = "barrage-forwarded"
	metaActor     = "barrage-actor"
)

func forwarding(ctx context.Context, actor string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, metaForwarded, "1", metaActor, actor)
}

// delegating is for passing a whole request on.
func delegating(ctx context.Context, actor string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, metaActor, actor)
}

// forwarded reports whether the call came from a core node that passes it on.
func forwarded(ctx context.Context) bool {
	id, _ := caller(ctx)
	return id.Role == pki.Core && len(metadata.ValueFromIncomingContext(ctx, metaForwarded)) > 0
}

// actor is who asked, for the audit log.
func actor(ctx context.Context) string {
	id, _ := caller(ctx)
	if v := metadata.ValueFromIncomingContext(ctx, metaActor); id.Role == pki.Core && len(v) > 0 {
		return v[0]
	}
	return id.String()
}
