package corpus

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// pairs reads a table: a character and those that stand for it, by spaces.
func pairs(tables ...string) func() map[rune][]rune {
	return sync.OnceValue(func() map[rune][]rune {
		m := map[rune][]rune{}
		for _, field := range strings.Fields(strings.Join(tables, " ")) {
			c, size := utf8.DecodeRuneInString(field)
			m[c] = append(m[c], []rune(field[size:])...)
		}
		return m
	})
}

// Look-alikes are only those that readers take for the letter: the ones that
// look the same in common fonts.
var (
	cyrillic = pairs("aа bВ cс eе hһН iі jј kК mМ oо pр sѕ tТ xх yу dԁ qԛ wԝ")
	greek    = pairs("aαΑ bΒ eΕ zΖ hΗ iιΙ kκΚ mΜ nΝ oοΟ pρΡ tΤ uυ vν xΧχ yΥγ")

	accented = pairs("aáàâäãåā cçć eéèêëē iíìîï lĺ nñń oóòôöõ rŕ sśš uúùûüū yýÿ zźž")

	smallCapitals = pairs("aᴀ bʙ cᴄ dᴅ eᴇ fꜰ gɢ hʜ iɪ jᴊ kᴋ lʟ mᴍ nɴ oᴏ pᴘ rʀ sꜱ tᴛ uᴜ vᴠ wᴡ yʏ zᴢ")
	superscript   = pairs("aᵃ bᵇ cᶜ dᵈ eᵉ fᶠ gᵍ hʰ iⁱ jʲ kᵏ lˡ mᵐ nⁿ oᵒ pᵖ rʳ sˢ tᵗ uᵘ vᵛ wʷ xˣ yʸ zᶻ 0⁰ 1¹ 2² 3³ 4⁴ 5⁵ 6⁶ 7⁷ 8⁸ 9⁹")

	leetspeak = pairs("a4@ e3 i1 o0 s5$ t7")

	// 陆 and 拾 are left out: they are everyday characters, of 大陆 and 收拾, and a
	// filter that took them for 六 and 十 would be wrong more often than right.
	numerals = pairs(
		"0０𝟎⓪ 1１①𝟏❶ 2２②𝟐❷ 3３③𝟑❸ 4４④𝟒❹ 5５⑤𝟓❺ 6６⑥𝟔❻ 7７⑦𝟕❼ 8８⑧𝟖❽ 9９⑨𝟗❾",
		"一壹㊀㈠ 二贰㊁㈡ 三叁㊂㈢ 四肆㊃㈣ 五伍㊄㈤ 六㊅㈥ 七柒㊆㈦ 八捌㊇㈧ 九玖㊈㈨ 十㊉㈩",
	)

	// traditional has the simplified characters of the lists that have one
	// traditional form.
	traditional = pairs(
		"妈媽 杀殺 骂罵 贱賤 货貨 驴驢 脑腦 残殘 东東 赌賭 网網 场場 马馬 门門 开開 发發 办辦 证證 钱錢 资資 银銀 贷貸",
		"费費 领領 联聯 头頭 枪槍 药藥 弹彈 视視 频頻 图圖 国國 员員 号號 码碼 线線 级級 电電 颜顏 轮輪 恋戀 乱亂 阴陰",
		"兽獸 妇婦 处處 礼禮 红紅 动動 师師 带帶 单單 币幣 盘盤 赚賺 稳穩 转轉 账賬 无無 业業 专專 话話 试試 论論 写寫",
		"驾駕 卖賣 买買 点點 击擊 扫掃 维維 龟龜 猪豬 鸡雞 鸟鳥 废廢 滚滾 乡鄉 丧喪 宝寶 乐樂 赛賽 车車 飞飛 计計 扑撲",
		"结結 体體 庄莊 时時 军軍 气氣 杂雜 种種 贩販 烟煙 过過 还還 诈詐 骗騙 诱誘 传傳 销銷 个個 们們 给給 关關 样樣",
		"来來 见見 说說 请請 谢謝 听聽 现現 价價 优優 兑兌 汇匯 监監 窃竊 剂劑 恶惡 厌厭 败敗 类類",
		"双雙 圣聖 园園 壳殼 声聲 备備 夺奪 学學 实實 审審 宾賓 对對 导導 尽盡 层層 岁歲 币幣 归歸 录錄 忆憶 怀懷 态態",
		"战戰 护護 报報 担擔 择擇 据據 数數 断斷 显顯 机機 权權 条條 极極 枣棗 欢歡 满滿 灯燈 灵靈 炉爐 热熱 爱愛 爷爺",
		"牵牽 独獨 狱獄 环環 画畫 疗療 盐鹽 矿礦 离離 稳穩 笔筆 纪紀 纯純 纸紙 练練 组組 织織 经經 绝絕 统統 续續 绿綠",
		"罗羅 职職 肿腫 胜勝 节節 艺藝 苏蘇 萝蘿 虏虜 蚁蟻 补補 装裝 观觀 规規 觉覺 认認 议議 讯訊 记記 设設 访訪 诉訴",
		"译譯 诗詩 误誤 课課 调調 谈談 谋謀 贡貢 败敗 质質 购購 贸貿 贺賀 赏賞 赖賴 跃躍 轨軌 软軟 载載 辆輛 输輸 达達",
		"运運 进進 远遠 连連 迟遲 适適 选選 遗遺 邮郵 释釋 针針 钢鋼 铁鐵 链鏈 锁鎖 错錯 键鍵 镜鏡 长長 问問 闪閃 闭閉",
		"间間 闻聞 队隊 阳陽 际際 陆陸 险險 难難 韩韓 页頁 项項 顺順 须須 顾顧 题題 额額 风風 饭飯 饮飲 馆館 驱驅 验驗 鱼魚 麦麥 黄黃 龙龍",
	)
)
