package ops

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"

	"go.yaml.in/yaml/v4"
)

// ReadYAML fills v, a pointer to a struct, from a YAML file under the rules of
// Load: unknown and repeated keys are errors, with file and line, all of them at
// once.
func ReadYAML(path string, v any) error { return errors.Join(loadFile(path, v, nil)...) }

// Lines says on which line every key of a YAML text is, such as "regions[0].name".
type Lines map[string]int

// ParseYAML is ReadYAML of a text; name stands for it in errors. The lines are
// those of the keys that were read, for what is found out about their values later.
func ParseYAML(name string, text []byte, v any) (Lines, error) {
	if len(text) > maxConfigFile {
		return nil, fmt.Errorf("%s has %d bytes; at most %d are read", name, len(text), maxConfigFile)
	}
	lines := Lines{}
	return lines, errors.Join(decode(name, text, v, nil, lines)...)
}

// loadFile fills cfg from a YAML file and notes the line of every key.
func loadFile(path string, cfg any, origins Origins) []error {
	text, err := readBounded(path, maxConfigFile)
	if err != nil {
		return []error{fmt.Errorf("read YAML file: %w", err)}
	}
	return decode(path, text, cfg, origins, nil)
}

func decode(path string, text []byte, cfg any, origins Origins, lines Lines) []error {
	loader, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		return []error{fmt.Errorf("%s: %w", path, err)}
	}
	var doc, second yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		return nil // an empty file says nothing
	case err != nil:
		return []error{fmt.Errorf("%s: %w", path, err)}
	}
	if err := loader.Load(&second); !errors.Is(err, io.EOF) {
		return []error{fmt.Errorf("%s: more than one YAML document; keep one", path)}
	}
	if len(doc.Content) == 0 {
		return nil
	}
	d := decoder{file: path, origins: origins, lines: lines}
	d.section(doc.Content[0], reflect.ValueOf(cfg).Elem(), "")
	return d.problems
}

// decoder walks YAML nodes and configuration together.
type decoder struct {
	file     string // empty: a flag or variable; lines mean nothing
	origins  Origins
	lines    Lines // nil: not asked for
	problems []error
}

func (d *decoder) problem(n *yaml.Node, key, format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if key != "" {
		err = fmt.Errorf("%s: %w", key, err)
	}
	if d.file != "" {
		err = fmt.Errorf("%s:%d: %w", d.file, n.Line, err)
	}
	d.problems = append(d.problems, err)
}

func (d *decoder) section(n *yaml.Node, v reflect.Value, key string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.problem(n, key, "want keys and values here")
		return
	}
	byName := map[string]structField{}
	var names []string
	for _, f := range structFields(v) {
		byName[f.name] = f
		names = append(names, f.name)
	}
	d.eachPair(n, key, func(name string, k, value *yaml.Node) {
		f, ok := byName[name]
		full := join(key, name)
		switch {
		case !ok:
			d.problem(k, full, "unknown key%s", suggestion(name, names))
		case isSection(f.value):
			d.section(value, f.value, full)
		default:
			d.value(value, f.value, full, f.tag.Get("negative") == "ok")
			if d.origins != nil {
				if _, leaf := d.origins[full]; leaf {
					d.origins[full] = fmt.Sprintf("%s:%d", d.file, k.Line)
				}
			}
		}
	})
}

// eachPair calls do for every key of a mapping, and refuses repeated ones.
func (d *decoder) eachPair(n *yaml.Node, key string, do func(name string, k, value *yaml.Node)) {
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, value := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			d.problem(k, key, "a key must be a word")
			continue
		}
		if line, twice := lines[k.Value]; twice {
			d.problem(k, join(key, k.Value), "given twice, first on line %d", line)
			continue
		}
		lines[k.Value] = k.Line
		if value.Kind == yaml.AliasNode {
			d.problem(value, join(key, k.Value), "YAML aliases are not supported; write the value")
			continue
		}
		if d.lines != nil {
			d.lines[join(key, k.Value)] = k.Line
		}
		do(k.Value, k, value)
	}
}

// value decodes anything but a section.
func (d *decoder) value(n *yaml.Node, v reflect.Value, key string, signed bool) {
	_, isText := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case n.Kind == yaml.AliasNode:
		d.problem(n, key, "YAML aliases are not supported; write the value")
	case isText:
		d.scalar(n, v, key, signed)
	case v.Kind() == reflect.Struct:
		d.section(n, v, key)
	case v.Kind() == reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.problem(n, key, "want a list")
			return
		}
		list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
		for i, c := range n.Content {
			if d.lines != nil {
				d.lines[fmt.Sprintf("%s[%d]", key, i)] = c.Line
			}
			d.value(c, list.Index(i), fmt.Sprintf("%s[%d]", key, i), signed)
		}
		v.Set(list)
	case v.Kind() == reflect.Map:
		if n.Kind != yaml.MappingNode {
			d.problem(n, key, "want keys and values here")
			return
		}
		m := reflect.MakeMap(v.Type())
		d.eachPair(n, key, func(name string, _, value *yaml.Node) {
			e := reflect.New(v.Type().Elem()).Elem()
			d.value(value, e, join(key, name), signed)
			m.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), e)
		})
		v.Set(m)
	default:
		d.scalar(n, v, key, signed)
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, key string, signed bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.problem(n, key, "want one value here")
	case n.Tag == "!!null" && n.Style == 0:
		d.problem(n, key, "has no value; give one or remove the key")
	default:
		if err := setScalar(v, n.Value, signed); err != nil {
			d.problem(n, key, "%w", err)
		}
	}
}
