//! Token ids and rendered chats of the real models, equal to llama.cpp's.
//!
//! Fetches the models it needs into the store.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use synod_models::{
    gguf::GgufFile,
    store::{CancelToken, Silent, Store},
    text::{ChatMessage, ChatTemplate, Specials, Tokenizer},
};

fn model(name: &str) -> (Tokenizer, ChatTemplate) {
    let files = Store::open().unwrap().pull(name, &Silent, &CancelToken::new()).unwrap();
    let file = GgufFile::open(files.weights()).unwrap();
    let tokenizer = Tokenizer::from_gguf(&file).unwrap();
    let template = ChatTemplate::from_gguf(&file, &tokenizer).unwrap();
    (tokenizer, template)
}

#[track_caller]
fn check_ids(name: &str, cases: &[(&str, &[u32])]) {
    let (tokenizer, _) = model(name);
    for (text, ids) in cases {
        assert_eq!(tokenizer.encode(text, Specials::AsText), *ids, "{text:?}");
        assert_eq!(tokenizer.decode(ids), *text);
    }
}

#[track_caller]
fn check_chat(name: &str, messages: &[(&str, &str)], rendered: &str, ids: &[u32]) {
    let (tokenizer, template) = model(name);
    let message = |&(role, content): &(&str, &str)| ChatMessage { role: role.into(), content: content.into() };
    let messages: Vec<ChatMessage> = messages.iter().map(message).collect();
    assert_eq!(template.render(&messages, true).unwrap(), rendered);
    assert_eq!(tokenizer.encode_pieces(&template.render_pieces(&messages).unwrap()), ids);
    let (before, after) = template.render_open(&messages).unwrap();
    assert_eq!(tokenizer.encode_pieces(&[before, after].concat()), ids);
}

#[test]
fn smollm2_ids_are_llama_cpps() {
    check_ids(
        "smollm2-135m-instruct",
        &[
            ("Hello world", &[19556, 905]),
            (
                "  leading spaces\tand\ttabs\n\nnewlines",
                &[216, 2899, 5600, 197, 397, 197, 100, 7366, 198, 198, 2241, 5110],
            ),
            (
                "def f(x):\n    return x**2  # squared",
                &[1604, 275, 24, 104, 727, 472, 1003, 1792, 828, 34, 216, 907, 27402],
            ),
            (
                "naïve café — “quotes” … 日本語 한국어 עברית",
                &[
                    3546, 46494, 37366, 1841, 619, 385, 2346, 573, 5548, 17097, 241, 115, 40993, 179, 120, 248, 216,
                    33085, 246, 181, 130, 251, 183, 240, 129, 12960, 112, 37657, 30825, 28532, 120,
                ],
            ),
            (
                "1234567890 3.14159 0x1F 1e-9",
                &[
                    33, 34, 35, 36, 37, 38, 39, 40, 41, 32, 216, 35, 30, 33, 36, 33, 37, 41, 216, 32, 104, 33, 54, 216,
                    33, 85, 29, 41,
                ],
            ),
            (
                "<|im_start|>user\nhi<|im_end|>",
                &[44, 108, 306, 79, 3738, 108, 46, 4093, 198, 6004, 44, 108, 306, 79, 486, 108, 46],
            ),
            (
                "emoji 👩\u{200d}👩\u{200d}👧\u{200d}👦🏳\u{fe0f}\u{200d}🌈 and zero\u{200b}width",
                &[
                    391, 33777, 15107, 235, 119, 321, 231, 10813, 235, 119, 321, 231, 10813, 235, 117, 321, 231, 10813,
                    235, 116, 10813, 233, 128, 31752, 321, 231, 10813, 230, 226, 284, 6708, 321, 229, 6930,
                ],
            ),
            ("I'll you've DON'T it's we'd", &[57, 3060, 346, 3543, 422, 2154, 23, 68, 357, 506, 392, 6737]),
            ("", &[]),
            ("a", &[81]),
            ("   ", &[333]),
            ("ﬁ ligature Å Å \u{301}", &[27141, 13042, 906, 5549, 223, 5549, 223, 216, 151, 219]),
        ],
    );
}

#[test]
fn smollm2_chats_are_llama_cpps() {
    check_chat(
        "smollm2-135m-instruct",
        &[("system", "You answer in one short sentence."), ("user", "Why is the sky blue?")],
        "<|im_start|>system\nYou answer in one short sentence.<|im_end|>\n<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n",
        &[
            1, 9690, 198, 2683, 2988, 281, 582, 1890, 6330, 30, 2, 198, 1, 4093, 198, 4898, 314, 260, 6376, 4461, 47,
            2, 198, 1, 520, 9531, 198,
        ],
    );
    check_chat(
        "smollm2-135m-instruct",
        &[("user", "My name is Ada."), ("assistant", "Nice to meet you, Ada."), ("user", "What is my name?")],
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nMy name is Ada.<|im_end|>\n<|im_start|>assistant\nNice to meet you, Ada.<|im_end|>\n<|im_start|>user\nWhat is my name?<|im_end|>\n<|im_start|>assistant\n",
        &[
            1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407, 19712, 8182,
            2, 198, 1, 4093, 198, 5965, 1462, 314, 34099, 30, 2, 198, 1, 520, 9531, 198, 62, 569, 288, 2220, 346, 28,
            34099, 30, 2, 198, 1, 4093, 198, 1780, 314, 957, 1462, 47, 2, 198, 1, 520, 9531, 198,
        ],
    );
}

