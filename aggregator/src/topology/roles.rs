//! Who a member is asked to be: a few personas that come with Synod, and those a user adds under `[roles.NAME]`.

use std::collections::BTreeMap;

use super::{
    nearest::hint,
    section::{Section, string},
};

/// Instructions of a member's own, which follow the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// What the configuration calls it; empty for instructions written inline.
    pub name: String,
    /// What the member is told.
    pub instructions: String,
}

/// The personas that need no configuration, as name and instructions.
pub const BUILTIN_ROLES: &[(&str, &str)] = &[
    ("critic", include_str!("../prompts/v1/roles/critic.txt")),
    ("engineer", include_str!("../prompts/v1/roles/engineer.txt")),
    ("planner", include_str!("../prompts/v1/roles/planner.txt")),
    ("skeptic", include_str!("../prompts/v1/roles/skeptic.txt")),
    ("teacher", include_str!("../prompts/v1/roles/teacher.txt")),
];

/// All roles that a file's members may name.
pub(super) struct Roles(BTreeMap<String, String>);

impl Roles {
    pub(super) fn builtin() -> Self {
        let builtin = BUILTIN_ROLES.iter();
        Self(builtin.map(|(name, text)| ((*name).to_owned(), text.trim().to_owned())).collect())
    }

    /// Adds those under `[roles]`; a built-in one may be replaced.
    pub(super) fn read(&mut self, section: &Section<'_>) {
        for (name, mut role) in section.named_sections() {
            let instructions = role.require("instructions", string);
            if let Some(text) = instructions.as_deref()
                && text.trim().is_empty()
            {
                role.wrong("instructions", "is empty: say what a member with this role should do");
            }
            // Known even when it is wrong: a member that names it makes no second mistake.
            self.0.insert(name.to_owned(), instructions.unwrap_or_default().trim().to_owned());
            role.finish();
        }
    }

    pub(super) fn find(&self, name: &str) -> Result<Role, String> {
        match self.0.get(name) {
            Some(instructions) => Ok(Role { name: name.to_owned(), instructions: instructions.clone() }),
            None => Err(format!("unknown role \"{name}\": {}", hint(name, self.0.keys().map(String::as_str)))),
        }
    }
}
