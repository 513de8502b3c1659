package forecast

// blockEnds separate horizons that are weighted together: 1–3, 4–8, 9–15, the rest.
var blockEnds = []int{3, 8, 15}

// blocks are ranges of horizon indices [from, to).
func blocks(horizon int) [][2]int {
	var b [][2]int
	from := 0
	for _, e := range blockEnds {
		if from < min(e, horizon) {
			b = append(b, [2]int{from, min(e, horizon)})
			from = min(e, horizon)
		}
	}
	if from < horizon {
		b = append(b, [2]int{from, horizon})
	}
	return b
}
