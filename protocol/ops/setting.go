package ops

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Setting is one key of an effective configuration, for people.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"`
	Help   string `json:"help,omitempty"`
}

// Settings lists the effective configuration in the order of its struct, with
// origins as Load returned them. Secrets are redacted.
func Settings(cfg any, origins Origins) []Setting {
	var settings []Setting
	for _, f := range fieldsOf(cfg) {
		settings = append(settings, Setting{f.key, f.text(), origins[f.key], f.help})
	}
	return settings
}

// text is the field's value as YAML would take it.
func (f field) text() string { return textOf(f.value) }

func textOf(v reflect.Value) string {
	if v.Type() == durationType || v.Type() == bytesType {
		return fmt.Sprint(v.Interface())
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	var parts []string
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			parts = append(parts, textOf(v.Index(i)))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Map:
		byKey := map[string]string{}
		for _, k := range v.MapKeys() {
			byKey[fmt.Sprint(k)] = textOf(v.MapIndex(k))
		}
		for _, k := range slices.Sorted(maps.Keys(byKey)) {
			parts = append(parts, k+": "+byKey[k])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case reflect.Struct:
		for _, f := range structFields(v) {
			if !f.value.IsZero() {
				parts = append(parts, f.name+": "+textOf(f.value))
			}
		}
		return "{" + strings.Join(parts, ", ") + "}"
	default:
		return fmt.Sprint(v.Interface())
	}
}

// suggestion is "; did you mean x?" when one of the names is near.
func suggestion(word string, names []string) string {
	if best := Nearest(word, names); best != "" {
		return fmt.Sprintf("; did you mean %s?", best)
	}
	return ""
}

// Nearest finds the name that a mistyped word probably meant, or "".
func Nearest(word string, names []string) string {
	best, bestDistance := "", len(word)/3+1
	for _, n := range slices.Sorted(slices.Values(names)) {
		if d := distance(word, n); d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = n, d
		}
	}
	return best
}

// distance is Levenshtein's: insertions, deletions and replacements.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next := min(row[j]+1, row[j-1]+1, diagonal+cost)
			diagonal, row[j] = row[j], next
		}
	}
	return row[len(b)]
}
