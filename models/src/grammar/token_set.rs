//! A set of token ids.

/// The ids that may come next, a bit for each id of the vocabulary. Ids past the vocabulary (a model's row of logits may be
/// longer) are never in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSet {
    words: Vec<u32>,
    vocab_size: usize,
}

impl TokenSet {
    /// From words of 32 bits, lowest bit first; what lies past the vocabulary is dropped.
    pub(super) fn new(mut words: Vec<u32>, vocab_size: usize) -> Self {
        words.resize(vocab_size.div_ceil(32), 0);
        if let (Some(last), used @ 1..) = (words.last_mut(), vocab_size % 32) {
            *last &= (1 << used) - 1;
        }
        Self { words, vocab_size }
    }

    /// Exactly these ids.
    pub(super) fn of(ids: &[u32], vocab_size: usize) -> Self {
        let mut words = vec![0; vocab_size.div_ceil(32)];
        for &id in ids {
            if let Some(word) = words.get_mut(id as usize / 32) {
                *word |= 1 << (id % 32);
            }
        }
        Self::new(words, vocab_size)
    }

    /// Whether `id` is in the set.
    #[must_use]
    pub fn contains(&self, id: u32) -> bool {
        self.words.get(id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1)
    }

    /// The ids, from the lowest.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().zip(0..).flat_map(|(&word, index)| {
            let rest = std::iter::successors(Some(word), |rest| Some(rest & rest.wrapping_sub(1)));
            rest.take_while(|&rest| rest != 0).map(move |rest| index * 32 + rest.trailing_zeros())
        })
    }

    /// How many ids it has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The only id, if there is just one.
    #[must_use]
    pub fn single(&self) -> Option<u32> {
        let mut ids = self.iter();
        ids.next().filter(|_| ids.next().is_none())
    }

    /// The bits, 32 ids a word, lowest bit first.
    #[must_use]
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Ids are below this.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }
}
