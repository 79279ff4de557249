//! What was said, and what of it still goes along.

/// A question and its answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Turn {
    pub(super) question: String,
    pub(super) answer: String,
    pub(super) run_id: String,
    pub(super) topology: String,
    pub(super) seed: u64,
}

/// The turns so far.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    turns: Vec<Turn>,
    /// So many of the oldest are not sent any more.
    left_out: usize,
}

impl Conversation {
    /// All turns, those that are not sent any more included.
    pub(super) fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// The question with what was said in the first `turns` turns, as far as it still goes along.
    pub(super) fn messages(&self, turns: usize, question: &str) -> Vec<(String, String)> {
        let user = |text: &str| ("user".to_owned(), text.to_owned());
        let said = self.turns.get(self.left_out.min(turns)..turns).unwrap_or_default();
        let said = said.iter().flat_map(|turn| [user(&turn.question), ("assistant".to_owned(), turn.answer.clone())]);
        said.chain([user(question)]).collect()
    }

    /// Leaves out a quarter of those of the first `turns` turns that still go along, the oldest of them, and one at least;
    /// how many.
    pub(super) fn leave_out(&mut self, turns: usize) -> Option<usize> {
        let sent = turns.checked_sub(self.left_out).filter(|sent| *sent > 0)?;
        let more = sent.div_ceil(4);
        self.left_out += more;
        Some(more)
    }

    /// Goes on with this turn behind the first `turns`.
    pub(super) fn go_on(&mut self, turns: usize, turn: Turn) {
        self.turns.truncate(turns);
        self.turns.push(turn);
    }

    /// Takes back the last turn.
    pub(super) fn undo(&mut self) -> Option<Turn> {
        let turn = self.turns.pop();
        self.left_out = self.left_out.min(self.turns.len());
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(turns: usize) -> Conversation {
        let mut conversation = Conversation::default();
        for at in 0..turns {
            let turn = Turn { question: format!("q{at}"), answer: format!("a{at}"), ..Turn::default() };
            conversation.go_on(at, turn);
        }
        conversation
    }

    fn sent(conversation: &Conversation, turns: usize) -> String {
        let texts: Vec<String> = conversation.messages(turns, "now").into_iter().map(|(_, text)| text).collect();
        texts.join(" ")
    }

    #[test]
    fn the_oldest_turns_are_left_out_a_quarter_at_a_time_until_only_the_question_is_there() {
        let mut conversation = conversation(5);
        assert_eq!(sent(&conversation, 5), "q0 a0 q1 a1 q2 a2 q3 a3 q4 a4 now");
        assert_eq!(conversation.leave_out(5), Some(2));
        assert_eq!(sent(&conversation, 5), "q2 a2 q3 a3 q4 a4 now");
        assert_eq!([0; 4].map(|_| conversation.leave_out(5)), [Some(1), Some(1), Some(1), None]);
        assert_eq!(sent(&conversation, 5), "now");
        assert_eq!(conversation.turns().len(), 5);
    }

    #[test]
    fn an_answer_to_the_last_question_takes_the_place_of_the_one_before() {
        let mut conversation = conversation(2);
        assert_eq!(sent(&conversation, 1), "q0 a0 now");
        conversation.go_on(1, Turn { question: "q1".to_owned(), answer: "other".to_owned(), ..Turn::default() });
        assert_eq!(sent(&conversation, 2), "q0 a0 q1 other now");
    }

    #[test]
    fn what_was_left_out_stays_so_when_later_turns_are_taken_back() {
        let mut conversation = conversation(2);
        assert_eq!(conversation.leave_out(2), Some(1));
        conversation.undo();
        assert_eq!(sent(&conversation, 1), "now");
        conversation.undo();
        conversation.go_on(0, Turn { question: "new".to_owned(), ..Turn::default() });
        assert_eq!(sent(&conversation, 1), "new  now");
    }
}
