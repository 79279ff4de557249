//! The texts that members are given: minijinja files that a user can read and replace, and their rendering into parts.
//!
//! Templates see placeholders, never what a user or a member wrote: the text is put in afterwards. So a draft stays one
//! quoted part with borders that nothing in it can move, and no template syntax in a question is ever run.

mod conversation;
mod segments;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fs, io, path::Path};

use minijinja::{Environment, context, syntax::SyntaxConfig};
use thiserror::Error;

pub use conversation::{Conversation, Message, Speaker};
use segments::{Segment, Slot};

/// The version of the built-in texts; recorded with each run.
const VERSION: &str = "v1";
/// Steps of the template engine for one prompt: plenty for any honest text, and an end for a loop without one.
const FUEL: u64 = 100_000;
/// The most bytes of one template file.
const MAX_TEMPLATE_BYTES: usize = 64 << 10;

/// The built-in texts as name and template. A file `NAME.jinja` in a user's directory takes one's place.
pub const BUILTIN_PROMPTS: &[(&str, &str)] = &[
    ("system", include_str!("v1/system.jinja")),
    ("propose", include_str!("v1/propose.jinja")),
    ("refine", include_str!("v1/refine.jinja")),
    ("synthesize", include_str!("v1/synthesize.jinja")),
    ("synthesize-system", include_str!("v1/synthesize-system.jinja")),
    ("judge", include_str!("v1/judge.jinja")),
    ("gate", include_str!("v1/gate.jinja")),
];

/// A prompt text that cannot be used.
#[derive(Debug, Error)]
pub enum PromptError {
    /// The directory or a file in it cannot be read.
    #[error("reading prompt file {path}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// No prompt of that name exists, so that the file would never be used.
    #[error("there is no prompt \"{name}\": known are {}", known_names())]
    UnknownName {
        /// The name given.
        name: String,
    },
    /// It is no template, or fails when it is run.
    #[error("rendering prompt \"{name}\"")]
    Render {
        /// Which.
        name: String,
        /// Why.
        source: minijinja::Error,
    },
    /// Something that members must see would be missing, or be there twice.
    #[error("prompt \"{name}\" must have {what} exactly once")]
    Slots {
        /// Which.
        name: String,
        /// What is missing or doubled.
        what: &'static str,
    },
    /// It is too long to be a template.
    #[error("prompt \"{name}\" has more than {MAX_TEMPLATE_BYTES} bytes")]
    TooLong {
        /// Which.
        name: String,
    },
}

/// Which template: one a purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Template {
    /// A draft from the question alone.
    Propose,
    /// A draft with the drafts of the layer before in view.
    Refine,
    /// The answer.
    Synthesize,
    /// The system message of Together's layout: the drafts are in it.
    SynthesizeSystem,
    /// Which drafts are best.
    Judge,
    /// Whether the drafts are good enough.
    Gate,
}

/// A piece of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text of the prompt's author or the user.
    Text(String),
    /// A draft: data, whose chat-control tokens are no control tokens.
    Quoted {
        /// What the other member wrote.
        text: String,
        /// The most tokens to spend on it; 0 lets the node fit it to the context.
        max_tokens: u32,
        /// Whether the text goes on in the next part.
        more: bool,
    },
}

/// A last message as one text, for where there are no parts.
pub(crate) fn flat(parts: &[Part]) -> String {
    let piece = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Quoted { text, .. } => segments::defang(text),
    };
    parts.iter().map(piece).collect()
}

/// What a template is filled with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filling<'a> {
    pub(crate) system: &'a str,
    pub(crate) question: &'a str,
    pub(crate) role: &'a str,
    pub(crate) drafts: &'a [&'a str],
    /// How many drafts a judge should name.
    pub(crate) keep: usize,
}

/// The prompt texts of a process.
#[derive(Debug)]
pub struct Prompts {
    templates: Environment<'static>,
    version: String,
}

impl Prompts {
    /// The built-in texts.
    pub fn builtin() -> Result<Self, PromptError> {
        Self::with_overrides(BTreeMap::new())
    }

    /// The built-in texts, with every `NAME.jinja` of a directory in the place of the one of that name.
    pub fn from_dir(directory: &Path) -> Result<Self, PromptError> {
        let read_error = |path: &Path, source| PromptError::Read { path: path.display().to_string(), source };
        let mut overrides = BTreeMap::new();
        for entry in fs::read_dir(directory).map_err(|error| read_error(directory, error))? {
            let path = entry.map_err(|error| read_error(directory, error))?.path();
            if path.extension().is_some_and(|extension| extension == "jinja")
                && let Some(name) = path.file_stem().and_then(|name| name.to_str())
            {
                let text = fs::read_to_string(&path).map_err(|error| read_error(&path, error))?;
                overrides.insert(name.to_owned(), text);
            }
        }
        Self::with_overrides(overrides)
    }

