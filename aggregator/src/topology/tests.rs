use super::*;

/// Every mistake as `line: key: message`.
fn mistakes(text: &str, known: &Known<'_>) -> Vec<String> {
    let line = |mistake: Mistake| format!("{}:{} {}: {}", mistake.line, mistake.column, mistake.key, mistake.message);
    check_with(text, known).into_iter().map(line).collect()
}

#[track_caller]
fn check_one(text: &str, says: &str) {
    let found = mistakes(text, &Known::default());
    assert!(
        found.len() == 1 && found[0].contains(says),
        "{text}\nexpected one mistake with {says:?}, found {found:#?}"
    );
}

#[test]
fn every_builtin_is_valid_and_named_like_its_file() {
    for file in BUILTIN_FILES {
        assert_eq!(check(file.toml), [], "{}", file.name);
        assert_eq!(Topologies::builtin().get(file.name).unwrap().name(), file.name);
    }
    let all = Topologies::builtin();
    assert_eq!(all.names().count(), BUILTIN_FILES.len());
    assert_eq!(all.get("").unwrap().name(), "moa");
    assert_eq!(
        all.get("moa").unwrap().models().into_iter().collect::<Vec<_>>(),
        ["qwen2.5-coder-0.5b-instruct", "smollm2-135m-instruct"]
    );
    assert_eq!(all.get("self-moa").unwrap().stages()[0].seats().count(), 4);
    assert_eq!(all.get("moa-3").unwrap().stages().len(), 3);
}

