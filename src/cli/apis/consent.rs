//! Asking a person about a call, and taking their word for that call alone.

use std::io::{self, BufRead, IsTerminal};

use clap::Args;
use synod_agent_node::apis::execute::{Consent, Preview, Rule};

use crate::cli::Context;
use crate::exit::{ExitCode, Failure};

/// Flags of commands that may call something.
#[derive(Debug, Default, Args)]
pub(crate) struct Consenting {
    /// Agree to the one call that this names; a refused call says what names it
    #[arg(long, value_name = "FINGERPRINT")]
    consent: Option<String>,
}

impl Consenting {
    /// What was agreed to: by flag, or asked on the terminal.
    ///
    /// # Errors
    /// There is nobody to ask, or they said no.
    pub(crate) async fn ask(&self, preview: &Preview, context: &Context) -> Result<Consent, Failure> {
        if let Some(fingerprint) = &self.consent {
            return Ok(Consent::Confirmed(fingerprint.clone()));
        }
        if preview.rule != Rule::Confirm {
            return Ok(Consent::None);
        }
        let shown = format!("{} is {} and would send:\n{}", preview.api, preview.class, preview.text);
        if !io::stdin().is_terminal() || !context.output.is_watched() {
            let hint = format!("to agree to exactly this call, add --consent {}", preview.fingerprint);
            return Err(Failure::new(ExitCode::Failed, format!("there is nobody to ask: {shown}")).hint(hint));
        }
        context.output.question(&format!("{shown}\nSend it? [y/N] "));
        let answer = context.blocking(|| {
            let mut line = String::new();
            io::stdin()
                .lock()
                .read_line(&mut line)
                .map_err(|error| Failure::new(ExitCode::Failed, format!("cannot read the answer: {error}")))?;
            Ok(line)
        });
        match answer.await?.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(Consent::Confirmed(preview.fingerprint.clone())),
            _ => Err(Failure::new(ExitCode::Failed, "nothing was sent")),
        }
    }
}
