//! A conversation as a file.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::conversation::Turn;
use crate::exit::{ExitCode, Failure};

/// A line of JSON lines.
#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topology: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a str>,
}

/// Writes the turns to a file: Markdown where its name ends so, else JSON lines. A file that is there already is
/// replaced only if it is `mine`.
///
/// # Errors
/// It is somebody else's, or cannot be written.
pub(super) fn save(turns: &[Turn], file: &Path, mine: Option<&PathBuf>) -> Result<(), Failure> {
    let failed = |message: String| Failure::new(ExitCode::Failed, message);
    if file.exists() && mine.is_none_or(|mine| mine != file) {
        return Err(failed(format!("{} exists already", file.display())).hint("choose another name"));
    }
    let is_markdown = file.extension().is_some_and(|extension| extension == "md" || extension == "markdown");
    let text = if is_markdown { markdown(turns) } else { json_lines(turns)? };
    fs::write(file, text).map_err(|error| failed(format!("cannot write {}: {error}", file.display())))
}

fn json_lines(turns: &[Turn]) -> Result<String, Failure> {
    let mut text = String::new();
    for turn in turns {
        let question = Message { role: "user", content: &turn.question, topology: None, seed: None, run_id: None };
        let answer = Message {
            role: "assistant",
            content: &turn.answer,
            topology: Some(&turn.topology),
            seed: Some(turn.seed),
            run_id: Some(&turn.run_id),
        };
        for message in [question, answer] {
            let line = serde_json::to_string(&message);
            text += &line.map_err(|error| Failure::new(ExitCode::Failed, format!("cannot write JSON: {error}")))?;
            text.push('\n');
        }
    }
    Ok(text)
}

/// Questions are quoted, answers stand as they are: models write Markdown.
fn markdown(turns: &[Turn]) -> String {
    let told = |turn: &Turn| {
        let question: Vec<String> =
            turn.question.lines().map(|line| format!("> {line}").trim_end().to_owned()).collect();
        format!("{}\n\n{}\n", question.join("\n"), turn.answer.trim())
    };
    turns.iter().map(told).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns() -> Vec<Turn> {
        let turn = |question: &str, answer: &str| Turn {
            question: question.to_owned(),
            answer: answer.to_owned(),
            topology: "two".to_owned(),
            run_id: "id".to_owned(),
            seed: 7,
        };
        vec![turn("a\n\nb", " *c*\n"), turn("d", "e")]
    }

    #[test]
    fn the_name_says_which_form_and_what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("talk.md");
        save(&turns(), &file, None).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "> a\n>\n> b\n\n*c*\n\n> d\n\ne\n");
        assert!(save(&turns(), &file, None).unwrap_err().message.contains("exists already"));
        save(&turns()[1..], &file, Some(&file)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "> d\n\ne\n");

        let file = folder.path().join("talk.jsonl");
        save(&turns()[1..], &file, None).unwrap();
        let lines = "{\"role\":\"user\",\"content\":\"d\"}\n\
                     {\"role\":\"assistant\",\"content\":\"e\",\"topology\":\"two\",\"seed\":7,\"run_id\":\"id\"}\n";
        assert_eq!(fs::read_to_string(&file).unwrap(), lines);
    }
}
