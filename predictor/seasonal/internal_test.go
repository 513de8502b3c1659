package seasonal

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Nothing after an origin, nor any model fitted later, moves a forecast from it:
// with noise in place of what follows, it stays the same to the last bit.
func TestTrialsSeeOnlyThePast(t *testing.T) {
	const n, h = 700, 48
	s := season{24, 168}
	r := rand.New(rand.NewPCG(1, 2))
	z := make([]float64, n)
	for k := range z {
		z[k] = math.Sin(2*math.Pi*float64(k)/24) + 0.3*r.NormFloat64()
	}
	observed := usable(z)
	scale := powerScale{power: 1, floor: math.Inf(-1)}
	want := try(assemble(z, s), z, observed, s, h, scale)
	if len(want.origins) < trialOrigins {
		t.Fatalf("%d origins", len(want.origins))
	}
	for _, k := range []int{0, 7, 19, 20, 39} {
		o := want.origins[k]
		noisy := slices.Clone(z)
		for i := o; i < n; i++ {
			noisy[i] = 100 * r.NormFloat64()
		}
		got := try(assemble(noisy, s), noisy, observed, s, h, scale)
		for e := range want.forecasts {
			if len(want.forecasts[e][k]) == 0 || !slices.Equal(got.forecasts[e][k], want.forecasts[e][k]) {
				t.Errorf("expert %d, origin %d: the future shows", e, o)
			}
		}
	}
}

// The projection gives what a regression with all intercepts as columns gives.
func TestAutoregressionIsTheWholeRegression(t *testing.T) {
	s := season{4, 12}
	r := rand.New(rand.NewPCG(3, 4))
	z := make([]float64, 150)
	for k := range z {
		z[k] = math.Sin(float64(k%12)) + r.NormFloat64()
		if k > 0 {
			z[k] += 0.6 * z[k-1]
		}
	}
	spec := arSpec{lags: []int{1, 2, 4}, day: 0.7, week: 1.5}
	p := fitAutoregression(z, s, spec)

	// The weights that the last round of fitting used, again from round to round.
	w := slices.Repeat([]float64{1}, len(z))
	k := len(spec.lags) + s.day + s.week
	var dense []float64
	column := make([]float64, k)
	fill := func(t int) {
		clear(column)
		for i, l := range spec.lags {
			column[i] = z[t-l]
		}
		column[len(spec.lags)+t%s.day] = 1
		column[len(spec.lags)+s.day+t%s.week] = 1
	}
	for round := range huberRounds + 1 {
		a := make([]float64, k*k)
		dense = make([]float64, k)
		for t := spec.first(); t < len(z); t++ {
			fill(t)
			for i, u := range column {
				for j, v := range column {
					a[i*k+j] += w[t] * u * v
				}
				dense[i] += w[t] * u * z[t]
			}
		}
		for i := len(spec.lags); i < k; i++ {
			a[i*k+i] += spec.day
			if i >= len(spec.lags)+s.day {
				a[i*k+i] += spec.week - spec.day
			}
		}
		if !solve(a, dense) {
			t.Fatal("singular")
		}
		if round == huberRounds {
			break
		}
		var errs []float64
		for t := spec.first(); t < len(z); t++ {
			fill(t)
			errs = append(errs, math.Abs(z[t]-dot(column, dense)))
		}
		limit := huberAt * 1.4826 * median(slices.Clone(errs))
		for i, e := range errs {
			w[spec.first()+i] = min(1, limit/e)
		}
	}
	for i, phi := range p.phi {
		if math.Abs(phi-dense[i]) > 1e-8 {
			t.Errorf("lag %d: %v, by the whole regression %v", spec.lags[i], phi, dense[i])
		}
	}
	for slot, c := range p.intercepts {
		want := dense[len(spec.lags)+slot%s.day] + dense[len(spec.lags)+s.day+slot]
		if math.Abs(c-want) > 1e-8 {
			t.Errorf("slot %d: %v, by the whole regression %v", slot, c, want)
		}
	}
}

func TestAutoregressionFindsWhatMadeTheSeries(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	x := make([]float64, 20_000)
	for k := 3; k < len(x); k++ {
		x[k] = 0.5*x[k-1] + 0.3*x[k-3] + r.NormFloat64()
		if k%1000 == 0 {
			x[k] += 100 // an outlier now and then
		}
	}
	p := fitAutoregression(x, season{1, 0}, arSpec{lags: []int{1, 2, 3}, day: everything, week: everything})
	for i, want := range []float64{0.5, 0, 0.3} {
		if math.Abs(p.phi[i]-want) > 0.03 {
			t.Errorf("lag %d: %.3f, want %v", i+1, p.phi[i], want)
		}
	}
}

