package ops

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// field is one key of a configuration: a leaf of the tree of structs.
type field struct {
	key    string // section.key
	short  string // one-letter flag
	help   string
	value  reflect.Value // settable
	secret bool          // is read from a file by flag and by variable …_FILE
	signed bool          // tag negative:"ok"
}

var (
	secretType   = reflect.TypeFor[Secret]()
	durationType = reflect.TypeFor[time.Duration]()
	bytesType    = reflect.TypeFor[Bytes]()
)

// fieldsOf lists the leaves of cfg in the order of the struct.
func fieldsOf(cfg any) []field {
	v := reflect.ValueOf(cfg)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("ops: configuration is a %T, want a pointer to a struct", cfg))
	}
	fields := appendFields(nil, v.Elem(), "")
	keys := map[string]bool{}
	for _, f := range fields {
		keys[f.key] = true
	}
	flags := map[string]string{}
	for i := range fields {
		f := &fields[i]
		if keys[f.key+"_file"] { // the command reads such a file itself
			f.secret = false
		}
		if other, twice := flags[f.flag()]; twice {
			panic(fmt.Sprintf("ops: %s and %s are both --%s", other, f.key, f.flag()))
		}
		flags[f.flag()] = f.key
	}
	return fields
}

func appendFields(fields []field, v reflect.Value, prefix string) []field {
	for _, s := range structFields(v) {
		key := join(prefix, s.name)
		if isSection(s.value) {
			fields = appendFields(fields, s.value, key)
			continue
		}
		fields = append(fields, field{
			key: key, short: s.tag.Get("short"), help: s.tag.Get("help"), value: s.value,
			secret: s.value.Type() == secretType, signed: s.tag.Get("negative") == "ok",
		})
	}
	return fields
}

type structField struct {
	name  string // empty for an inlined struct
	tag   reflect.StructTag
	value reflect.Value
}

// structFields lists the fields with a yaml tag; inlined ones are taken apart.
func structFields(v reflect.Value) (fields []structField) {
	for i := range v.NumField() {
		t := v.Type().Field(i)
		name, options, _ := strings.Cut(t.Tag.Get("yaml"), ",")
		switch {
		case !t.IsExported() || name == "-":
		case options == "inline":
			fields = append(fields, structFields(v.Field(i))...)
		case name != "":
			fields = append(fields, structField{name, t.Tag, v.Field(i)})
		}
	}
	return fields
}

func isSection(v reflect.Value) bool {
	if v.Kind() != reflect.Struct || !v.CanAddr() {
		return false
	}
	_, text := v.Addr().Interface().(encoding.TextUnmarshaler)
	return !text
}

func join(prefix, name string) string {
	if prefix == "" || name == "" {
		return prefix + name
	}
	return prefix + "." + name
}

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

func (f field) env() string { return envName(f.key) }

func (f field) flag() string {
	name := strings.NewReplacer(".", "-", "_", "-").Replace(f.key)
	if f.secret {
		name += "-file"
	}
	return name
}

func (f field) list() bool {
	return f.value.Kind() == reflect.Slice && f.value.Type().Elem().Kind() == reflect.String
}

func (f field) isBool() bool { return f.value.Kind() == reflect.Bool }

// setText sets the field from a flag or a variable.
func (f field) setText(text string) error {
	switch {
	case f.list():
		list := reflect.MakeSlice(f.value.Type(), 0, 4)
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				e := reflect.New(f.value.Type().Elem()).Elem()
				if err := setScalar(e, part, f.signed); err != nil {
					return err
				}
				list = reflect.Append(list, e)
			}
		}
		f.value.Set(list)
		return nil
	case f.value.Kind() == reflect.Map && f.value.Type().Elem().Kind() != reflect.Struct:
		m := reflect.MakeMap(f.value.Type())
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			k, value, ok := strings.Cut(part, "=")
			if !ok {
				return fmt.Errorf("%q: write key=value,key=value", part)
			}
			e := reflect.New(f.value.Type().Elem()).Elem()
			if err := setScalar(e, value, f.signed); err != nil {
				return fmt.Errorf("%s: %w", k, err)
			}
			m.SetMapIndex(reflect.ValueOf(k).Convert(f.value.Type().Key()), e)
		}
		f.value.Set(m)
		return nil
	case f.value.Kind() == reflect.Slice || f.value.Kind() == reflect.Map:
		var doc yaml.Node
		if err := yaml.Load([]byte(text), &doc); err != nil || len(doc.Content) != 1 {
			return fmt.Errorf("want YAML, such as [{key: value}]")
		}
		d := decoder{file: ""}
		d.value(doc.Content[0], f.value, "", f.signed)
		if len(d.problems) > 0 {
			return d.problems[0]
		}
		return nil
	}
	return setScalar(f.value, text, f.signed)
}
