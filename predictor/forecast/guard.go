package forecast

const (
	guardSlack = 1  // a one-step error of so many expected absolute errors, always to one side, is no change
	guardLimit = 20 // the sum beyond that is
	guardClip  = 5  // one sample counts no more than this: an outlier is no change
)

// A guard notices when one-step errors keep to one side (CUSUM, Page 1954).
type guard struct {
	up, down float64
	changes  int
}

// learn takes a one-step error in units of the expected absolute error and reports a change of regime.
func (g *guard) learn(u float64) bool {
	u = max(-guardClip, min(guardClip, u))
	g.up = max(0, g.up+u-guardSlack)
	g.down = max(0, g.down-u-guardSlack)
	if g.up < guardLimit && g.down < guardLimit {
		return false
	}
	g.up, g.down = 0, 0
	g.changes++
	return true
}
