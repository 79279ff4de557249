use super::*;

/// A token is a byte; `<` and `>` are special tokens where they are trusted.
struct Bytes {
    opening: Option<u32>,
}

const PLAIN: Bytes = Bytes { opening: None };
const BOS: u32 = 1000;

impl PromptTokenizer for Bytes {
    fn encode(&self, pieces: &[Piece]) -> Vec<u32> {
        let id = |piece: &Piece, byte: u8| match byte {
            b'<' | b'>' if piece.trusted => 500 + u32::from(byte),
            b'^' if piece.trusted => BOS,
            _ => u32::from(byte),
        };
        pieces.iter().flat_map(|piece| piece.text.bytes().map(|byte| id(piece, byte)).collect::<Vec<_>>()).collect()
    }

    fn continues_character(&self, id: u32) -> bool {
        (0x80..0xc0).contains(&id)
    }

    fn opening_token(&self) -> Option<(u32, String)> {
        self.opening.map(|opening| (opening, "^".to_owned()))
    }
}

/// `<Q` and `>`, where the marks are the template's.
fn rendered() -> (Vec<Piece>, Vec<Piece>) {
    (vec![Piece::trusted("<"), Piece::untrusted("Q")], vec![Piece::trusted(">")])
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn quoted(text: &str, allotment: impl Into<Option<usize>>) -> Part {
    Part::Quoted { text: text.to_owned(), allotment: allotment.into(), more: false }
}

/// Ids as text: special tokens as `«`, `»` and `^`.
fn show(ids: &[u32]) -> String {
    let mut bytes = Vec::new();
    for &id in ids {
        match id {
            560 => bytes.extend("«".bytes()),
            562 => bytes.extend("»".bytes()),
            BOS => bytes.push(b'^'),
            _ => bytes.push(u8::try_from(id).unwrap()),
        }
    }
    String::from_utf8(bytes).expect("cuts are on character borders")
}

/// What goes to the engine at each part and at the end, and the cuts as (index, kept, cut).
fn assemble(mut assembly: Assembly, parts: Vec<Part>, tokenizer: &Bytes) -> (Vec<String>, Vec<(u32, u32, u32)>) {
    let mut sent: Vec<String> = parts.into_iter().map(|part| show(&assembly.push(part, tokenizer).unwrap())).collect();
    let completed = assembly.complete(tokenizer).unwrap();
    sent.push(show(&completed.ids));
    (sent, completed.cuts.iter().map(|cut| (cut.quoted_index, cut.tokens_kept, cut.tokens_cut)).collect())
}

#[track_caller]
fn check(context: usize, max_tokens: usize, parts: Vec<Part>, sent: &[&str], cuts: &[(u32, u32, u32)]) {
    let assembly = Assembly::new(rendered(), context, max_tokens, 0);
    let found = assemble(assembly, parts, &PLAIN);
    assert_eq!((found.0.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), &*found.1), (sent, cuts));
}

#[test]
fn text_and_allotted_quotes_go_out_as_they_come() {
    let parts = vec![text(" drafts: "), quoted("one", 10), text(", "), quoted("two", 10)];
    check(100, 10, parts, &["«Q drafts: ", "one", ", ", "two", "»"], &[]);
}

#[test]
fn special_tokens_in_parts_are_plain_text() {
    check(100, 10, vec![text("<t>"), quoted("<q>", 10), quoted("<r>", None)], &["«Q<t>", "<q>", "", "<r>»"], &[]);
}

#[test]
fn an_allotted_quote_keeps_its_head_and_reports_the_cut() {
    check(100, 10, vec![quoted("abcdef", 4), quoted("ghi", 3)], &["«Qabcd", "ghi", "»"], &[(0, 4, 2)]);
}

#[test]
fn cuts_do_not_split_characters() {
    check(100, 10, vec![quoted("aé€x", 2)], &["«Qa", "»"], &[(0, 1, 6)]);
    check(100, 10, vec![quoted("aé€x", 3)], &["«Qaé", "»"], &[(0, 3, 4)]);
    check(100, 10, vec![quoted("aé€x", 5)], &["«Qaé", "»"], &[(0, 3, 4)]);
    check(100, 10, vec![quoted("€€", 2)], &["«Q", "»"], &[(0, 0, 6)]);
}

#[test]
fn a_quote_to_be_fitted_holds_back_what_follows() {
    let parts = vec![text("a"), quoted("bbb", None), text("c"), quoted("ddd", 2), quoted("e", 9)];
    check(100, 10, parts, &["«Qa", "", "", "", "", "bbbcdde»"], &[(1, 2, 1)]);
}

#[test]
fn fitted_quotes_share_the_room_that_text_and_answer_leave() {
    // 40 tokens: 2 before, 1 after, 4 of later text and 10 for the answer leave 23, of which the short one needs 3.
    let parts = vec![quoted(&"x".repeat(30), None), text("...."), quoted("yyy", None), quoted(&"z".repeat(11), None)];
    let end = format!("{}....yyy{}»", "x".repeat(10), "z".repeat(10));
    check(40, 10, parts, &["«Q", "", "", "", &end], &[(0, 10, 20), (2, 10, 1)]);
}

#[test]
fn the_answer_keeps_a_quarter_of_the_context_at_most() {
    // 40 − 3 of the template − 10 for the answer.
    check(40, 1000, vec![quoted(&"x".repeat(50), None)], &["«Q", &format!("{}»", "x".repeat(27))], &[(0, 27, 23)]);
}

#[test]
fn without_room_quotes_are_left_out_and_text_is_kept_whole() {
    let long = "t".repeat(60);
    let parts = vec![quoted("abc", None), text(&long)];
    check(40, 10, parts, &["«Q", "", &format!("{long}»")], &[(0, 0, 3)]);
}