#[test]
fn qwen2_5_ids_are_llama_cpps() {
    check_ids(
        "qwen2.5-coder-0.5b-instruct",
        &[
            ("Hello world", &[9707, 1879]),
            ("  leading spaces\tand\ttabs\n\nnewlines", &[220, 6388, 12621, 52477, 3244, 3435, 271, 931, 7969]),
            ("def f(x):\n    return x**2  # squared", &[750, 282, 2075, 982, 262, 470, 856, 334, 17, 220, 671, 52263]),
            (
                "naïve café — “quotes” … 日本語 한국어 עברית",
                &[
                    3376, 37572, 586, 51950, 1959, 1036, 53282, 854, 4593, 75402, 21894, 102819, 130092, 31079, 131917,
                    123826,
                ],
            ),
            (
                "1234567890 3.14159 0x1F 1e-9",
                &[
                    16, 17, 18, 19, 20, 21, 22, 23, 24, 15, 220, 18, 13, 16, 19, 16, 20, 24, 220, 15, 87, 16, 37, 220,
                    16, 68, 12, 24,
                ],
            ),
            ("<|im_start|>user\nhi<|im_end|>", &[27, 91, 318, 4906, 91, 29, 872, 198, 6023, 27, 91, 318, 6213, 91, 29]),
            (
                "emoji 👩\u{200d}👩\u{200d}👧\u{200d}👦🏳\u{fe0f}\u{200d}🌈 and zero\u{200b}width",
                &[
                    37523, 61804, 102, 378, 235, 145233, 378, 235, 145665, 378, 235, 145988, 147233, 30543, 378, 235,
                    145354, 323, 7168, 15692, 3098,
                ],
            ),
            ("I'll you've DON'T it's we'd", &[40, 3278, 498, 3003, 44273, 17323, 432, 594, 582, 4172]),
            ("", &[]),
            ("a", &[64]),
            ("   ", &[262]),
            ("ﬁ ligature Å Å \u{301}", &[144300, 28313, 1568, 79252, 79252, 220, 53839]),
        ],
    );
}

#[test]
fn qwen2_5_chats_are_llama_cpps() {
    check_chat(
        "qwen2.5-coder-0.5b-instruct",
        &[("system", "You answer in one short sentence."), ("user", "Why is the sky blue?")],
        "<|im_start|>system\nYou answer in one short sentence.<|im_end|>\n<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n",
        &[
            151644, 8948, 198, 2610, 4226, 304, 825, 2805, 11652, 13, 151645, 198, 151644, 872, 198, 10234, 374, 279,
            12884, 6303, 30, 151645, 198, 151644, 77091, 198,
        ],
    );
    check_chat(
        "qwen2.5-coder-0.5b-instruct",
        &[("user", "My name is Ada."), ("assistant", "Nice to meet you, Ada."), ("user", "What is my name?")],
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n<|im_start|>user\nMy name is Ada.<|im_end|>\n<|im_start|>assistant\nNice to meet you, Ada.<|im_end|>\n<|im_start|>user\nWhat is my name?<|im_end|>\n<|im_start|>assistant\n",
        &[
            151644, 8948, 198, 2610, 525, 1207, 16948, 11, 3465, 553, 54364, 14817, 13, 1446, 525, 264, 10950, 17847,
            13, 151645, 198, 151644, 872, 198, 5050, 829, 374, 51149, 13, 151645, 198, 151644, 77091, 198, 44978, 311,
            3367, 498, 11, 51149, 13, 151645, 198, 151644, 872, 198, 3838, 374, 847, 829, 30, 151645, 198, 151644,
            77091, 198,
        ],
    );
}

#[test]
fn gemma_3_ids_are_llama_cpps() {
    check_ids(
        "gemma-3-270m",
        &[
            ("Hello world", &[9259, 1902]),
            ("  leading spaces\tand\ttabs\n\nnewlines", &[138, 26016, 9952, 255968, 624, 255968, 39218, 108, 208697]),
            (
                "def f(x):\n    return x**2  # squared",
                &[2063, 517, 236769, 236781, 1473, 107, 140, 2060, 1123, 1018, 236778, 138, 236865, 20218],
            ),
            (
                "naïve café — “quotes” … 日本語 한국어 עברית",
                &[
                    1789, 238527, 560, 33443, 2192, 999, 52231, 236919, 7881, 33375, 238582, 50413, 237430, 11173,
                    104154, 237270,
                ],
            ),
            (
                "1234567890 3.14159 0x1F 1e-9",
                &[
                    236770, 236778, 236800, 236812, 236810, 236825, 236832, 236828, 236819, 236771, 236743, 236800,
                    236761, 236770, 236812, 236770, 236810, 236819, 236743, 236771, 236781, 236770, 236811, 236743,
                    236770, 236744, 236772, 236819,
                ],
            ),
            (
                "<|im_start|>user\nhi<|im_end|>",
                &[236820, 236909, 548, 236779, 3041, 111038, 2364, 107, 2202, 236820, 236909, 548, 236779, 643, 111038],
            ),
            (
                "emoji 👩\u{200d}👩\u{200d}👧\u{200d}👦🏳\u{fe0f}\u{200d}🌈 and zero\u{200b}width",
                &[
                    67906, 236743, 243767, 237243, 243767, 237243, 244814, 237243, 244990, 248177, 238178, 237243,
                    243712, 532, 5743, 237141, 2690,
                ],
            ),
            (
                "I'll you've DON'T it's we'd",
                &[
                    236777, 236789, 859, 611, 236789, 560, 52402, 236789, 236774, 625, 236789, 236751, 692, 236789,
                    236753,
                ],
            ),
            ("", &[]),
            ("a", &[236746]),
            ("   ", &[139]),
            ("ﬁ ligature Å Å \u{301}", &[240811, 107109, 44667, 44667, 222461]),
        ],
    );
}
