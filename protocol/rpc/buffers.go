package rpc

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"
)

// buffers holds what gRPC reads into and writes from. A full proposal is about
// 64 KiB: gRPC's own pool takes a mebibyte for it, and clears that each time.
var buffers = func() mem.BufferPool {
	pool, err := mem.NewBinaryTieredBufferPool(8, 10, 12, 13, 14, 15, 16, 17, 18, 20)
	if err != nil {
		return mem.DefaultBufferPool() // the exponents are right
	}
	return pool
}()

// ClientBuffers has a client connection use buffers that fit our messages.
func ClientBuffers() grpc.DialOption { return experimental.WithBufferPool(buffers) }

// ServerBuffers is ClientBuffers for a server.
func ServerBuffers() grpc.ServerOption { return experimental.BufferPool(buffers) }
