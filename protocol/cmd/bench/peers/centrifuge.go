package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/centrifugal/protocol"
)

const centrifugePath = "/connection/websocket"

func serveCentrifuge(ctx context.Context, c serverConfig, ready func()) error {
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: 512 << 20}) // never call a member slow
	if err != nil {
		return err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "u"}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			reply(centrifuge.SubscribeReply{}, nil)
		})
		client.OnPublish(func(_ centrifuge.PublishEvent, reply centrifuge.PublishCallback) {
			reply(centrifuge.PublishReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(centrifugePath, centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin: func(*http.Request) bool { return true },
	}))
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", c.Port))
	if err != nil {
		return err
	}
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		web.Close()
	}()
	ready()
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// measureCentrifuge: fan-out over WebSocket in protobuf.
func measureCentrifuge(ctx context.Context, o options) (Result, error) {
	result := Result{Peer: "centrifuge protobuf WebSocket", Version: moduleVersion("github.com/centrifugal/centrifuge"), Note: "memory broker, no history"}
	ports, err := freePorts(1)
	if err != nil {
		return result, err
	}
	s, err := startServer(ctx, "centrifuge", serverConfig{Name: "c1", Port: ports[0]})
	if err != nil {
		return result, err
	}
	defer s.stop()
	hello, err := commands(
		&protocol.Command{Id: 1, Connect: &protocol.ConnectRequest{}},
		&protocol.Command{Id: 2, Subscribe: &protocol.SubscribeRequest{Channel: "room"}},
	)
	if err != nil {
		return result, err
	}
	target := &url.URL{Scheme: "ws", Host: fmt.Sprintf("127.0.0.1:%d", ports[0]), Path: centrifugePath}
	return result, fanout(ctx, o, target, dialect{
		subprotocol: "centrifuge-protobuf",
		op:          0x2,
		hello:       hello,
		ready:       []byte{0x08, 0x02}, // the reply with id 2
		ping:        []byte{0x00}, pong: []byte{0x00},
		publish: func(dst, text []byte) []byte {
			command, err := commands(&protocol.Command{Id: 3, Publish: &protocol.PublishRequest{Channel: "room", Data: text}})
			if err != nil {
				panic(err) // plain fields always marshal
			}
			return append(dst, command...)
		},
	}, []*process{s}, &result)
}

// commands encodes commands one after the other, each behind its length.
func commands(list ...*protocol.Command) ([]byte, error) {
	var out []byte
	for _, c := range list {
		command, err := protocol.NewProtobufCommandEncoder().Encode(c)
		if err != nil {
			return nil, err
		}
		out = append(out, command...)
	}
	return out, nil
}

func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return ""
}
