//! Every name that leaves a process in a span or a metric. `tests/names.rs` holds them: dashboards, alerts and queries of
//! others rely on them, and a name that changes is a change that users notice.
//!
//! Spans follow OpenTelemetry's conventions for generative AI (operations `invoke_workflow`, `invoke_agent`, `chat`, `embeddings`), which
//! are still in development; what they have no word for begins with `synod.`.

macro_rules! names {
    ($type:ty: $($(#[$doc:meta])* $name:ident = $value:expr;)*) => {
        $($(#[$doc])* pub const $name: $type = $value;)*
        /// All of them.
        pub const ALL: &[$type] = &[$($name),*];
    };
}

/// What spans begin with; a model's, an agent's or a topology's name follows.
pub mod span {
    names! { &str:
        /// A run.
        WORKFLOW = "invoke_workflow";
        /// A stage of a run.
        STAGE = "stage";
        /// A seat of a stage, through all its attempts.
        AGENT = "invoke_agent";
        /// One call: on the aggregator's side, and within it on the node's.
        CHAT = "chat";
        /// One call of a model that embeds: on either side, as a chat.
        EMBEDDINGS = "embeddings";
    }
}

/// Attributes of spans.
pub mod attribute {
    names! { &str:
        /// What a span does: the first word of its name.
        OPERATION = "gen_ai.operation.name";
        /// Whose models: always `synod`.
        PROVIDER = "gen_ai.provider.name";
        /// The topology.
        WORKFLOW = "gen_ai.workflow.name";
        /// Who sits on a seat.
        AGENT = "gen_ai.agent.name";
        /// The model that was asked.
        MODEL = "gen_ai.request.model";
        /// Why an answer ended.
        FINISH_REASONS = "gen_ai.response.finish_reasons";
        /// Seconds to the first text.
        FIRST_CHUNK = "gen_ai.response.time_to_first_chunk";
        /// Tokens read.
        INPUT_TOKENS = "gen_ai.usage.input_tokens";
        /// Of these from a cache.
        CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens";
        /// Tokens written.
        OUTPUT_TOKENS = "gen_ai.usage.output_tokens";
        /// What was asked, where texts are shown.
        INPUT_MESSAGES = "gen_ai.input.messages";
        /// What was answered, where texts are shown.
        OUTPUT_MESSAGES = "gen_ai.output.messages";
        /// What went wrong, as a code.
        ERROR = "error.type";
        /// The node that was asked.
        NODE = "synod.node";
        /// The run, by which its record is found.
        RUN = "synod.run.id";
        /// Whether something was lost or cut.
        DEGRADED = "synod.run.degraded";
        /// The stage, from 0.
        STAGE = "synod.stage.index";
        /// Its kind.
        STAGE_KIND = "synod.stage.kind";
        /// The seat, from 0.
        SEAT = "synod.seat.index";
        /// Seconds that a call waited on its node before it was computed.
        QUEUED = "synod.node.queue_seconds";
    }
}

/// A metric as Prometheus shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name; a counter's ends in `_total`.
    pub name: &'static str,
    /// What it says, without the full stop.
    pub help: &'static str,
}

const fn metric(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help }
}

/// Metrics, of aggregators first, then of nodes, then of both.
pub mod metric {
    use super::{Metric, metric};

    names! { Metric:
        /// Counter by `topology` and `outcome`.
        RUNS = metric("synod_runs_total", "Runs that ended");
        /// Histogram by `topology`.
        RUN_SECONDS = metric("synod_run_seconds", "Time from a question to the end of its run");
        /// Histogram by `topology`.
        RUN_FIRST_TOKEN = metric("synod_run_first_token_seconds", "Time from a question to the first token of its answer");
        /// Gauge.
        RUNS_IN_FLIGHT = metric("synod_runs_in_flight", "Runs that are under way");
        /// Counter by `reason`.
        REFUSED = metric("synod_questions_refused_total", "Questions that were not let in");
        /// Counter by `reason`.
        SEATS_LOST = metric("synod_seats_lost_total", "Seats that gave a run nothing");
        /// Histogram by `model`.
        MEMBER_TOKEN = metric("synod_member_output_token_seconds", "Time for each token that a member wrote after its first");
        /// Counter by `model` and `kind`.
        MEMBER_TOKENS = metric("synod_member_tokens_total", "Tokens of members' answers: read, of these from a cache, and written");
        /// Counter.
        RETRIES = metric("synod_retries_total", "Calls that were made again after they failed");
        /// Counter.
        HEDGES = metric("synod_hedges_total", "Second calls that were made because the first was late");
        /// Counter.
        EJECTIONS = metric("synod_ejections_total", "Times that a model on a node was left alone because calls to it failed");
        /// Gauge by `state`.
        NODES = metric("synod_nodes", "Nodes that discovery names");
        /// Gauge.
        CALLS_IN_FLIGHT = metric("synod_calls_in_flight", "Calls to nodes that are under way");

        /// Gauge by `model`.
        NODE_RUNNING = metric("synod_node_requests_running", "Requests that a model computes");
        /// Gauge by `model`.
        NODE_WAITING = metric("synod_node_requests_waiting", "Requests that wait for a model");
        /// Gauge by `model`.
        NODE_CACHE = metric("synod_node_kv_cache_usage_ratio", "Part of the memory for keys and values that requests hold, from 0 to 1");
        /// Counter by `model`.
        NODE_PREFILLED = metric("synod_node_prefilled_tokens_total", "Prompt tokens that were computed");
        /// Counter by `model`.
        NODE_REUSED = metric("synod_node_reused_tokens_total", "Prompt tokens that were in the cache already");
        /// Counter by `model`.
        NODE_GENERATED = metric("synod_node_generated_tokens_total", "Tokens that were written");
        /// Counter by `model` and `outcome`.
        NODE_CALLS = metric("synod_node_calls_total", "Calls that ended");
        /// Histogram by `model`.
        NODE_QUEUE = metric("synod_node_queue_seconds", "Time that calls waited before they were computed");
        /// Histogram by `model`.
        NODE_FIRST_TOKEN = metric("synod_node_first_token_seconds", "Time from a call to its first token");
        /// Histogram by `model`.
        NODE_TOKEN = metric("synod_node_output_token_seconds", "Time for each token after the first");

        /// Gauge by `version`, always 1.
        BUILD = metric("synod_build_info", "The Synod that runs");
    }
}