#[test]
fn seven_mistakes_are_told_at_once_with_key_and_line() {
    let text = r#"default_topology = "mao"

[topologies.mine]
deadline = "2 fortnights"

[[topologies.mine.stages]]
kind = "propose"
quorum = 4
members = [
  { model = "smollm2-135m-instruct", temprature = 0.7 },
  { model = "smollm2-135m-instruct", temperature = 3 },
]

[[topologies.mine.stages]]
kind = "synthesize"
member = { model = "smollm3-135m-instruct", role = "enginer" }
"#;
    let known = Known { models: Some(&["smollm2-135m-instruct", "qwen"]), others: None };
    insta::assert_snapshot!(mistakes(text, &known).join("\n"), @r#"
    1:20 default_topology: unknown topology "mao": did you mean "moa"?
    4:12 topologies.mine.deadline: "2 fortnights" is not a time: write a whole number and ms, s, m or h, such as "500ms" or "120s"
    8:10 topologies.mine.stages[0].quorum: a quorum of 4 is impossible with 2 seat(s): give a number between 1 and 2
    10:38 topologies.mine.stages[0].members[0].temprature: unknown key: did you mean "temperature"?
    11:52 topologies.mine.stages[0].members[1].temperature: 3 is not a temperature between 0 and 2
    16:20 topologies.mine.stages[1].member.model: unknown model "smollm3-135m-instruct": did you mean "smollm2-135m-instruct"?
    16:52 topologies.mine.stages[1].member.role: unknown role "enginer": did you mean "engineer"?
    "#);
}

#[test]
fn each_rule_of_a_stage_has_its_message() {
    let propose = |rest: &str| {
        format!(
            "[[topologies.t.stages]]\nkind = \"propose\"\n{rest}\n[[topologies.t.stages]]\nkind = \"synthesize\"\nmember = {{ model = \"m\" }}\n"
        )
    };
    check_one(&propose("members = [{ model = 'm' }]\nquorum = 0"), "a quorum of 0 is impossible with 1 seat(s)");
    check_one(&propose("members = [{ model = 'm', samples = 3 }]\nquorum = 4"), "a quorum of 4 is impossible with 3");
    check_one(&propose("members = []"), "\"members\" is missing or empty");
    check_one(&propose(""), "\"members\" is missing or empty");
    check_one(&propose("members = [{ role = 'critic' }]"), "\"model\" is missing");
    check_one(&propose("members = ['m']"), "expected a table such as { model = \"…\" }, found a string");
    check_one(&propose("members = [{ model = 'm', apis = [] }]"), "is empty: name catalogues");
    check_one(&propose("members = [{ topology = 'single', apis = ['notes'] }]"), "a topology proposes no calls");
    let act =
        |stages: &str| format!("{stages}[[topologies.t.stages]]\nkind = 'synthesize'\nmember = {{ model = 'm' }}\n");
    let once = "[[topologies.t.stages]]\nkind = 'act'\nmember = { model = 'm', apis = ['notes'] }\n";
    assert_eq!(check(&act(once)), []);
    check_one(&act(&once.repeat(2)), "2 stages act");
    check_one(&act("[[topologies.t.stages]]\nkind = 'act'\nmember = { model = 'm' }\n"), "\"apis\" is missing");
    check_one(&act("[[topologies.t.stages]]\nkind = 'act'\n"), "\"member\" is missing: say who calls");
    check_one(once, "the last stage must be");
    check_one(&act(&once.replace("apis", "system = 'Be kind.', apis")), "unknown key");
    let late = "[[topologies.t.stages]]\nkind = 'propose'\nmembers = [{ model = 'm', apis = ['notes'] }]\n";
    check_one(&act(&format!("{once}{late}")), "proposes calls after the stage that acts");
    let nested = "[[topologies.u.stages]]\nkind = 'propose'\nmembers = [{ topology = 't' }]\n\
        [[topologies.u.stages]]\nkind = 'synthesize'\nmember = { model = 'm' }\n";
    check_one(&(act(once) + nested), "\"t\" calls an API, which a run does once");
    check_one(&propose("members = [{ model = 'm', samples = 0 }]"), "0 is not a number of samples between 1 and 16");
    check_one(&propose("members = [{ model = 'm', samples = 17 }]"), "17 is not a number of samples between 1 and 16");
    check_one(&propose(&format!("members = [{}]", "{ model = 'm', samples = 13 },".repeat(5))), "65 seats");
    check_one(&propose("members = [{ model = 'm', max_tokens = -1 }]"), "-1 is out of range");
    check_one(&propose("members = [{ model = 'm', top_p = 'high' }]"), "expected a number, found a string");
    check_one(&propose("members = [{ model = 'm', role = 'enginer' }]"), "did you mean \"engineer\"?");
    check_one(&propose("members = [{ model = 'm', role = 'critic', instructions = 'x' }]"), "not both");
    check_one(&propose("members = [{ model = 'm' }]\ngrace = '5 parsecs'"), "is not a time");
    check_one(&propose("members = [{ model = 'm' }]\ndeadline = '0s'"), "is 0");
    check_one(&propose("members = [{ model = 'm' }]\nqorum = 1"), "unknown key: did you mean \"quorum\"?");
}

#[test]
fn each_rule_of_a_topology_has_its_message() {
    let last = "[[topologies.t.stages]]\nkind = \"synthesize\"\nmember = { model = \"m\" }\n";
    let draft = "[[topologies.t.stages]]\nkind = \"propose\"\nmembers = [{ model = \"m\" }]\n";
    check_one("[topologies.t]\n", "no stages");
    check_one(draft, "the last stage must be \"synthesize\"");
    check_one(&format!("{last}{last}"), "only the last stage may be \"synthesize\"");
    check_one(&format!("{}{last}", draft.repeat(8)), "9 stages: a topology has at most 8");
    check_one(
        "[[topologies.t.stages]]\nkind = \"selct\"\n",
        "none of propose, select, gate, act, synthesize; did you mean \"select\"?",
    );
    let stage = |rest: &str| format!("{draft}[[topologies.t.stages]]\n{rest}\n{last}");
    check_one(&stage("kind = 'select'"), "\"by\" is missing");
    check_one(&stage("kind = 'select'\nby = 'jugde'"), "did you mean \"judge\"?");
    check_one(&stage("kind = 'select'\nby = 'judge'"), "\"member\" is missing");
    check_one(&stage("kind = 'select'\nby = 'vote'\nkeep = 0"), "nothing would go on");
    check_one(&stage("kind = 'select'\nby = 'vote'\nmeasure = 'margin'"), "unknown key");
    check_one(&stage("kind = 'gate'\nwhen = 'agreement'\nat_least = 2"), "no share of the drafts");
    check_one(&stage("kind = 'gate'\nwhen = 'confidence'"), "\"at_least\" is missing");
    check_one(&stage("kind = 'gate'\nwhen = 'confidence'\nat_least = 1.5"), "never reached, or always");
    check_one(&stage("kind = 'gate'\nwhen = 'agreement'\nthen = 'skip'"), "there is nothing to skip");
    check_one(&stage("kind = 'gate'\nwhen = 'agreement'\nthen = 'skip'\nskip = 3"), "cannot be left out: 1 follow");
    check_one(&stage("kind = 'gate'\nwhen = 'agreement'\nskip = 1"), "takes then = \"skip\"");
    check_one(
        &format!("{draft}[[topologies.t.stages]]\nkind = 'select'\nby = 'vote'\nkeep = 2"),
        "one draft is the answer",
    );
    check_one(&format!("{draft}[[topologies.t.stages]]\nkind = 'gate'\nwhen = 'agreement'"), "the last stage must be");
    check_one(&stage("kind = 'propose'\nmembers = [{ model = 'm' }]\nrounds = 9"), "rounds between 1 and 8");
    check_one(&format!("{draft}{last}window = 1"), "does not slide");
    check_one(&format!("{draft}{last}overlap = 'always'"), "none of chunk, draft, off");
    check_one("[[topologies.t.stages]]\nkind = \"synthesise\"\n", "did you mean \"synthesize\"?");
    check_one("[[topologies.t.stages]]\nkind = \"synthesize\"\n", "\"member\" is missing");
    check_one("[[topologies.t.stages]]\nkind = \"synthesize\"\nmember = \"m\"\n", "expected a table, found a string");
    check_one("topologies = 3\n", "expected a table, found an integer");
    check_one("[toplogies.t]\n", "did you mean \"topologies\"?");
    check_one("default_topology = \"moo\"\n", "did you mean \"moa\"?");
    check_one("[topologies.t\n", "not TOML");
    check_one("[roles.pirate]\n", "\"instructions\" is missing");
}

#[test]
fn keys_of_other_parts_are_theirs() {
    assert_eq!(check("[aggregator]\nlisten = 3\n[node]\n"), []);
    let known = Known { models: None, others: Some(&["aggregator", "node"]) };
    assert_eq!(mistakes("[aggregator]\n[nodes]\n", &known), ["2:2 nodes: unknown key: did you mean \"node\"?"]);
}

#[test]
fn a_users_topology_joins_the_builtin_ones() {
    let text = r#"
default_topology = "mine"
[roles.pirate]
instructions = "Answer as a pirate."
[topologies.mine]
[[topologies.mine.stages]]
kind = "propose"
grace = "500ms"
quorum = 2
members = [{ model = "a", role = "pirate", samples = 2 }, { model = "b", instructions = "Be brief.", seed = 7 }]
[[topologies.mine.stages]]
kind = "synthesize"
placement = "system"
member = { model = "a", temperature = 0, max_tokens = 64, stop = ["END"] }
"#;
    let all = from_toml(text, &Known::default()).unwrap();
    let mine = all.get("").unwrap();
    insta::assert_snapshot!(describe(mine), @r#"
    mine
    deadline 120s
    1. propose (quorum 2 of 3, grace 500ms)
       - a × 2, pirate
       - b, own instructions
    2. synthesize (drafts in the system message)
       - a, temperature 0, at most 64 tokens
    "#);
    insta::assert_snapshot!(graph(mine), @r#"
    flowchart LR
        question([question])
        subgraph stage0 ["propose (quorum 2 of 3, grace 500ms)"]
            s0m0["a<br/>pirate"]
            s0m1["a<br/>pirate"]
            s0m2["b"]
        end
        question --> s0m0 & s0m1 & s0m2
        subgraph stage1 ["synthesize (drafts in the system message)"]
            s1m0["a"]
        end
        s0m0 & s0m1 & s0m2 --> s1m0
        s1m0 --> answer([answer])
    "#);
    let Stage::Propose(propose) = &mine.stages()[0] else { panic!("no propose stage") };
    assert_eq!(propose.members[0].role.as_ref().unwrap().instructions, "Answer as a pirate.");
    assert_eq!(all.names().count(), BUILTIN_FILES.len() + 1);
    let unknown = all.get("moa3").unwrap_err().to_string();
    assert!(unknown.starts_with("no topology \"moa3\": did you mean \"moa\"? known are best-of-n, "), "{unknown}");
}

mod properties {
    use proptest::prelude::*;

    use super::super::*;

    proptest! {
        /// Whatever happens to a file in an editor, it is either valid or has mistakes with places inside it.
        #[test]
        fn a_mangled_file_is_read_or_refused(at in 0..900_usize, cut in 0..40_usize, paste in "[ -~\\n\u{e9}]{0,12}") {
            let whole = BUILTIN_FILES[1].toml;
            let (from, to) = (at.min(whole.len()), (at + cut).min(whole.len()));
            let text = format!("{}{paste}{}", &whole[..from], &whole[to..]);
            for mistake in check(&text) {
                prop_assert!((1..=text.lines().count() + 1).contains(&mistake.line), "{mistake}");
                prop_assert!(mistake.column >= 1);
            }
        }
    }
}

/// A topology `name` of one propose stage with these members.
fn proposing(name: &str, members: &str) -> String {
    format!(
        "[[topologies.{name}.stages]]\nkind = \"propose\"\nmembers = [{members}]\n\
         [[topologies.{name}.stages]]\nkind = \"synthesize\"\nmember = {{ model = \"s\" }}\n"
    )
}

#[test]
fn a_topology_may_be_a_member_of_another_wherever_it_stands_in_the_file() {
    let outer = proposing("outer", r#"{ topology = "inner", samples = 2 }, { model = "a" }, { topology = "single" }"#);
    let inner = proposing("inner", r#"{ model = "b", samples = 3 }"#);
    let read = from_toml(&format!("{outer}{inner}"), &Known::default()).unwrap();
    let outer = read.get("outer").unwrap();
    assert_eq!(outer.depth(), 1);
    // Twice three drafts and a synthesis, one model, one call of `single`, and the answer.
    assert_eq!(outer.calls(), 2 * 4 + 1 + 1 + 1);
    assert_eq!(outer.models().into_iter().collect::<Vec<_>>(), ["a", "b", "qwen2.5-coder-0.5b-instruct", "s"]);
}

#[test]
fn topologies_that_cannot_stand_in_one_another_are_told() {
    check_one(&proposing("t", r#"{ topology = "moo" }"#), "unknown topology \"moo\": did you mean \"moa\"?");
    check_one(&proposing("t", r#"{ topology = "moa", model = "a" }"#), "a model or a topology, not both");
    let ring = proposing("a", r#"{ topology = "b" }"#) + &proposing("b", r#"{ topology = "a" }"#);
    let found = mistakes(&ring, &Known::default());
    assert!(found.iter().any(|mistake| mistake.contains("would be a member of itself")), "{found:#?}");
    let mut deep = proposing("l0", r#"{ model = "a" }"#);
    for level in 1..=MAX_DEPTH + 1 {
        deep += &proposing(&format!("l{level}"), &format!("{{ topology = \"l{}\" }}", level - 1));
    }
    check_one(&deep, "topologies stand 4 deep in it: at most 3 may");
    let many = proposing("many", r#"{ model = "a", samples = 16 }, { model = "a", samples = 16 }"#);
    let wide = many + &proposing("wide", r#"{ topology = "many", samples = 16 }"#);
    check_one(&wide, "up to 529 calls");
    let judged =
        proposing("t", r#"{ model = "a" }"#).replace(r#"{ model = "s" }"#, r#"{ model = "s", topology = "moa" }"#);
    check_one(&judged, "only a member that writes drafts may be a topology");
}

#[test]
fn a_request_may_change_who_sits_and_keeps_roles_and_rules() {
    let text = proposing("t", r#"{ model = "a", role = "critic", samples = 2 }, { model = "b", temperature = 0.1 }"#);
    let read = from_toml(&text.replace("members", "quorum = 3\nmembers"), &Known::default()).unwrap();
    let topology = read.get("t").unwrap();
    let change = |proposers: &[&str], synthesizer: Option<&str>, quorum| {
        let proposers = proposers.iter().map(|name| (*name).to_owned()).collect();
        topology.with(&Overrides { proposers, synthesizer: synthesizer.map(str::to_owned), quorum })
    };
    let changed = change(&["x", "y"], Some("z"), None).unwrap();
    assert_eq!(changed.models().into_iter().collect::<Vec<_>>(), ["x", "y", "z"]);
    let Stage::Propose(propose) = &changed.stages()[0] else { panic!("{changed:?}") };
    assert_eq!((propose.seats(), propose.quorum.get()), (2, 2), "a quorum shrinks with the seats");
    assert_eq!(propose.members[0].role.as_ref().unwrap().name, "critic");
    assert_eq!(propose.members[1].sampling.temperature.unwrap().get(), 0.1);
    assert!(change(&["x"], None, Some(2)).unwrap_err().to_string().contains("quorum of 2 is impossible with 1"));
    assert_eq!(change(&[""], None, None), Err(Impossible::Name(0)));
    assert_eq!(change(&[], Some(&"x".repeat(257)), None), Err(Impossible::Name(257)));
    assert_eq!(change(&["x"; 65], None, None), Err(Impossible::Seats(65)));
    let single = Topologies::builtin();
    let none = single.get("single").unwrap().with(&Overrides { quorum: Some(1), ..Overrides::default() });
    assert!(none.unwrap_err().to_string().contains("has no propose stage: leave overrides.quorum out"));
}
