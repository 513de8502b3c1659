package rpc

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Explain turns the error of a call to a core node into words for a person who
// typed a command: what happened, and what to look at. Errors that are not
// gRPC's come back as they are.
func Explain(err error, server string) error {
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	detail := st.Message()
	switch st.Code() { //nolint:exhaustive // the others say enough themselves
	case codes.Unavailable:
		// gRPC wraps what the network said into two layers of its own.
		detail = strings.TrimSuffix(detail, `"`)
		for _, layer := range []string{`connection error: desc = "`, "transport: ", "Error while dialing: "} {
			detail = strings.TrimPrefix(detail, layer)
		}
		if why, ok := strings.CutPrefix(detail, "authentication handshake failed: "); ok {
			why, _, _ = strings.Cut(why, " (possibly because of") // what Go guesses
			return fmt.Errorf("core node %s and the certificate of --tls do not go together: %s. Are both of the same authority, and is --server a core node's port?", server, why)
		}
		return fmt.Errorf("core node %s cannot be reached: %s. Does it run there? Name another one with --server", server, detail)
	case codes.DeadlineExceeded:
		return fmt.Errorf("core node %s did not answer in time. Has its shard a leader? See barrage core status; --timeout waits longer", server)
	case codes.PermissionDenied, codes.Unauthenticated:
		return fmt.Errorf("refused: %s. These commands need a certificate of role operator (--tls)", detail)
	case codes.Unimplemented:
		return fmt.Errorf("core node %s does not know this call: it runs an older version", server)
	case codes.Canceled:
		return errors.New("interrupted")
	}
	return fmt.Errorf("core node %s: %s", server, detail)
}
