package seasonal

import "slices"

// A model forecasts what follows a past. The past begins with the same sample as
// the series the model was fitted to, and is at least as long.
type model interface {
	forecast(past, dst []float64)
}

// An expert fits models of one kind.
type expert struct {
	name  string
	needs int // samples
	fit   func(z []float64) model
}

// A panel is the experts of a series, with models fitted to it or to its
// beginning.
type panel []expert

// assemble chooses the experts that a series of the shape of z allows. There is
// always one.
func assemble(z []float64, s season) panel {
	all := panel{{"naive", s.longest(), func([]float64) model { return repetition(s.longest()) }}}
	for _, a := range autoregressions(s) {
		// Three samples a lag and a day of intercepts, or it is guessing.
		needs := a.spec.first() + 3*len(a.spec.lags) + 2*s.day
		all = append(all, expert{a.name, needs, func(z []float64) model { return fitAutoregression(z, s, a.spec) }})
	}
	return slices.DeleteFunc(all, func(e expert) bool { return e.needs > len(z) })
}

// maxDays is how many days an autoregression looks back at most: a week of them.
const maxDays = 7

type namedSpec struct {
	name string
	spec arSpec
}

// autoregressions differ in what they hold for constant, the pattern of the week
// (profile) or the change from one day to the next (day), in how firmly a day of
// the week is held to the pattern of all days, and in how far they look back.
// Where one fails another does not.
func autoregressions(s season) []namedSpec {
	d := s.day
	if d == 1 {
		return []namedSpec{
			{"profile", arSpec{lags: []int{1, 2, 3}, day: everything, week: everything}},
			{"day", arSpec{difference: 1, lags: []int{1, 2, 3}, day: everything, week: everything}},
		}
	}
	// Steps of an hour and of a day, and what is left of one in the other.
	near := []int{1, 2, 3, d - 2, d - 1, d, d + 1, d + 2}
	two := lags(near, 2*d-1, 2*d, 2*d+1)
	many := near
	for k := 2; k <= min(max(2, s.week/d), maxDays); k++ {
		many = append(many, k*d, k*d+1)
	}
	const flat = 1e-3 // of the intercepts of a day: as good as free
	firm, loose, free := 1.0, 0.5, 0.2
	if s.week == 0 {
		return []namedSpec{
			{"profile", arSpec{lags: two, day: flat, week: everything}},
			{"profile, short memory", arSpec{lags: []int{1, 2, 3}, day: flat, week: everything}},
			{"day", arSpec{difference: d, lags: lags(many), day: 10, week: everything}},
		}
	}
	return []namedSpec{
		{"profile", arSpec{lags: two, day: flat, week: free}},
		{"profile, firm", arSpec{lags: two, day: flat, week: firm}},
		{"profile, short memory", arSpec{lags: []int{1, 2, 3}, day: flat, week: loose}},
		{"day", arSpec{difference: d, lags: lags(many), day: 10, week: everything}},
		{"day, profile", arSpec{difference: d, lags: lags(near, 2*d, 2*d+1), day: 10, week: firm}},
	}
}

// lags sorts, and drops what short seasons make equal or less than 1.
func lags(some []int, more ...int) []int {
	all := slices.Concat(some, more)
	slices.Sort(all)
	all = slices.DeleteFunc(all, func(l int) bool { return l < 1 })
	return slices.Compact(all)
}

// repetition forecasts the last so many samples again and again.
type repetition int

func (m repetition) forecast(past, dst []float64) {
	for i := range dst {
		dst[i] = past[len(past)-int(m)+i%int(m)]
	}
}
