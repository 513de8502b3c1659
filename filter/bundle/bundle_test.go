package bundle_test

import (
	"bytes"
	"compress/flate"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"

	"github.com/barrage-im/barrage/filter"
	"github.com/barrage-im/barrage/filter/bundle"
)

// keyOf is a key that every run has.
func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

func parse(t testing.TB, name, text string) *filter.List {
	t.Helper()
	l, problems := filter.ParseList(name, []byte("%list 1\n"+text))
	if filter.Fatal(problems) {
		t.Fatal(problems)
	}
	return l
}

func twoLists(t testing.TB) []*filter.List {
	return []*filter.List{
		parse(t, "en", "%language en\n%license CC0-1.0\nbad\tseverity=4 action=block category=insult\nworse*\n!badminton\n"),
		parse(t, "zh", "%language zh\n加微信\tcategory=spam strict=yes\n"),
	}
}

var manifest = bundle.Manifest{Name: "default", Version: 7, CreatedMS: 1_700_000_000_000, Mode: bundle.Report}

func mustMake(t testing.TB, key ed25519.PrivateKey) []byte {
	t.Helper()
	data, err := bundle.Make(manifest, twoLists(t), key)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestABundleIsOpenedAsItWasMade(t *testing.T) {
	key := keyOf("k")
	data := mustMake(t, key)
	if again := mustMake(t, key); !bytes.Equal(data, again) {
		t.Error("the same input made other bytes")
	}
	b, err := bundle.Open(data, []ed25519.PublicKey{public(keyOf("other")), public(key)})
	if err != nil {
		t.Fatal(err)
	}
	want := manifest
	want.KeyID = bundle.KeyID(public(key))
	want.Lists = []bundle.ListInfo{
		{Name: "en", Language: "en", License: "CC0-1.0", Entries: 3, Allowed: 1},
		{Name: "zh", Language: "zh", Entries: 1},
	}
	if !reflect.DeepEqual(b.Manifest, want) {
		t.Errorf("got  %+v\nwant %+v", b.Manifest, want)
	}
	if b.Digest != sha256.Sum256(data) || b.Size != len(data) {
		t.Errorf("digest %x, size %d", b.Digest, b.Size)
	}
	for i, l := range twoLists(t) {
		if got, want := filter.AppendList(nil, b.Lists[i]), filter.AppendList(nil, l); !bytes.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	entries := b.Entries()
	if len(entries) != 4 || entries[3].Word != "加微信" || !entries[3].Strict || !entries[2].Allow {
		t.Errorf("entries %+v", entries)
	}
	for i, name := range []string{"en", "en", "en", "zh"} {
		if l := b.List(uint32(i)); l == nil || l.Name != name {
			t.Errorf("entry %d is of list %v", i, l)
		}
	}
	if b.List(4) != nil {
		t.Error("an entry that is not there is of a list")
	}
}

func TestOnlyTrustedBundlesAreOpened(t *testing.T) {
	key, other := keyOf("k"), keyOf("other")
	if _, err := bundle.Open(mustMake(t, nil), []ed25519.PublicKey{public(key)}); !errors.Is(err, bundle.ErrUnsigned) {
		t.Errorf("not signed: %v", err)
	}
	if _, err := bundle.Open(mustMake(t, other), []ed25519.PublicKey{public(key)}); !errors.Is(err, bundle.ErrUntrusted) {
		t.Errorf("other key: %v", err)
	}
	if _, err := bundle.Open(mustMake(t, key), nil); !errors.Is(err, bundle.ErrUntrusted) {
		t.Errorf("no keys: %v", err)
	}
	// Whoever says that he is k, and signs with another key.
	forged := mustMake(t, key)
	body := forged[:len(forged)-ed25519.SignatureSize]
	forged = append(bytes.Clone(body), ed25519.Sign(other, body)...)
	if _, err := bundle.Open(forged, []ed25519.PublicKey{public(key), public(other)}); !errors.Is(err, bundle.ErrUntrusted) {
		t.Errorf("forged: %v", err)
	}
	// A bundle whose signature was taken off is not simply unsigned.
	stripped := append(bytes.Clone(body[:len(body)-1]), 0)
	if _, err := bundle.Open(stripped, []ed25519.PublicKey{public(key)}); !errors.Is(err, bundle.ErrCorrupt) {
		t.Errorf("stripped: %v", err)
	}
	for _, data := range [][]byte{mustMake(t, nil), mustMake(t, other), forged} {
		if b, err := bundle.Unverified(data); err != nil || b.Name != "default" {
			t.Errorf("unverified: %v", err)
		}
	}
}

// Every byte of a bundle counts.
func TestDamageIsFound(t *testing.T) {
	key := keyOf("k")
	keys := []ed25519.PublicKey{public(key)}
	data := mustMake(t, key)
	for i := range data {
		for _, bit := range []byte{1, 0x80} {
			damaged := bytes.Clone(data)
			damaged[i] ^= bit
			_, err := bundle.Open(damaged, keys)
			inSignature := i >= len(data)-ed25519.SignatureSize
			switch {
			case err == nil:
				t.Fatalf("byte %d: opened", i)
			case inSignature && !errors.Is(err, bundle.ErrUntrusted):
				t.Errorf("byte %d, in the signature: %v", i, err)
			case !inSignature && !errors.Is(err, bundle.ErrCorrupt) && !errors.Is(err, bundle.ErrTooLarge) && !errors.Is(err, bundle.ErrNewer):
				t.Errorf("byte %d: %v", i, err)
			}
		}
	}
	for n := range data {
		if _, err := bundle.Open(data[:n], keys); !errors.Is(err, bundle.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := bundle.Open(append(bytes.Clone(data), 0), keys); !errors.Is(err, bundle.ErrCorrupt) {
		t.Errorf("a byte behind: %v", err)
	}
}

func TestANewerFormatIsNamed(t *testing.T) {
	data := mustMake(t, keyOf("k"))
	binary.BigEndian.PutUint16(data[8:], 2)
	if _, err := bundle.Open(data, []ed25519.PublicKey{public(keyOf("k"))}); !errors.Is(err, bundle.ErrNewer) {
		t.Errorf("got %v", err)
	}
}

// rebuilt is a bundle with other contents, and all sums right.
func rebuilt(t *testing.T, key ed25519.PrivateKey, header, packed []byte, plain int) []byte {
	t.Helper()
	b := binary.BigEndian.AppendUint16([]byte("brgrules"), 1)
	for _, n := range []int{len(header), len(packed), plain} {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	b = append(append(b, header...), packed...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	b = append(b, 1)
	return append(b, ed25519.Sign(key, b)...)
}

func pack(t *testing.T, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What a signer's own mistake, or a stolen key, can put into a bundle.
func TestBadContentsAreRefused(t *testing.T) {
	key := keyOf("k")
	keys := []ed25519.PublicKey{public(key)}
	data := mustMake(t, key)
	header := data[22 : 22+binary.BigEndian.Uint32(data[10:])]
	bomb := pack(t, make([]byte, 32<<20))
	text := []byte("%list 1\n%name en\nbad\n")
	framed := append(binary.AppendUvarint(nil, uint64(len(text))), text...)
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"a bomb that says so":   {rebuilt(t, key, header, bomb, filter.MaxSource+1), bundle.ErrTooLarge},
		"a bomb that lies":      {rebuilt(t, key, header, bomb, 1000), bundle.ErrCorrupt},
		"less than it says":     {rebuilt(t, key, header, pack(t, framed), 1<<20), bundle.ErrCorrupt},
		"other lists":           {rebuilt(t, key, header, pack(t, framed), len(framed)), bundle.ErrCorrupt},
		"no deflate":            {rebuilt(t, key, header, []byte("not compressed"), 14), bundle.ErrCorrupt},
		"no header":             {rebuilt(t, key, nil, pack(t, framed), len(framed)), bundle.ErrCorrupt},
		"a header that goes on": {rebuilt(t, key, append(bytes.Clone(header), 0), pack(t, framed), len(framed)), bundle.ErrCorrupt},
		"a header too large":    {rebuilt(t, key, make([]byte, 1<<20), pack(t, framed), len(framed)), bundle.ErrTooLarge},
		"too many bytes":        {append([]byte("brgrules"), make([]byte, bundle.MaxBundle)...), bundle.ErrTooLarge},
		"nothing":               {nil, bundle.ErrCorrupt},
		"a list":                {text, bundle.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := bundle.Open(c.data, keys); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// headerOf is the header of a bundle of one list, and its lists uncompressed.
func headerOf(t *testing.T, text string) (header, plain []byte) {
	t.Helper()
	l := parse(t, "en", text)
	data, err := bundle.Make(manifest, []*filter.List{l}, keyOf("k"))
	if err != nil {
		t.Fatal(err)
	}
	canonical := filter.AppendList(nil, l)
	return data[22 : 22+binary.BigEndian.Uint32(data[10:])], append(binary.AppendUvarint(nil, uint64(len(canonical))), canonical...)
}

// There is one way to write a bundle's contents.
func TestContentsAreExact(t *testing.T) {
	key := keyOf("k")
	keys := []ed25519.PublicKey{public(key)}
	header, plain := headerOf(t, "bad\n")
	two, _ := headerOf(t, "bad\nworse\n")
	if _, err := bundle.Open(rebuilt(t, key, header, pack(t, plain), len(plain)), keys); err != nil {
		t.Fatal("the helper is wrong: ", err)
	}
	version := bytes.IndexByte(header, 7)
	longer := bytes.Join([][]byte{header[:version], {0x87, 0}, header[version+1:]}, nil)
	comment := append(bytes.Clone(plain), '#')
	for name, data := range map[string][]byte{
		"a byte more than it says":   rebuilt(t, key, header, pack(t, comment), len(plain)),
		"a byte behind the lists":    rebuilt(t, key, header, pack(t, comment), len(comment)),
		"bytes behind what's packed": rebuilt(t, key, header, append(pack(t, plain), 0), len(plain)),
		"a number in a longer form":  rebuilt(t, key, longer, pack(t, plain), len(plain)),
		"other counts":               rebuilt(t, key, two, pack(t, plain), len(plain)),
	} {
		if _, err := bundle.Open(data, keys); !errors.Is(err, bundle.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMakeRefusesWhatEdgesWould(t *testing.T) {
	key := keyOf("k")
	lists := twoLists(t)
	random := []byte("%list 1\n") // does not compress below MaxBundle
	for state := sha256.Sum256(nil); len(random) < 24<<20; {
		for range 12 { // words as long as they may be
			state = sha256.Sum256(state[:])
			random = base64.RawURLEncoding.AppendEncode(random, state[:30])
		}
		random = append(random, '\n')
	}
	big, problems := filter.ParseList("big", random)
	if filter.Fatal(problems) {
		t.Fatal(problems)
	}
	for name, c := range map[string]struct {
		change func(*bundle.Manifest)
		lists  []*filter.List
		want   string
	}{
		"no lists":     {nil, nil, "0 lists"},
		"no entries":   {nil, []*filter.List{{Name: "a"}}, "0 entries; use 1 to"},
		"no name":      {func(m *bundle.Manifest) { m.Name = "" }, lists, "name of the bundle"},
		"no version":   {func(m *bundle.Manifest) { m.Version = 0 }, lists, "begin with 1"},
		"bad time":     {func(m *bundle.Manifest) { m.CreatedMS = -1 }, lists, "before 1970"},
		"bad mode":     {func(m *bundle.Manifest) { m.Mode = "try" }, lists, "use enforce or report"},
		"same names":   {nil, []*filter.List{lists[0], lists[0]}, "named en"},
		"many lists":   {nil, make65(t), "65 lists"},
		"bad entry":    {nil, []*filter.List{{Name: "a", Entries: []filter.Entry{{Word: "a\nb", Severity: 2, Action: filter.Mask}, {Word: "a"}}}}, "list a, in its canonical form: line"},
		"bad severity": {nil, []*filter.List{{Name: "a", Entries: []filter.Entry{{Word: "x", Severity: 9, Action: filter.Mask}}}}, "severity"},
		"too large":    {nil, []*filter.List{big}, "the bundle is too large"},
	} {
		t.Run(name, func(t *testing.T) {
			m := manifest
			if c.change != nil {
				c.change(&m)
			}
			if _, err := bundle.Make(m, c.lists, key); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	if _, err := bundle.Make(manifest, lists, key[:10]); err == nil || !strings.Contains(err.Error(), "10 bytes") {
		t.Errorf("short key: %v", err)
	}
}

func make65(t *testing.T) (lists []*filter.List) {
	for i := range bundle.MaxLists + 1 {
		lists = append(lists, parse(t, "l"+strings.Repeat("x", i%60)+string(rune('a'+i/60)), "word\n"))
	}
	return lists
}

func FuzzOpen(f *testing.F) {
	key := keyOf("k")
	f.Add(mustMake(f, key))
	f.Add(mustMake(f, nil))
	f.Add([]byte("brgrules\x00\x01"))
	keys := []ed25519.PublicKey{public(key)}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, fix := range []bool{false, true} {
			if fix { // else no mutation gets behind the checksum
				data = bytes.Clone(data)
				fixChecksum(data)
			}
			b, err := bundle.Unverified(data)
			if err != nil {
				continue
			}
			// What opens can be made again, to the same lists.
			again, err := bundle.Make(b.Manifest, b.Lists, key)
			if err != nil {
				t.Fatal(err)
			}
			c, err := bundle.Open(again, keys)
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Entries()) != len(b.Entries()) || c.Name != b.Name || c.Version != b.Version {
				t.Fatalf("got %+v, was %+v", c.Manifest, b.Manifest)
			}
		}
	})
}

func fixChecksum(data []byte) {
	if len(data) < 27 {
		return
	}
	end := 22 + uint64(binary.BigEndian.Uint32(data[10:])) + uint64(binary.BigEndian.Uint32(data[14:]))
	if end+4 <= uint64(len(data)) {
		binary.BigEndian.PutUint32(data[end:], crc32.Checksum(data[:end], crc32.MakeTable(crc32.Castagnoli)))
	}
}
