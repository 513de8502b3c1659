package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/barrage-im/barrage/core/control"
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/rpc"
)

// PushFilter stores a bundle of rules and puts it in force. A refusal is a
// result, not an error; what was stored for it lapses.
func (o operatorService) PushFilter(stream rpc.Operator_PushFilterServer) error {
	s := o.s
	select {
	case s.pushes <- struct{}{}:
		defer func() { <-s.pushes }()
	default:
		return stream.SendAndClose(refusal(protocol.Overloaded, "other pushes go through this node just now: wait for them, or use another one (--server)"))
	}
	ctx, cancel := context.WithTimeout(stream.Context(), pushTimeout)
	defer cancel()
	p := &pushed{}
	broken := make(chan error, 1)
	s.wg.Go(func() { broken <- p.receive(stream.Recv) })
	select {
	case err := <-broken:
		var refused *protocol.Error
		switch {
		case errors.As(err, &refused):
			return stream.SendAndClose(refusal(refused.Code, refused.Message))
		case err != nil:
			return err
		}
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-s.ctx.Done():
		return errClosing
	}
	return stream.SendAndClose(s.push(ctx, p))
}

// pushed is what an operator pushes.
type pushed struct {
	put  *rpc.PutFilter
	data []byte
}

// receive takes the whole of it and checks it against what is said of it.
func (p *pushed) receive(recv func() (*rpc.PushFilterRequest, error)) error {
	for {
		m, err := recv()
		if errors.Is(err, io.EOF) {
			return p.check()
		}
		if err != nil {
			return err
		}
		switch f := m.GetFrame().(type) {
		case *rpc.PushFilterRequest_Put:
			if p.put != nil {
				return protocol.Errorf(protocol.BadArgument, "put comes once, first")
			}
			p.put = proto.Clone(f.Put).(*rpc.PutFilter)
		case *rpc.PushFilterRequest_Data:
			if p.put == nil {
				return protocol.Errorf(protocol.BadArgument, "put must come before the data")
			}
			if len(p.data)+len(f.Data) > control.MaxBundle {
				return protocol.Errorf(protocol.TooLarge, "a bundle may have %d bytes: this one is larger", control.MaxBundle)
			}
			p.data = append(p.data, f.Data...)
		default:
			return protocol.Errorf(protocol.BadArgument, "a frame that this version does not know: upgrade the core nodes first")
		}
	}
}

func (p *pushed) check() error {
	if p.put == nil || p.put.Stage == nil || len(p.data) == 0 {
		return protocol.Errorf(protocol.BadArgument, "a push needs a stage and a bundle")
	}
	digest, stage := sha256.Sum256(p.data), p.put.Stage
	switch {
	case len(stage.Digest) > 0 && !bytes.Equal(stage.Digest, digest[:]):
		return protocol.Errorf(protocol.Corrupt, "the bundle's SHA-256 is %x, not %x: it did not arrive as it was sent, push it again", digest, stage.Digest)
	case stage.Size > 0 && int(stage.Size) != len(p.data):
		return protocol.Errorf(protocol.Corrupt, "%d bytes of the bundle arrived, not %d: push it again", len(p.data), stage.Size)
	}
	stage.Digest, stage.Size = digest[:], uint32(len(p.data))
	if err := control.CheckFilter(p.put); err != nil {
		return err
	}
	return nil
}

// push has control's leader take the bundle, if it is not in force already, and
// then the set.
func (s *Server) push(ctx context.Context, p *pushed) *rpc.ControlResult {
	who := actor(ctx)
	named := false
	s.viewControl(func(c *control.Control) { _, _, named = c.Bundle(p.put.Stage.Digest) })
	for at := 0; at < len(p.data) && !named; at += control.MaxChunk {
		res := s.insist(ctx, &rpc.ControlCommand{Actor: who, Op: &rpc.ControlCommand_PutChunk{PutChunk: &rpc.PutChunk{
			Digest: p.put.Stage.Digest, Offset: uint32(at), Size: p.put.Stage.Size, Data: p.data[at:min(at+control.MaxChunk, len(p.data))],
		}}})
		if res.GetCode() != 0 {
			return res
		}
	}
	return s.insist(ctx, &rpc.ControlCommand{Actor: who, Op: &rpc.ControlCommand_PutFilter{PutFilter: p.put}})
}

// insist proposes a command that may as well be applied twice, until its
// outcome is known.
func (s *Server) insist(ctx context.Context, cmd *rpc.ControlCommand) *rpc.ControlResult {
	for {
		res, err := s.Propose(ctx, cmd)
		var refused *protocol.Error
		if err == nil || errors.As(err, &refused) {
			return res
		}
		timer := time.NewTimer(retryPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return refusal(protocol.Unavailable, fmt.Sprintf("%v; push again: what is stored already is not stored twice", err))
		case <-s.ctx.Done():
			timer.Stop()
			return refusal(protocol.Unavailable, "this node is closing; push through another one")
		}
	}
}

// DropFilter removes a set of rules.
func (o operatorService) DropFilter(ctx context.Context, req *rpc.RemoveFilter) (*rpc.ControlResult, error) {
	return o.s.change(ctx, &rpc.ControlCommand{Op: &rpc.ControlCommand_RemoveFilter{RemoveFilter: proto.Clone(req).(*rpc.RemoveFilter)}})
}

// FetchFilter sends a bundle as this node's own replica has it; NotFound, if it
// has not all of it (yet).
func (c coreService) FetchFilter(req *rpc.FetchFilterRequest, stream rpc.Core_FetchFilterServer) error {
	s := c.s
	select {
	case s.fetches <- struct{}{}:
		defer func() { <-s.fetches }()
	case <-stream.Context().Done():
		return status.FromContextError(stream.Context().Err()).Err()
	case <-s.ctx.Done():
		return errClosing
	}
	var size uint32
	complete := false
	s.viewControl(func(c *control.Control) { size, complete, _ = c.Bundle(req.GetDigest()) })
	if !complete {
		return status.Errorf(codes.NotFound, "bundle %.8x is not here, or not all of it yet", req.GetDigest())
	}
	for at := uint32(0); at < size; {
		data, err := s.readChunk(req.GetDigest(), at)
		if err != nil {
			return err
		}
		if err := stream.Send(&rpc.FilterChunk{Data: data}); err != nil {
			return err
		}
		at += uint32(len(data))
	}
	return nil
}

// readChunk reads from a snapshot of its own: an edge that takes its time holds
// up neither control nor the store.
func (s *Server) readChunk(digest []byte, at uint32) ([]byte, error) {
	reader, closer := s.node.Shard(ControlShard).Reader()
	data, ok, err := control.ReadChunk(reader, digest, at)
	err = errors.Join(err, closer.Close())
	switch {
	case err != nil:
		return nil, status.Error(codes.DataLoss, err.Error())
	case !ok || len(data) == 0:
		return nil, status.Errorf(codes.NotFound, "bundle %.8x was removed meanwhile", digest)
	}
	return data, nil
}