#[test]
fn the_opening_token_comes_once() {
    let bos = Bytes { opening: Some(BOS) };
    let assembly = |rendered| Assembly::new(rendered, 100, 10, 0);
    assert_eq!(assemble(assembly(rendered()), vec![], &bos).0, ["^«Q»"]);
    assert_eq!(assemble(assembly(rendered()), vec![text("a"), text("b")], &bos).0, ["^«Qa", "b", "»"]);
    let mut own = rendered();
    own.0.insert(0, Piece::trusted("^"));
    assert_eq!(show(&whole(own.0.clone(), &bos).ids), "^«Q");
    assert_eq!(show(&whole(rendered().0, &bos).ids), "^«Q");
    assert_eq!(assemble(assembly(own), vec![quoted("a", 1)], &bos).0, ["^«Qa", "»"]);
}

#[test]
fn water_finds_its_level() {
    #[track_caller]
    fn check(demands: &[usize], room: usize, shares: &[usize]) {
        assert_eq!(water_fill(demands, room), shares);
    }
    check(&[], 10, &[]);
    check(&[5], 10, &[5]);
    check(&[50], 10, &[10]);
    check(&[50, 2, 50], 12, &[5, 2, 5]);
    check(&[50, 2, 50, 0], 13, &[5, 2, 6, 0]);
    check(&[10, 10, 10], 0, &[0, 0, 0]);
    check(&[usize::MAX, usize::MAX], usize::MAX, &[usize::MAX / 2, usize::MAX / 2 + 1]);
}

#[test]
fn water_fill_wastes_nothing_and_takes_nothing_twice() {
    for salt in 0..500_usize {
        let demands: Vec<usize> = (0..salt % 7).map(|at| (salt * 31 + at * 17) % 40).collect();
        let room = salt * 7 % 120;
        let shares = water_fill(&demands, room);
        let (demanded, given) = (demands.iter().sum::<usize>(), shares.iter().sum::<usize>());
        assert_eq!(given, demanded.min(room), "{demands:?} in {room}");
        let level = shares.iter().max().copied().unwrap_or(0);
        for (share, demand) in shares.iter().zip(&demands) {
            assert!(share <= demand && (share == demand || share + 1 >= level), "{demands:?} in {room}: {shares:?}");
        }
    }
}

fn piece(text: &str) -> Part {
    Part::Quoted { text: text.to_owned(), allotment: None, more: true }
}

#[test]
fn announced_quotes_get_their_shares_as_they_come() {
    // 100 tokens: 2 before, 1 after, 10 for the answer, an eighth for text: 75 for three quotes.
    let long = "x".repeat(40);
    let parts = vec![quoted(&long, None), text("|"), quoted("short", None), quoted(&long, None)];
    let (sent, cuts) = assemble(Assembly::new(rendered(), 100, 10, 3), parts, &PLAIN);
    assert_eq!(sent, [format!("«Q{}", "x".repeat(25)), "|".into(), "short".into(), long, "»".into()]);
    assert_eq!(cuts, [(0, 25, 15)]);
}

#[test]
fn a_quote_in_pieces_goes_out_word_by_word_and_is_the_whole() {
    let parts = vec![piece("one tw"), piece("o three f"), quoted("our", None), text(".")];
    let (sent, cuts) = assemble(Assembly::new(rendered(), 200, 10, 1), parts, &PLAIN);
    assert_eq!((sent.as_slice(), cuts.len()), (&["«Qone", " two three", " four", ".", "»"].map(String::from)[..], 0));
    // Not announced: held, as any other.
    let parts = vec![piece("one tw"), quoted("o", None), text(".")];
    let (sent, _) = assemble(Assembly::new(rendered(), 200, 10, 0), parts, &PLAIN);
    assert_eq!(sent, ["«Q", "", "", "one two.»"]);
}

#[test]
fn a_quote_in_pieces_is_cut_where_the_whole_is() {
    let words = ["one two three four ", "five six seven eight ", "nine"];
    let pieces =
        vec![piece(words[0]), piece(words[1]), Part::Quoted { text: words[2].into(), allotment: None, more: false }];
    let all = |parts| {
        let (sent, cuts) = assemble(Assembly::new(rendered(), 60, 5, 2), parts, &PLAIN);
        (sent.concat(), cuts)
    };
    let whole = all(vec![quoted(&words.concat(), None)]);
    assert_eq!(all(pieces), whole);
    assert_eq!(whole.1[0].1, 22);
}

#[test]
fn pieces_that_read_otherwise_than_the_whole_are_refused() {
    /// Reads a text of more than eight bytes backwards.
    struct Odd;
    impl PromptTokenizer for Odd {
        fn encode(&self, pieces: &[Piece]) -> Vec<u32> {
            let ids = PLAIN.encode(pieces);
            if ids.len() > 8 { ids.into_iter().rev().collect() } else { ids }
        }
        fn continues_character(&self, _: u32) -> bool {
            false
        }
        fn opening_token(&self) -> Option<(u32, String)> {
            None
        }
    }
    let mut assembly = Assembly::new(rendered(), 200, 10, 1);
    assembly.push(piece("one two"), &Odd).unwrap();
    assert_eq!(assembly.push(quoted(" three", None), &Odd), Err(PartError::Unstable));
    let mut assembly = Assembly::new(rendered(), 200, 10, 1);
    assembly.push(piece("one two"), &PLAIN).unwrap();
    assert_eq!(assembly.push(text("."), &PLAIN), Err(PartError::Unfinished));
    let mut assembly = Assembly::new(rendered(), 200, 10, 1);
    assembly.push(piece("one two"), &PLAIN).unwrap();
    assert_eq!(assembly.complete(&PLAIN), Err(PartError::Unfinished));
}
