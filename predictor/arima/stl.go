package arima

import "math"

// seasonalDiff is the strength above which a season is differenced away.
const seasonalDiff = 0.64

// SeasonalStrength is 1 - Var(remainder)/Var(season + remainder), between 0 and 1, of
// the decomposition of x by STL (Cleveland, Cleveland, McRae and Terpenning 1990) with
// a seasonal window of 11 (Wang, Smith and Hyndman 2006). Missing samples are
// interpolated. It is 0 for a season below 2 and for less than two seasons of data.
func SeasonalStrength(x []float64, m int) float64 {
	y := interpolated(x)
	if m < 2 || len(y) <= 2*m || constant(y) {
		return 0
	}
	season, trend := stl(y, m)
	rest := make([]float64, len(y))
	both := make([]float64, len(y))
	for t, v := range y {
		rest[t] = v - season[t] - trend[t]
		both[t] = v - trend[t]
	}
	all := variance(both)
	if !(all > 0) {
		return 0
	}
	return min(max(1-variance(rest)/all, 0), 1)
}

func variance(x []float64) float64 {
	mean := 0.0
	for _, v := range x {
		mean += v
	}
	mean /= float64(len(x))
	s := 0.0
	for _, v := range x {
		s += (v - mean) * (v - mean)
	}
	return s / float64(len(x))
}

// interpolated is x from its first to its last sample, with straight lines over what
// is missing.
func interpolated(x []float64) []float64 {
	prev := -1
	var out []float64
	for t, v := range x {
		if math.IsNaN(v) {
			continue
		}
		if prev >= 0 {
			for u := prev + 1; u < t; u++ {
				out = append(out, x[prev]+(v-x[prev])*float64(u-prev)/float64(t-prev))
			}
		}
		out = append(out, v)
		prev = t
	}
	return out
}

// stl separates y into season, trend and the rest: seasonal window 11, local constants
// for the season, local lines else, two passes, no robustness.
func stl(y []float64, m int) (season, trend []float64) {
	const window = 11
	n := len(y)
	odd := func(v int) int { return v + 1 - v%2 }
	wide := odd(int(math.Ceil(1.5 * float64(m) / (1 - 1.5/window))))
	low := odd(m)
	season, trend = make([]float64, n), make([]float64, n)
	cycle := make([]float64, n+2*m) // smoothed subseries, a season longer at both ends
	work := make([]float64, n+2*m)
	sub, smooth := make([]float64, n/m+1), make([]float64, n/m+1)
	weight := make([]float64, n)
	rest := make([]float64, n)
	for range 2 {
		for j := range m {
			sub = sub[:0]
			for t := j; t < n; t += m {
				sub = append(sub, y[t]-trend[t])
			}
			k := len(sub)
			smooth = smooth[:k]
			loess(smooth, sub, window, 0, 2, weight)
			for i, v := range smooth {
				cycle[(i+1)*m+j] = v
			}
			var ok bool
			if cycle[j], ok = local(sub, window, 0, -1, 0, min(window, k)-1, weight); !ok {
				cycle[j] = smooth[0]
			}
			if cycle[(k+1)*m+j], ok = local(sub, window, 0, float64(k), max(0, k-window), k-1, weight); !ok {
				cycle[(k+1)*m+j] = smooth[k-1]
			}
		}
		a := average(work, cycle, m)
		b := average(a, a, m)
		c := average(b, b, 3)
		loess(rest, c, low, 1, (low+9)/10, weight)
		for t := range season {
			season[t] = cycle[m+t] - rest[t]
			rest[t] = y[t] - season[t]
		}
		loess(trend, rest, wide, 1, (wide+9)/10, weight)
	}
	return season, trend
}

// average is the moving average of k elements; dst may be x.
func average(dst, x []float64, k int) []float64 {
	sum := 0.0
	for _, v := range x[:k] {
		sum += v
	}
	n := len(x) - k + 1
	for t := range n {
		next := 0.0
		if t+k < len(x) {
			next = x[t+k] - x[t]
		}
		dst[t] = sum / float64(k)
		sum += next
	}
	return dst[:n]
}

// loess smooths y at every jump-th point and joins these by lines.
func loess(dst, y []float64, window, degree, jump int, weight []float64) {
	n := len(y)
	if n < 2 {
		copy(dst, y)
		return
	}
	jump = min(jump, n-1)
	half := (window + 1) / 2
	left, right := 0, min(window, n)-1
	at := func(i int) {
		v, ok := local(y, window, degree, float64(i), left, right, weight)
		if !ok {
			v = y[i]
		}
		dst[i] = v
	}
	last := 0
	for i := 0; i < n; i += jump {
		if window < n {
			left = min(max(i+1-half, 0), n-window)
			right = left + window - 1
		}
		at(i)
		last = i
	}
	join := func(a, b int) {
		for j := a + 1; j < b; j++ {
			dst[j] = dst[a] + (dst[b]-dst[a])*float64(j-a)/float64(b-a)
		}
	}
	for i := jump; i <= last; i += jump {
		join(i-jump, i)
	}
	if last != n-1 {
		at(n - 1)
		join(last, n-1)
	}
}

// local is the value at x of the line, or the constant, fitted to y[left..right] with
// tricube weights.
func local(y []float64, window, degree int, x float64, left, right int, weight []float64) (float64, bool) {
	n := len(y)
	h := max(x-float64(left), float64(right)-x)
	if window > n {
		h += float64((window - n) / 2)
	}
	sum := 0.0
	w := weight[:right-left+1]
	for j := range w {
		r := math.Abs(float64(left+j) - x)
		w[j] = 0
		if r <= 0.999*h {
			w[j] = 1
			if r > 0.001*h {
				q := r / h
				q = 1 - q*q*q
				w[j] = q * q * q
			}
			sum += w[j]
		}
	}
	if !(sum > 0) {
		return 0, false
	}
	mean, spread := 0.0, 0.0
	for j := range w {
		w[j] /= sum
		mean += w[j] * float64(left+j)
	}
	slope := 0.0
	if h > 0 && degree > 0 {
		for j, v := range w {
			d := float64(left+j) - mean
			spread += v * d * d
		}
		if math.Sqrt(spread) > 0.001*float64(n-1) {
			slope = (x - mean) / spread
		}
	}
	s := 0.0
	for j, v := range w {
		s += v * (slope*(float64(left+j)-mean) + 1) * y[left+j]
	}
	return s, true
}
