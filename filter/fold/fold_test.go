package fold_test

import (
	"testing"

	. "github.com/barrage-im/barrage/filter/fold"
)

// Every rune of text counts as the rune of canonical at the same place.
func TestWhatCountsAsTheSame(t *testing.T) {
	for name, cases := range map[string][][2]string{
		"case":              {{"ABCxyz", "abcxyz"}, {"ÀÉÎÕÜ", "aeiou"}, {"ΣςσΛ", "σσσλ"}, {"ДЖд", "джд"}, {"ẞß", "ßß"}, {"ſ", "s"}},
		"width":             {{"ＦｕＣＫ１２３", "fuck123"}, {"ｶｱｯｰ", "かあっー"}, {"ﾡﾢ", "ᄀᄁ"}},
		"kana":              {{"カタガァンヽ", "かたがぁんゝ"}, {"㋐㋕", "あか"}},
		"traditional":       {{"後髮發乾幹麼裡裏徵鬥", "后发发干干么里里征斗"}, {"臺灣國語", "台湾国语"}},
		"Japanese":          {{"発広気図価弐", "发广气图价二"}},
		"compatible Han":    {{"豈更車⼀⼈", "岂更车一人"}, {"㊗㊙㈱㊤", "祝秘株上"}, {"値呉", "值吴"}},
		"letter styles":     {{"ⒶⓑⒸ⒟🄰🅰🅐🆊", "abcdaaap"}, {"𝐅𝒖𝓬𝖐𝕗𝚞", "fuckfu"}, {"ᴀʙᴄꜰɢʜɪ", "abcfghi"}, {"ℌℓℹⅰⅬªⁿ", "hliilan"}},
		"digit styles":      {{"①⑵⒊④❺➅➐⑧⓽⓪⓿🄌", "123456789000"}, {"²₃⁰", "230"}, {"٣۴४๕𝟞𝟳", "344567"}},
		"Chinese numbers":   {{"壹贰貳叁參肆伍柒捌玖", "一二二三参四五七八九"}, {"㈠㊁〇", "一二零"}},
		"accents":           {{"éêñçåşžğ", "eencaszg"}, {"øłđħŧıƒ", "oldhtif"}, {"ếởự", "eou"}, {"ёйї", "eиi"}, {"άώ", "aω"}},
		"Cyrillic as Latin": {{"асеорхуѕіј", "aceopxysij"}, {"ВКМНТвкмнт", "bkmhtbkmht"}},
		"Greek as Latin":    {{"ΑΒΕΙΚΜΟΡΤΧΖ", "abeikmoptxz"}, {"αικνορτυχη", "aikvoptuxn"}},
		"others as Latin":   {{"հոսօ", "hnuo"}, {"ᎪᎬᎢ", "aet"}, {"ꓐꓳꓢ", "bos"}},
		"Arabic forms":      {{"ﺍأآﻻ", "اااﻻ"}, {"شﺵ", "شش"}},
		"vowel signs":       {{"กิकि", "กิकि"}},
	} {
		for _, c := range cases {
			text, want := []rune(c[0]), []rune(c[1])
			if len(text) != len(want) {
				t.Fatalf("%s: %q and %q differ in length", name, c[0], c[1])
			}
			for i, r := range text {
				if got := Fine(r); got != want[i] {
					t.Errorf("%s: %c (%U) counts as %c (%U), not as %c", name, r, r, got, got, want[i])
				}
				if ok, leet := StandsFor(r, want[i]); !ok || leet {
					t.Errorf("%s: StandsFor(%c, %c) = %v, %v", name, r, want[i], ok, leet)
				}
			}
		}
	}
}

func TestWhatDoesNotCountAsTheSame(t *testing.T) {
	for _, c := range []string{
		"末未", "日曰", "土士", "己已", "人入", "大太", // alike, but read every day
		"o〇", "o○", "一ー", "一-", "口o", "丨l", "卜t", "口ロ", "力カ", "二ニ", // Han is no letter, kana no Han
		"陆六", "两二", "拾十", // first of all words of their own
		"ßs", "ßb", "æa", "þp", // no one-to-one
		"がか", "ばぱ", "っつ", // kana's marks make another sound
		"зe", "бb", "σο", "лn", "εc", // Cyrillic and Greek with another Latin look
		"اl", "הn", "กn", // never Arabic, Hebrew, Thai
		"ai", "il", "uv", "rn", "mn",
	} {
		r := []rune(c)
		if Fine(r[0]) == Fine(r[1]) {
			t.Errorf("%c and %c both count as %c", r[0], r[1], Fine(r[0]))
		}
	}
}

func TestWhatIsSkipped(t *testing.T) {
	for kind, runes := range map[Kind][]rune{
		Invisible: {0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xAD, 0xFE0F, 0xE0101, 0x202E, 0x2066, 0x301, 0x20E3, 0x489, 0x3164, 0x115F, 0x34F, 0xE0041, 0, 0x7F, 0x64B, 0x5B0, 0x3099},
		Space:     {' ', '\t', '\n', 0xA0, 0x3000, 0x2003, 0x2028, 0x1680, 0x2800},
		Symbol:    {'.', '-', '_', '*', '，', '。', '…', '～', '+', '©', '™', '❤', 0x1F600, 0x1F1E6, 0x1F1FA, 0x1F3FB, 0x25CB, 0xFFFD, 0x2B9, 0x2C8, '½', '⑩', '№', '℃'},
		Skip:      {0x378, 0xE000, 0xFFFF, 0xD800, 0x10FFFF, 0xF0000, -1, 0x110000, 1 << 30},
	} {
		for _, r := range runes {
			if KindOf(r) != kind || Coarse(r) != 0 || Fine(r) != 0 {
				t.Errorf("%U: kind %d (want %d), class %d, counts as %U", r, KindOf(r), kind, Coarse(r), Fine(r))
			}
		}
	}
}

func TestKinds(t *testing.T) {
	for kind, text := range map[Kind]string{
		Letter:    "azZÄñжΩאبकिⅷⒶ🅱ﬁ𐐀",
		Digit:     "07①⒈²٣𝟗",
		Ideograph: "一〇々壹カｶーㄅ가ㄱ㊗กิ𠮷豈",
		Symbol:    "@$!|＠！",
	} {
		for _, r := range text {
			if KindOf(r) != kind {
				t.Errorf("%c (%U) is of kind %d, not %d", r, r, KindOf(r), kind)
			}
		}
	}
}

// Flags are two letters by their code, and were read as words elsewhere.
func TestFlagsAreNoLetters(t *testing.T) {
	for r := rune(0x1F1E6); r <= 0x1F1FF; r++ {
		if Coarse(r) != 0 || KindOf(r) != Symbol {
			t.Errorf("%c has class %d, kind %d", r, Coarse(r), KindOf(r))
		}
	}
}

func TestSyllables(t *testing.T) {
	for _, same := range []string{"法砝發", "轮伦论輪", "功公工", "曹槽", "一医", "里裡理李"} {
		first := Syllable([]rune(same)[0])
		for _, r := range same {
			if Syllable(r) != first || first == 0 {
				t.Errorf("%c sounds like syllable %d, not %d", r, Syllable(r), first)
			}
		}
	}
	for _, r := range "a1カ가😀 𠮷" {
		if Syllable(r) != 0 {
			t.Errorf("%c has syllable %d", r, Syllable(r))
		}
	}
	if Syllable('路') == Syllable('绿') {
		t.Error("lu and lü sound the same")
	}
	if Syllable(0xF900) != Syllable('豈') || Syllable(0xF900) == 0 {
		t.Error("a compatibility form sounds different from its character")
	}
}
