use super::*;
use crate::members::{Call, Usage, breaker::Rules, tests::call};

const IDLE: Standing =
    Standing { busy: 0, slots: 4, shared: 0, speed: Seconds { read: 0.01, write: 0.05 }, penalty: Duration::ZERO };
const NEED: Need = Need { prompt_tokens: 500, answer_tokens: 100.0 };

fn view(wait: f64) -> View {
    View { tried: false, shared: 0, wait }
}

#[test]
fn the_wait_is_queue_and_reading_and_writing_beside_others() {
    let close =
        |standing: Standing, seconds: f64| assert!((standing.wait(NEED) - seconds).abs() < 1e-9, "{standing:?}");
    close(IDLE, 10.0);
    close(Standing { shared: 400, ..IDLE }, 6.0);
    close(Standing { busy: 2, ..IDLE }, 15.0);
    close(Standing { penalty: Duration::from_secs(5), ..IDLE }, 15.0);
    // Full, with as many as run waiting: two rounds.
    close(Standing { busy: 7, ..IDLE }, 35.0);
    close(Standing { busy: 100, slots: usize::MAX, ..IDLE }, 260.0);
}

#[test]
fn untried_comes_before_soon_and_equals_take_turns() {
    let tried = View { tried: true, ..view(1.0) };
    assert_eq!(choose(&[], 0, 0), None);
    assert_eq!(choose(&[tried, view(9.0)], 0, 0), Some(1));
    assert_eq!(choose(&[tried], 0, 0), Some(0));
    assert_eq!(choose(&[view(2.0), view(1.0)], 0, 0), Some(1));
    let turns: Vec<_> = (0..4).map(|turn| choose(&[view(1.0), view(1.001), view(1.002)], turn, 0)).collect();
    assert_eq!(turns, [Some(0), Some(1), Some(2), Some(0)]);
}

#[test]
fn of_many_two_are_drawn_and_the_one_that_knows_the_prompt_is_always_compared() {
    let mut views: Vec<View> = (0..100).map(|at| view(1.0 + f64::from(at))).collect();
    let chosen: std::collections::BTreeSet<_> =
        (0..200_u64).map(|turn| choose(&views, turn, mix(turn)).unwrap()).collect();
    assert!(chosen.len() > 20, "not always the first: {chosen:?}");
    assert!(chosen.iter().all(|at| *at < 99), "the worst never wins against another");
    views[42] = View { shared: 100, ..view(0.5) };
    assert!((0..200).all(|turn| choose(&views, turn, mix(turn)) == Some(42)));
}

fn mix(turn: u64) -> u64 {
    chooser().draw(turn)
}

fn chooser() -> Chooser {
    Chooser::new(&Limits::standard(), 7)
}

fn hosts(count: usize) -> Vec<Host> {
    let host = |at: usize| Host {
        address: format!("node-{at}").into(),
        load: Arc::new(Load::new(Rules::from(&Limits::standard()))),
        tried: false,
    };
    (0..count).map(host).collect()
}

fn take(chooser: &Chooser, hosts: &[Host], call: &Call) -> (usize, Lease) {
    chooser.take(hosts, &Wanted::of(call)).unwrap()
}

/// Where seats of one stage land: the same long question, each with a role at the end.
fn stage(question: &str, seats: usize) -> Vec<usize> {
    let (chooser, hosts) = (chooser(), hosts(3));
    let mut leases = Vec::new();
    let seat = |at: usize| {
        let (node, lease) = take(&chooser, &hosts, &call("m", &format!("{question} Role {at}.")));
        leases.push(lease);
        node
    };
    (0..seats).map(seat).collect()
}

