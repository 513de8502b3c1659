package hub

import (
	"github.com/barrage-im/barrage/protocol"
	"github.com/barrage-im/barrage/protocol/transport"
	"github.com/barrage-im/barrage/protocol/wire"
)

// frameImage makes what a connection of this format is sent for one frame.
func frameImage(f transport.Format, frame *wire.ServerFrame) []byte {
	return f.AppendImage(nil, protocol.AppendServer(nil, f.Encoding(), frame))
}

// batchImage is the same for a batch of records; an error means that they are
// damaged.
func batchImage(f transport.Format, room string, epoch uint64, records []byte) ([]byte, error) {
	buf := make([]byte, 0, len(records)+len(room)+64)
	frame, err := protocol.AppendBatch(buf, f.Encoding(), room, protocol.FormatEpoch(epoch), 0, 0, records)
	if err != nil {
		return nil, err
	}
	if f == transport.Stream {
		return frame, nil
	}
	return f.AppendImage(make([]byte, 0, len(frame)+transport.ImageOverhead), frame), nil
}
