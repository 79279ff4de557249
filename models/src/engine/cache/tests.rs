use super::*;

fn text(length: usize, seed: u32) -> Vec<u32> {
    (0..length as u32).map(|i| i * 7 + seed).collect()
}

/// Computes `tokens` as a sequence would; returns its place and how much it did not have to compute.
fn compute(cache: &mut BlockCache, tokens: &[u32]) -> (Place, usize) {
    let mut place = Place::default();
    let mut cached = cache.follow(&mut place, &tokens[..tokens.len() - 1]);
    if let Some((block, common)) = cache.closest(&place, &tokens[cached..tokens.len() - 1], std::iter::empty()) {
        cache.copy_of(&mut place, block).unwrap();
        cached += common;
    }
    assert!(cache.grow(&mut place, tokens.len()));
    (place, cached)
}

#[test]
fn a_second_text_reuses_the_first_ones_blocks_to_the_token() {
    let mut cache = BlockCache::new(10);
    let a = text(200, 0);
    let (place, reused) = compute(&mut cache, &a);
    assert_eq!(reused, 0);
    cache.release(place, &a);
    assert_eq!(cache.available(), 10);
    let mut b = a[..150].to_vec();
    b.extend(text(50, 9_999));
    let (place, reused) = compute(&mut cache, &b);
    assert_eq!(reused, 150);
    let (twin, reused) = compute(&mut cache, &a);
    assert_eq!(reused, 199, "the last token is computed again: its logits are wanted");
    assert_eq!(place.table()[..2], twin.table()[..2]);
    assert_ne!(place.table()[2], twin.table()[2]);
    cache.release(place, &b);
    cache.release(twin, &a);
    assert_eq!(cache.available(), 10);
}

#[test]
fn a_text_that_still_computes_lends_its_own_block() {
    let mut cache = BlockCache::new(10);
    let a = text(40, 0);
    let (first, _) = compute(&mut cache, &a);
    let mut second = Place::default();
    let others = [(&first, &a[..])];
    let found = cache.closest(&second, &a[..39], others.into_iter());
    assert_eq!(found, Some((first.table()[0], 39)));
    let copy = cache.copy_of(&mut second, first.table()[0]).unwrap();
    assert_ne!(copy.from, copy.to);
}

#[test]
fn what_two_sequences_computed_is_kept_once() {
    let mut cache = BlockCache::new(4);
    let a = text(64, 0);
    let (mut first, mut second) = (Place::default(), Place::default());
    assert!(cache.grow(&mut first, 64) && cache.grow(&mut second, 64));
    cache.share(&mut first, &a);
    cache.share(&mut second, &a);
    assert_eq!((first.table(), cache.available()), (second.table(), 3));
    cache.release(first, &a);
    cache.discard(second);
    assert_eq!((cache.available(), cache.held_by_others(&a)), (4, 0));
}

#[test]
fn memory_is_taken_back_from_what_nobody_reads() {
    let mut cache = BlockCache::new(3);
    let a = text(128, 0);
    let (place, _) = compute(&mut cache, &a);
    cache.release(place, &a);
    let mut place = Place::default();
    assert!(cache.grow(&mut place, 192) && !cache.grow(&mut place, 193));
    let mut other = Place::default();
    assert_eq!(cache.follow(&mut other, &a), 0, "it was evicted");
    cache.discard(place);
    assert_eq!(cache.available(), 3);
}

proptest::proptest! {
    /// Any order of beginning, computing and ending keeps every block in exactly one hand.
    #[test]
    fn no_block_is_lost_or_owned_twice(steps in proptest::collection::vec((0u8..3, 0usize..6, 1usize..300), 1..60)) {
        let mut cache = BlockCache::new(24);
        let mut open: Vec<(Place, Vec<u32>, usize)> = Vec::new();
        for (what, which, length) in steps {
            match what {
                0 if open.len() < 4 => {
                    let tokens: Vec<u32> = (0..length as u32).map(|i| if i < 100 { 1 } else { which as u32 }).collect();
                    let mut place = Place::default();
                    let reach = cache.follow(&mut place, &tokens);
                    open.push((place, tokens, reach));
                }
                1 if !open.is_empty() => {
                    let at = which % open.len();
                    let (place, tokens, computed) = &mut open[at];
                    let reach = (*computed + 40).min(tokens.len());
                    if cache.grow(place, reach) {
                        *computed = reach.max(*computed);
                        cache.share(place, &tokens[..*computed]);
                    }
                }
                2 if !open.is_empty() => {
                    let (place, tokens, computed) = open.remove(which % open.len());
                    if length % 2 == 0 { cache.release(place, &tokens[..computed]) } else { cache.discard(place) }
                }
                _ => {}
            }
            let mut own: Vec<u32> = open.iter().flat_map(|(place, ..)| &place.table[place.shared.len()..]).copied().collect();
            let count = own.len();
            own.sort_unstable();
            own.dedup();
            proptest::prop_assert_eq!(own.len(), count, "two places own a block");
        }
        for (place, tokens, computed) in open { cache.release(place, &tokens[..computed]) }
        proptest::prop_assert_eq!(cache.available(), 24);
    }
}
