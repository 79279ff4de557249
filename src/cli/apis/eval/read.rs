//! Files of questions.

use std::{collections::HashMap, fs, path::Path};

use rand::{SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64Mcg;
use serde::Deserialize;
use serde_json::{Map, Value};
use synod_agent_node::apis::eval::{Question, bfcl, gorilla};

use super::documents::Documents;
use crate::exit::{ExitCode, Failure};

/// The most bytes of a file of questions.
const MAX_BYTES: u64 = 256 << 20;

#[derive(Deserialize)]
struct Answers {
    id: String,
    ground_truth: Vec<Map<String, Value>>,
}

/// The questions of a file, or so many of them, drawn by the seed.
pub(super) fn questions(
    file: &Path,
    limit: Option<usize>,
    seed: u64,
    documents: &Documents,
) -> Result<Vec<Question>, Failure> {
    let mut rows = lines::<Value>(file)?;
    if let Some(limit) = limit {
        rows.shuffle(&mut Pcg64Mcg::seed_from_u64(seed));
        rows.truncate(limit);
        rows.sort_by_key(|(line, _)| *line);
    }
    let mut answers = answers(file)?;
    let mut questions = Vec::new();
    for (line, row) in rows {
        let failed = |problem: String| unusable(file, &format!("line {line}: {problem}"));
        let own = row.get("id").and_then(Value::as_str).and_then(|id| answers.remove(id));
        let mut question = if row.get("function").is_some() {
            let row = serde_json::from_value(row).map_err(|error| failed(error.to_string()))?;
            bfcl::question(row, own).map_err(failed)?
        } else {
            let row = serde_json::from_value(row).map_err(|error| failed(error.to_string()))?;
            gorilla::question(row, documents.apis()?)
        };
        documents.show(&mut question)?;
        questions.push(question);
    }
    Ok(questions)
}

/// The answers beside a file, where the leaderboard has them: `possible_answer/` and the same name.
fn answers(file: &Path) -> Result<HashMap<String, Vec<Map<String, Value>>>, Failure> {
    let beside = file.parent().zip(file.file_name()).map(|(folder, name)| folder.join("possible_answer").join(name));
    match beside.filter(|beside| beside.exists()) {
        None => Ok(HashMap::new()),
        Some(beside) => Ok(lines::<Answers>(&beside)?.into_iter().map(|(_, row)| (row.id, row.ground_truth)).collect()),
    }
}

/// A JSON object a line, with the lines' numbers.
fn lines<T: for<'a> Deserialize<'a>>(file: &Path) -> Result<Vec<(usize, T)>, Failure> {
    let bytes = fs::metadata(file).map_err(|error| unusable(file, &error.to_string()))?.len();
    if bytes > MAX_BYTES {
        return Err(unusable(file, &format!("{bytes} bytes are more than the limit of {MAX_BYTES}")));
    }
    let text = fs::read_to_string(file).map_err(|error| unusable(file, &error.to_string()))?;
    let filled = text.lines().zip(1..).filter(|(text, _)| !text.trim().is_empty());
    let read = |(text, line): (&str, usize)| match serde_json::from_str(text) {
        Ok(row) => Ok((line, row)),
        Err(error) => Err(unusable(file, &format!("line {line}: {error}"))),
    };
    filled.map(read).collect()
}

fn unusable(file: &Path, problem: &str) -> Failure {
    Failure::new(ExitCode::Usage, format!("cannot use {}: {problem}", file.display()))
        .hint("it must hold questions of BFCL or APIBench, one JSON object a line")
}
