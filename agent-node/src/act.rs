//! Carrying out calls for callers on the network. There is no person to ask: what needs consent is not done.

use std::sync::Arc;

use synod_proto::v1;

use crate::{
    apis::{
        Api, Call,
        calling::beginning,
        execute::{Consent, ExecuteError, Executor, Outcome},
    },
    status::NodeError,
};

/// Makes one call and says what came of it. Once begun it comes to its end, and to the journal's, though the caller goes.
pub(crate) async fn carry_out(
    executor: &Arc<Executor>,
    api: Arc<Api>,
    call: Call,
) -> Result<v1::ApiOutcome, NodeError> {
    let (executor, name) = (Arc::clone(executor), call.api.clone());
    let work = tokio::spawn(async move { executor.execute(&api, &call, Consent::None).await });
    let made = work.await.map_err(|_| NodeError::TaskFailed("it made a call"))?;
    Ok(told(name, made))
}

fn told(api: String, made: Result<Outcome, ExecuteError>) -> v1::ApiOutcome {
    match made {
        Ok(Outcome { id, succeeded, status, result, .. }) => {
            let content = result.to_string();
            let shown = beginning(&content);
            let left = content.len() - shown.len();
            let result = if left == 0 { content } else { format!("{shown}… ({left} bytes more)") };
            v1::ApiOutcome { api, succeeded, status, result, error: String::new(), id }
        }
        Err(error) => {
            let id = if let ExecuteError::Sending { id, .. } = &error { id.clone() } else { String::new() };
            v1::ApiOutcome { api, error: error.to_string(), id, ..Default::default() }
        }
    }
}
