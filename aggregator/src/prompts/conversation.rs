//! A question as it may be asked: checked, and in the form that every chat template takes.

use crate::{error::Error, limits::Limits};

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// Whoever set the conversation up.
    System,
    /// Whoever asks.
    User,
    /// The model.
    Assistant,
    /// A tool that the assistant called.
    Tool,
}

impl Speaker {
    /// What the protocol calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::System, Self::User, Self::Assistant, Self::Tool].into_iter().find(|speaker| speaker.name() == name)
    }
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who.
    pub speaker: Speaker,
    /// What.
    pub content: String,
}

/// A conversation that ends with a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// All system messages, joined: templates take one, first, or none.
    pub(crate) system: String,
    /// What was said before the question. No two turns in a row by the same speaker: strict templates refuse that.
    pub(crate) turns: Vec<Message>,
    /// What is asked.
    pub(crate) question: String,
}

impl Conversation {
    /// It as role and content pairs.
    pub(crate) fn messages(&self) -> Vec<(String, String)> {
        let system = Some(self.system.clone()).filter(|system| !system.is_empty());
        let system = system.map(|system| ("system".to_owned(), system));
        let turns = self.turns.iter().map(|turn| (turn.speaker.name().to_owned(), turn.content.clone()));
        system.into_iter().chain(turns).chain([("user".to_owned(), self.question.clone())]).collect()
    }

    /// Checks role and content pairs; the last must be the user's.
    pub fn try_new(messages: Vec<(String, String)>, limits: &Limits) -> Result<Self, Error> {
        if messages.is_empty() {
            return Err(Error::invalid("there are no messages: send at least one with role \"user\""));
        }
        if messages.len() > limits.messages {
            let (count, most) = (messages.len(), limits.messages);
            return Err(Error::invalid(format!("{count} messages are more than the {most} allowed: send fewer turns")));
        }
        let bytes: usize = messages.iter().map(|(_, content)| content.len()).sum();
        if bytes > limits.question_bytes {
            let most = limits.question_bytes;
            let message =
                format!("the question has {bytes} bytes, more than the {most} allowed: shorten it or split it");
            return Err(Error::invalid(message));
        }
        let mut system = String::new();
        let mut turns: Vec<Message> = Vec::new();
        for (at, (role, content)) in messages.into_iter().enumerate() {
            let Some(speaker) = Speaker::parse(&role) else {
                let message =
                    format!("message {at} has the unknown role {role:?}: use system, user, assistant or tool");
                return Err(Error::invalid(message));
            };
            match turns.last_mut() {
                _ if speaker == Speaker::System => join(&mut system, &content),
                Some(last) if last.speaker == speaker => join(&mut last.content, &content),
                _ => turns.push(Message { speaker, content }),
            }
        }
        match turns.pop() {
            Some(last) if last.speaker == Speaker::User && !last.content.trim().is_empty() => {
                Ok(Self { system, turns, question: last.content })
            }
            Some(last) if last.speaker == Speaker::User => {
                Err(Error::invalid("the question is empty: the last message must say something"))
            }
            _ => Err(Error::invalid("the last message must have role \"user\": it is the question")),
        }
    }
}

fn join(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(messages: &[(&str, &str)]) -> Result<Conversation, String> {
        let messages = messages.iter().map(|(role, content)| ((*role).to_owned(), (*content).to_owned())).collect();
        Conversation::try_new(messages, &Limits::standard()).map_err(|error| error.message)
    }

    #[test]
    fn turns_of_one_speaker_are_joined_and_system_text_comes_first() {
        let joined = conversation(&[
            ("system", "be brief"),
            ("user", "a"),
            ("assistant", "b"),
            ("system", "be kind"),
            ("user", "c"),
            ("user", "d"),
        ]);
        let joined = joined.unwrap();
        assert_eq!((joined.system.as_str(), joined.question.as_str()), ("be brief\n\nbe kind", "c\n\nd"));
        assert_eq!(joined.turns.len(), 2);
    }

    #[test]
    fn what_is_no_question_is_refused_with_what_to_do() {
        for (messages, says) in [
            (vec![], "no messages"),
            (vec![("user", "  \n")], "empty"),
            (vec![("user", "a"), ("assistant", "b")], "last message must have role \"user\""),
            (vec![("system", "a")], "last message must have role \"user\""),
            (vec![("robot", "a")], "unknown role \"robot\""),
            (vec![("user", "x"); 513], "513 messages"),
            (vec![("user", "y".repeat(1 << 20).as_str()), ("user", "z")], "1048577 bytes"),
        ] {
            let error = conversation(&messages).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