#[tokio::test(start_paused = true)]
async fn seats_of_a_stage_share_a_node_while_reading_again_costs_more_than_crowding() {
    // 8,000 tokens to read: 32 s against 1.6 s and a quarter more of the rest for each who is there.
    assert_eq!(stage(&"the same long text ".repeat(1700), 3), [0, 0, 0]);
    // 20 tokens: everyone reads them as fast as they come.
    assert_eq!(stage("Why is the sky blue, and not green?", 3), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn what_a_node_does_not_keep_it_gets_no_credit_for() {
    let (chooser, hosts) = (chooser(), hosts(2));
    let long = call("m", &"the same long text ".repeat(500));
    let mut nodes = Vec::new();
    for _ in 0..30 {
        let (node, lease) = take(&chooser, &hosts, &long);
        nodes.push(node);
        tokio::time::advance(Duration::from_secs(10)).await;
        lease.answered(None, Instant::now(), Usage { prompt_tokens: 2400, ..Usage::default() });
    }
    assert_eq!(nodes[..3], [0, 0, 0]);
    assert!(nodes[3..].contains(&1), "{nodes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_measured_faster_node_is_preferred_until_its_queue_outweighs_it() {
    let (chooser, hosts) = (chooser(), hosts(2));
    for (at, seconds) in [(0, 40), (1, 4)] {
        let lease = hosts[at].load.lease("".into(), &Default::default(), Arc::default(), false);
        let first = Instant::now();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        lease.answered(None, first, Usage { prompt_tokens: 0, completion_tokens: 101, cached_prompt_tokens: 0 });
    }
    hosts[1].load.announced(crate::members::Announced { busy: 0, max_running: 2, ..Default::default() });
    let question = call("m", "Why?");
    let mut leases = Vec::new();
    let mut node = || {
        let (node, lease) = take(&chooser, &hosts, &question);
        leases.push(lease);
        node
    };
    let nodes: Vec<usize> = (0..40).map(|_| node()).collect();
    assert_eq!(nodes[..4], [1; 4], "ten times as fast");
    assert!(nodes.contains(&0), "until too many wait there");
}

#[tokio::test(start_paused = true)]
async fn what_a_node_announces_counts_before_anything_is_measured() {
    let (chooser, hosts) = (chooser(), hosts(2));
    hosts[0].load.announced(crate::members::Announced { busy: 6, max_running: 4, ..Default::default() });
    assert!((0..3).all(|_| take(&chooser, &hosts, &call("m", "Why?")).0 == 1));
}

#[tokio::test(start_paused = true)]
async fn a_full_node_is_passed_over_until_it_has_room_and_is_not_ejected() {
    let (chooser, hosts) = (chooser(), hosts(2));
    let question = call("m", "Why?");
    for _ in 0..20 {
        hosts[0]
            .load
            .lease("".into(), &Default::default(), Arc::default(), false)
            .refused(Some(Duration::from_secs(30)));
    }
    assert_eq!(chooser.ejected(&hosts), [false, false]);
    assert!((0..4).all(|_| take(&chooser, &hosts, &question).0 == 1));
    tokio::time::advance(Duration::from_secs(31)).await;
    assert!((0..2).any(|_| take(&chooser, &hosts, &question).0 == 0));
}

fn break_down(host: &Host) {
    for _ in 0..5 {
        host.load.lease("".into(), &Default::default(), Arc::default(), false).failed();
    }
}

#[tokio::test(start_paused = true)]
async fn an_ejected_node_gets_one_probe_at_a_time_and_comes_back_by_it() {
    let (chooser, hosts) = (chooser(), hosts(3));
    let question = call("m", "Why?");
    break_down(&hosts[0]);
    assert!((0..10).all(|_| take(&chooser, &hosts, &question).0 != 0));
    tokio::time::advance(Limits::standard().ejection).await;
    let (node, probe) = take(&chooser, &hosts, &question);
    assert!(node == 0 && probe.is_probe());
    assert!((0..10).all(|_| take(&chooser, &hosts, &question).0 != 0), "one at a time");
    probe.answered(None, Instant::now(), Usage::default());
    drop(probe);
    let back = (0..10).map(|_| take(&chooser, &hosts, &question)).find(|(node, _)| *node == 0).unwrap();
    assert!(!back.1.is_probe());
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_never_a_probe() {
    let (chooser, mut hosts) = (chooser(), hosts(3));
    break_down(&hosts[0]);
    tokio::time::advance(Limits::standard().ejection).await;
    hosts[1].tried = true;
    assert_eq!(take(&chooser, &hosts, &call("m", "Why?")).0, 2);
}

#[tokio::test(start_paused = true)]
async fn the_last_node_of_a_model_is_asked_whatever_it_did() {
    let (chooser, hosts) = (chooser(), hosts(1));
    break_down(&hosts[0]);
    assert!(!take(&chooser, &hosts, &call("m", "Why?")).1.is_probe());
    let two = self::hosts(2);
    two.iter().for_each(break_down);
    assert_eq!(chooser.ejected(&two).iter().filter(|out| **out).count(), 1);
}
