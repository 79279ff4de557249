//! Who may make a call: a rule for each class of effect, and consent that holds for one call and no other.

use serde::{Deserialize, Serialize};

use super::error::ExecuteError;
use super::preview::Preview;
use crate::apis::Effect;

/// What is done about calls of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// They are made.
    Auto,
    /// They are made if somebody has seen them and said yes.
    Confirm,
    /// They are not made.
    Deny,
}

/// A rule for each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// For what changes nothing.
    pub read: Rule,
    /// For what can be undone, and for undoing.
    pub reversible: Rule,
    /// For the rest.
    pub irreversible: Rule,
}

impl Policy {
    /// What a call changes is asked about, and what cannot be taken back is not done.
    pub const CAREFUL: Self = Self { read: Rule::Auto, reversible: Rule::Confirm, irreversible: Rule::Deny };

    /// The same, but asking about what cannot be taken back.
    #[must_use]
    pub fn allowing_irreversible(self) -> Self {
        let irreversible = if self.irreversible == Rule::Deny { Rule::Confirm } else { self.irreversible };
        Self { irreversible, ..self }
    }

    /// The rule for an effect.
    #[must_use]
    pub fn rule(&self, effect: &Effect) -> Rule {
        match effect {
            Effect::Read => self.read,
            Effect::Reversible { .. } => self.reversible,
            Effect::Irreversible => self.irreversible,
        }
    }
}

/// What somebody agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consent {
    /// Nothing.
    None,
    /// The call whose [`Preview::fingerprint`] this is.
    Confirmed(String),
}

/// Lets a call through, or says what is missing.
pub(super) fn admit(rule: Rule, preview: &Preview, consent: &Consent) -> Result<(), ExecuteError> {
    match (rule, consent) {
        (Rule::Auto, _) => Ok(()),
        (Rule::Confirm, Consent::Confirmed(fingerprint)) if *fingerprint == preview.fingerprint => Ok(()),
        (Rule::Confirm, Consent::Confirmed(_)) => Err(ExecuteError::OtherConsent { preview: preview.clone() }),
        (Rule::Confirm, Consent::None) => Err(ExecuteError::NotConfirmed { preview: preview.clone() }),
        (Rule::Deny, _) => Err(ExecuteError::Denied { api: preview.api.clone(), class: preview.class }),
    }
}
