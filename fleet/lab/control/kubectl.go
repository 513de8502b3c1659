package control

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/barrage-im/barrage/fleet/lab/netns"
)

// Kubectl runs kubectl against the region, as its administrator and from its
// router: it works while the region is cut off from everything else.
func (p Plane) Kubectl(ctx context.Context, stdin []byte, args ...string) (stdout string, err error) {
	var out, complaint bytes.Buffer
	cmd := p.command(ctx, args)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &complaint
	if err := p.run(cmd); err != nil {
		return out.String(), fmt.Errorf("kubectl %s in %s: %w: %s", strings.Join(args, " "), p.Region.Name, err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// Terminal runs kubectl on the caller's own streams.
func (p Plane) Terminal(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, args ...string) error {
	cmd := p.command(ctx, args)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	return p.run(cmd)
}

func (p Plane) command(ctx context.Context, args []string) *exec.Cmd {
	return exec.CommandContext(ctx, p.Kube, append([]string{"kubectl", "--kubeconfig", p.Kubeconfig()}, args...)...)
}

func (p Plane) run(cmd *exec.Cmd) error {
	if err := netns.Do(p.Region.Namespace(), cmd.Start); err != nil {
		return err
	}
	return cmd.Wait()
}
