package client_test

import (
	"context"
	"fmt"
	"time"

	"github.com/barrage-im/barrage/protocol/client"
	"github.com/barrage-im/barrage/protocol/client/clienttest"
)

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, client.Config{
		Endpoints: []string{"wss://eu.example.com", "wss://us.example.com"},
		Token:     func(context.Context) (string, error) { return "alice", nil },
		Dialer:    clienttest.New(), // leave it out to reach a real service
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	got := make(chan client.Message, 1)
	room, err := c.Join(ctx, "lobby", client.JoinOptions{Recent: 50}, client.Events{
		OnMessages: func(ms []client.Message) {
			for _, m := range ms {
				got <- m
			}
		},
		OnGap: func(g client.Gap) { fmt.Println("missed", g.Count(), "messages:", g.Reason) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ack, err := room.Publish(ctx, client.Message{Text: "hello"})
	if err != nil {
		fmt.Println(err) // errors.Is(err, client.ErrOutcomeUnknown): it may have been accepted
		return
	}
	m := <-got
	fmt.Println(ack.Seq, m.Sender, m.Text)
	// Output: 1 alice hello
}
