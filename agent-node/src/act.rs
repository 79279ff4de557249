//! Carrying out calls for callers on the network. There is no person to ask: what needs consent is not done.

use std::sync::Arc;

use synod_proto::v1;

use crate::{
    apis::{
        Api, Call,
        calling::beginning,
        execute::{Consent, ExecuteError, Executor, Outcome},
    },
    drain::Running,
    queue::Turn,
    status::NodeError,
};

/// Makes the calls, one after the other, and says what came of each. Once begun they come to their end, and to the journal's,
/// though the caller goes: the node waits for them as for a request, and they keep their turn until then.
pub(crate) async fn carry_out(
    executor: Arc<Executor>,
    calls: Vec<(Arc<Api>, Call)>,
    held: (Turn, Running),
) -> Result<Vec<v1::ApiOutcome>, NodeError> {
    let work = tokio::spawn(async move {
        let mut outcomes = Vec::new();
        for (api, call) in calls {
            outcomes.push(told(&call.api, executor.execute(&api, &call, Consent::None).await));
        }
        drop(held);
        outcomes
    });
    work.await.map_err(|_| NodeError::TaskFailed("it made a call"))
}

fn told(api: &str, made: Result<Outcome, ExecuteError>) -> v1::ApiOutcome {
    let api = api.to_owned();
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
