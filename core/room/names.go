package room

import (
	"cmp"
	"slices"
)

// names keeps the rooms in the order of their names, for paging. It is a list
// of short sorted runs: making a room costs a search and a small copy, however
// many there are.
type names struct {
	runs [][]*room // ascending, none empty
}

// maxRun bounds a run: 4 KiB of pointers are copied in well under 1 µs.
const maxRun = 512

func byName(r *room, name string) int { return cmp.Compare(r.name, name) }

// run is the index of the run in which name is or belongs.
func (n *names) run(name string) int {
	i, found := slices.BinarySearchFunc(n.runs, name, func(run []*room, name string) int { return byName(run[0], name) })
	if !found && i > 0 {
		i--
	}
	return i
}

func (n *names) insert(r *room) {
	if len(n.runs) == 0 {
		n.runs = [][]*room{{r}}
		return
	}
	i := n.run(r.name)
	at, _ := slices.BinarySearchFunc(n.runs[i], r.name, byName)
	n.runs[i] = slices.Insert(n.runs[i], at, r)
	if len(n.runs[i]) > maxRun {
		left, right := n.runs[i][:maxRun/2], n.runs[i][maxRun/2:]
		n.runs[i] = slices.Clone(left)
		n.runs = slices.Insert(n.runs, i+1, slices.Clone(right))
	}
}

func (n *names) remove(r *room) {
	i := n.run(r.name)
	at, _ := slices.BinarySearchFunc(n.runs[i], r.name, byName)
	n.runs[i] = slices.Delete(n.runs[i], at, at+1)
	if len(n.runs[i]) == 0 {
		n.runs = slices.Delete(n.runs, i, i+1)
	}
}

// after visits the rooms behind name in order until visit returns false.
func (n *names) after(name string, visit func(*room) bool) {
	if len(n.runs) == 0 {
		return
	}
	for i := n.run(name); i < len(n.runs); i++ {
		for _, r := range n.runs[i] {
			if r.name > name && !visit(r) {
				return
			}
		}
	}
}
