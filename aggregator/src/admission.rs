//! Who is let in: counted before any work is done, so that a refusal costs nothing and work under way is not slowed.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    error::{Error, ErrorCode},
    limits::Limits,
    topology::Topology,
};

/// When a caller who was refused for want of room may come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The runs in flight and what their prompts cost.
#[derive(Debug)]
pub(crate) struct Admission {
    max_runs: usize,
    max_bytes: usize,
    max_calls: usize,
    in_flight: Mutex<InFlight>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct InFlight {
    runs: usize,
    bytes: usize,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            max_runs: limits.concurrent_runs,
            max_bytes: limits.prompt_bytes,
            max_calls: limits.calls_per_run,
            in_flight: Mutex::default(),
        }
    }

    /// Lets a question into a topology, or says why not and when to come again. What is let in counts until the ticket
    /// is dropped.
    pub(crate) fn admit(
        self: &Arc<Self>,
        messages: &[(String, String)],
        topology: &Topology,
    ) -> Result<Admitted, Error> {
        let calls = topology.calls();
        if calls > self.max_calls {
            let (name, most) = (topology.name(), self.max_calls);
            let what = format!(
                "topology {name} makes {calls} calls a run, and {most} is the limit: choose one with fewer seats"
            );
            return Err(Error::invalid(what));
        }
        // Each seat reads the whole conversation; drafts are bounded by their own limits.
        let question: usize = messages.iter().map(|(role, content)| role.len().saturating_add(content.len())).sum();
        let bytes = question.saturating_mul(calls);
        if bytes > self.max_bytes {
            let what = format!(
                "a question of {question} bytes to {calls} seats is more than the {} bytes of prompts allowed: shorten it",
                self.max_bytes
            );
            return Err(Error::invalid(what));
        }
        let mut now = self.lock();
        if now.runs >= self.max_runs {
            return Err(full(format!("{} runs are in flight, which is the limit", self.max_runs)));
        }
        if now.bytes.saturating_add(bytes) > self.max_bytes {
            return Err(full(format!("prompts in flight have {} of the {} bytes allowed", now.bytes, self.max_bytes)));
        }
        *now = InFlight { runs: now.runs + 1, bytes: now.bytes + bytes };
        drop(now);
        Ok(Admitted { admission: Arc::clone(self), bytes })
    }

    /// Runs that are let in.
    pub(crate) fn in_flight(&self) -> usize {
        self.lock().runs
    }

    fn lock(&self) -> MutexGuard<'_, InFlight> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn full(what: String) -> Error {
    Error { retry_after: Some(RETRY_AFTER), ..Error::new(ErrorCode::Overloaded, format!("{what}: try again later")) }
}

/// A run's place; dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    bytes: usize,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut now = self.admission.lock();
        *now = InFlight { runs: now.runs.saturating_sub(1), bytes: now.bytes.saturating_sub(self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Known, from_toml};

    /// Three calls.
    const TWO_AND_ONE: &str = r#"
        [[topologies.t.stages]]
        kind = "propose"
        members = [{ model = "a", samples = 2 }]
        [[topologies.t.stages]]
        kind = "synthesize"
        member = { model = "s" }
    "#;

    fn admit(admission: &Arc<Admission>, bytes: usize) -> Result<Admitted, Error> {
        let file = format!("default_topology = \"t\"\n{TWO_AND_ONE}");
        let topologies = from_toml(&file, &Known::default()).unwrap();
        admission.admit(&[(String::new(), "x".repeat(bytes))], topologies.get("t").unwrap())
    }

    fn admission(runs: usize, bytes: usize, calls: usize) -> Arc<Admission> {
        let limits = Limits { concurrent_runs: runs, prompt_bytes: bytes, calls_per_run: calls, ..Limits::standard() };
        Arc::new(Admission::new(&limits))
    }

    #[track_caller]
    fn refused(outcome: Result<Admitted, Error>, code: ErrorCode, says: &str) {
        let error = outcome.unwrap_err();
        assert_eq!((error.code, error.retry_after.is_some()), (code, code == ErrorCode::Overloaded));
        assert!(error.message.contains(says), "{error}");
    }

    #[test]
    fn runs_beyond_the_limit_are_refused_until_one_ends() {
        let admission = admission(2, 1000, 3);
        let first = admit(&admission, 10).unwrap();
        let _second = admit(&admission, 10).unwrap();
        refused(admit(&admission, 10), ErrorCode::Overloaded, "2 runs");
        drop(first);
        assert!(admit(&admission, 10).is_ok());
    }

    #[test]
    fn each_seat_reads_the_question_so_prompt_bytes_count_by_seats() {
        let admission = admission(10, 100, 3);
        let ticket = admit(&admission, 20).unwrap();
        refused(admit(&admission, 20), ErrorCode::Overloaded, "60 of the 100 bytes");
        let small = admit(&admission, 13).unwrap();
        drop((ticket, small));
        assert_eq!(*admission.lock(), InFlight::default(), "everything is given back");
    }

    #[test]
    fn what_will_never_fit_is_not_told_to_come_again() {
        refused(admit(&admission(10, 100, 3), 34), ErrorCode::InvalidRequest, "34 bytes to 3 seats");
        refused(admit(&admission(10, 100, 2), 1), ErrorCode::InvalidRequest, "3 calls");
    }
}
