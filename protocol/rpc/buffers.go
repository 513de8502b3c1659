package rpc

import (
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"
)

// A full proposal is about 64 KiB: gRPC's own pool takes a mebibyte for it, and
// clears that each time. Its encoder knows only the pool of the process.
func init() {
	pool, err := mem.NewBinaryTieredBufferPool(8, 10, 12, 13, 14, 15, 16, 17, 18, 20)
	if err != nil {
		panic("rpc: " + err.Error()) // the sizes above are wrong
	}
	experimental.SetDefaultBufferPool(pool)
}