    /// The built-in texts with others in the place of some.
    pub fn with_overrides(overrides: BTreeMap<String, String>) -> Result<Self, PromptError> {
        if let Some(name) = overrides.keys().find(|name| !BUILTIN_PROMPTS.iter().any(|(known, _)| known == name)) {
            return Err(PromptError::UnknownName { name: name.clone() });
        }
        let mut templates = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        templates.set_syntax(syntax.map_err(|source| PromptError::Render { name: "syntax".to_owned(), source })?);
        templates.set_fuel(Some(FUEL));
        for (name, builtin) in BUILTIN_PROMPTS {
            let text = overrides.get(*name).map_or(*builtin, String::as_str);
            if text.len() > MAX_TEMPLATE_BYTES {
                return Err(PromptError::TooLong { name: (*name).to_owned() });
            }
            let added = templates.add_template_owned(*name, text.to_owned());
            added.map_err(|source| PromptError::Render { name: (*name).to_owned(), source })?;
        }
        let prompts = Self { templates, version: version(&overrides) };
        prompts.try_all()?;
        Ok(prompts)
    }

    /// What a run records: the built-in version, and a digest of what the user replaced.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The system text that all members of a run share.
    pub(crate) fn system(&self, system: &str) -> Result<String, PromptError> {
        let filling = Filling { system, question: "", role: "", drafts: &[], keep: 1 };
        Ok(segments::flat(&self.segments("system", filling)?, filling))
    }

    /// The content of the last user message, in parts.
    pub(crate) fn parts(&self, template: Template, filling: Filling<'_>) -> Result<Vec<Part>, PromptError> {
        Ok(segments::parts(&self.segments(template.name(), filling)?, filling))
    }

    /// A system message with the drafts in it.
    pub(crate) fn system_with_drafts(&self, filling: Filling<'_>) -> Result<String, PromptError> {
        Ok(segments::flat(&self.segments(Template::SynthesizeSystem.name(), filling)?, filling))
    }

    fn segments(&self, name: &str, filling: Filling<'_>) -> Result<Vec<Segment>, PromptError> {
        let error = |source| PromptError::Render { name: name.to_owned(), source };
        let drafts: Vec<String> = (0..filling.drafts.len()).map(|at| Slot::Draft(at).placeholder()).collect();
        // An empty text gets no placeholder, so that a template can ask whether there is one.
        let slot = |slot: Slot, text: &str| if text.is_empty() { String::new() } else { slot.placeholder() };
        let rendered = self.templates.get_template(name).map_err(error)?.render(context! {
            system => slot(Slot::System, filling.system),
            question => slot(Slot::Question, filling.question),
            role => slot(Slot::Role, filling.role),
            drafts,
            keep => filling.keep,
        });
        Ok(segments::split(&rendered.map_err(error)?))
    }

    /// Runs every template once, so that a broken one is found at start-up and not in the middle of a run.
    fn try_all(&self) -> Result<(), PromptError> {
        let filling = Filling { system: "s", question: "q", role: "r", drafts: &["a", "b"], keep: 1 };
        self.segments("system", filling)?;
        for template in Template::ALL {
            let segments = self.segments(template.name(), filling)?;
            let once = |slot: Slot| segments.iter().filter(|segment| **segment == Segment::Slot(slot)).count() == 1;
            let wrong = |what| Err(PromptError::Slots { name: template.name().to_owned(), what });
            if template != Template::SynthesizeSystem && !once(Slot::Question) {
                return wrong("{{ question }}");
            }
            if template != Template::Propose && !(once(Slot::Draft(0)) && once(Slot::Draft(1))) {
                return wrong("each of the drafts");
            }
        }
        Ok(())
    }
}

impl Template {
    const ALL: [Self; 6] =
        [Self::Propose, Self::Refine, Self::Synthesize, Self::SynthesizeSystem, Self::Judge, Self::Gate];

    fn name(self) -> &'static str {
        match self {
            Self::Propose => "propose",
            Self::Refine => "refine",
            Self::Synthesize => "synthesize",
            Self::SynthesizeSystem => "synthesize-system",
            Self::Judge => "judge",
            Self::Gate => "gate",
        }
    }
}

fn known_names() -> String {
    BUILTIN_PROMPTS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// FNV-1a over what was replaced: two runs with the same version had the same texts.
fn version(overrides: &BTreeMap<String, String>) -> String {
    if overrides.is_empty() {
        return VERSION.to_owned();
    }
    let bytes = overrides.iter().flat_map(|(name, text)| [name.as_bytes(), &[0], text.as_bytes(), &[0]]).flatten();
    let digest =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    format!("{VERSION}+{digest:016x}")
}