// A differenced model forecasts the same from the end of its series as step by
// step by hand.
func TestForecastsOfDifferencesAreSummedUp(t *testing.T) {
	z := []float64{1, 5, 2, 6, 4, 9, 5, 11}
	p := &autoregression{arSpec{difference: 2, lags: []int{1, 2}}, []float64{0.5, -0.25}, []float64{0.1, 0.2}}
	got := make([]float64, 5)
	p.forecast(z, got)
	long := slices.Clone(z)
	for range got {
		n := len(long)
		d := func(back int) float64 { return long[n-back] - long[n-back-2] }
		long = append(long, long[n-2]+p.intercepts[n%2]+0.5*d(1)-0.25*d(2))
	}
	for i, v := range got {
		if math.Abs(v-long[len(z)+i]) > 1e-12 {
			t.Errorf("lead %d: %v, by hand %v", i, v, long[len(z)+i])
		}
	}
}

// The scale is the one on which errors do not depend on the level.
func TestScale(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	s := season{24, 0}
	for want, noise := range map[float64]func(level float64) float64{
		0:   func(level float64) float64 { return level * math.Exp(0.1*r.NormFloat64()) },
		0.5: func(level float64) float64 { return math.Pow(math.Sqrt(level)+0.4*r.NormFloat64(), 2) },
		1:   func(level float64) float64 { return level + 0.5*r.NormFloat64() },
	} {
		y := make([]float64, 2400)
		for k := range y {
			y[k] = noise(10 * math.Exp(math.Sin(2*math.Pi*float64(k)/24)))
		}
		c := chooseScale(y, s)
		if math.Abs(c.power-want) > 0.1 {
			t.Errorf("power %.3f, want %v", c.power, want)
		}
		for _, v := range y {
			if back := c.from(c.to(v)); math.Abs(back-v) > 1e-9*v {
				t.Fatalf("power %.3f: %v comes back as %v", c.power, v, back)
			}
		}
	}
	if c := chooseScale([]float64{1, 2, -1, 4, 5, 6}, season{3, 0}); c.power != 1 || !math.IsInf(c.floor, -1) {
		t.Errorf("negative samples: %+v", c)
	}
}

func TestFill(t *testing.T) {
	nan := math.NaN()
	y := []float64{nan, 10, 0, 12, nan, nan, 2, 14, nan}
	got := fill(y, usable(y), season{2, 0})
	// Even slots usually have 1, odd ones 12.
	want := []float64{0, 10, 0, 12, 1 + 1.0/3, 12 + 2.0/3, 2, 14, 3}
	for i, v := range want {
		if math.Abs(got[i]-v) > 1e-12 {
			t.Errorf("sample %d: %v, want %v", i, got[i], v)
		}
	}
}

// Figures of Student's t with 6 degrees of freedom, from a table.
func TestErrorShape(t *testing.T) {
	for p, want := range map[float64]float64{0.5: 0, 0.9: 1.4398, 0.975: 2.4469, 0.005: -3.7074} {
		if got := standardQuantile(p) * errorShapeMean; math.Abs(got-want) > 1e-4 {
			t.Errorf("quantile %v: %v, want %v", p, got, want)
		}
	}
	sum := 0.0
	const n = 100_000
	for i := range n {
		sum += math.Abs(standardQuantile((float64(i)+0.5)/n)) / n
	}
	if math.Abs(sum-1) > 1e-3 {
		t.Errorf("mean absolute value %v, want 1", sum)
	}
}

// The better of two experts counts for the fourth power of how much better it is.
func TestWeights(t *testing.T) {
	for _, c := range []struct{ loss, want []float64 }{
		{[]float64{1, 2, math.NaN()}, []float64{16.0 / 17, 1.0 / 17, 0}},
		{[]float64{0, 0, 3}, []float64{0.5, 0.5, 0}},
		{[]float64{math.NaN(), math.NaN()}, []float64{1, 0}},
	} {
		got := (&trial{loss: c.loss}).weights()
		for i, w := range c.want {
			if math.Abs(got[i]-w) > 1e-12 {
				t.Errorf("losses %v: weights %v, want %v", c.loss, got, c.want)
			}
		}
	}
}
