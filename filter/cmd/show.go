package cmd

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/bundle"
	"github.com/barrage-im/barrage/protocol/ops"
)

// bundleView is a bundle in JSON.
type bundleView struct {
	Name      string     `json:"name"`
	Version   uint64     `json:"version"`
	Created   time.Time  `json:"created"`
	Mode      string     `json:"mode"`
	Size      int        `json:"size"`
	Digest    string     `json:"digest"`
	KeyID     string     `json:"key_id,omitempty"`
	Signature string     `json:"signature"` // none, unchecked, valid or untrusted
	Lists     []listView `json:"lists"`
}

type listView struct {
	Name     string `json:"name"`
	Language string `json:"language,omitempty"`
	License  string `json:"license,omitempty"`
	Entries  int    `json:"entries"`
	Allowed  int    `json:"allowed"`
}

func show(_ context.Context, s streams, args []string) error {
	var o struct {
		Pub  string `yaml:"pub" help:"file with the public keys, to check the signature"`
		List string `yaml:"list" help:"print this one of the lists, in its canonical form"`
		JSON bool   `yaml:"json" help:"print JSON"`
	}
	const usage = "filter show [flags] BUNDLE"
	paths, err := ops.Flags(usage, &o, args)
	if err != nil {
		return err
	}
	if len(paths) != 1 {
		return ops.Usagef("usage: barrage %s", usage)
	}
	data, err := readFile(paths[0], bundle.MaxBundle)
	if err != nil {
		return err
	}
	b, err := bundle.Unverified(data)
	if err != nil {
		return fmt.Errorf("%s: %w", paths[0], err)
	}
	state, untrusted := "unchecked", error(nil)
	switch {
	case b.KeyID == "":
		state = "none"
		untrusted = bundle.ErrUnsigned
	case o.Pub != "":
		state = "valid"
		if _, untrusted = openBundle(data, o.Pub); untrusted != nil {
			state = "untrusted"
			if !errors.Is(untrusted, bundle.ErrUntrusted) {
				return untrusted // of the file with the keys
			}
		}
	}
	if untrusted != nil {
		untrusted = fmt.Errorf("%s: %w", paths[0], untrusted) // told behind what it is
	}
	switch {
	case o.List != "":
		err = printList(s, b, o.List)
	case o.JSON:
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		err = e.Encode(view(b, state))
	default:
		err = describe(s, b, state)
	}
	return errors.Join(err, untrusted)
}

func printList(s streams, b *bundle.Bundle, name string) error {
	for _, l := range b.Lists {
		if l.Name == name {
			_, err := s.out.Write(filter.AppendList(nil, l))
			return err
		}
	}
	return ops.Usagef("--list: the bundle has no list %.40q", name)
}

func view(b *bundle.Bundle, state string) bundleView {
	v := bundleView{
		Name: b.Name, Version: b.Version, Created: time.UnixMilli(b.CreatedMS).UTC(), Mode: b.Mode,
		Size: b.Size, Digest: hex.EncodeToString(b.Digest[:]), KeyID: b.KeyID, Signature: state,
	}
	if v.Mode == "" {
		v.Mode = bundle.Enforce
	}
	for _, l := range b.Manifest.Lists {
		v.Lists = append(v.Lists, listView(l))
	}
	return v
}

func describe(s streams, b *bundle.Bundle, state string) error {
	v := view(b, state)
	signature := map[string]string{
		"none":      "none: edges refuse it",
		"unchecked": "by key " + v.KeyID + ", not checked: give --pub",
		"valid":     "by key " + v.KeyID + ", valid",
		"untrusted": "names key " + v.KeyID + ", NOT of the keys in --pub",
	}[state]
	var text bytes.Buffer
	fmt.Fprintf(&text, "set:       %s\nversion:   %d\ncreated:   %s\nmode:      %s\nsize:      %s\nsha-256:   %s\nsignature: %s\n\n",
		v.Name, v.Version, v.Created.Format(time.DateTime), v.Mode, size(v.Size), v.Digest, signature)
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "LIST\tLANGUAGE\tLICENSE\tENTRIES\tALLOWED")
	for _, l := range v.Lists {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\n", l.Name, l.Language, printable(l.License), l.Entries, l.Allowed)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := s.out.Write(text.Bytes())
	return err
}
