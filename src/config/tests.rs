//! Whole configurations, from files in a temporary folder.

use std::fs;

use tempfile::TempDir;

use super::key::KeyPath;
use super::*;

/// Loads these files, weakest first, and variables.
fn load(files: &[&str], variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let folder = TempDir::new().unwrap();
    let write = |(at, text): (usize, &&str)| {
        let path = folder.path().join(format!("{at}.toml"));
        fs::write(&path, text).unwrap();
        (path, true)
    };
    let files = files.iter().enumerate().map(write).collect();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let prefix = format!("{}/", folder.path().display());
    let loaded = Layers { files, variables, flags: Vec::new() }.load();
    loaded.map_err(|Mistakes(mistakes)| mistakes.iter().map(|one| one.to_string().replace(&prefix, "")).collect())
}

#[track_caller]
fn check_mistakes(text: &str, expected: &[&str]) {
    let mistakes = load(&[text], &[]).unwrap_err();
    for (mistake, expected) in mistakes.iter().zip(expected) {
        assert!(mistake.contains(expected), "no `{expected}` in `{mistake}`");
    }
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
}

#[test]
fn without_any_file_everything_has_a_default() {
    let config = load(&[], &[]).unwrap();
    assert_eq!(config.default_topology, "moa");
    assert_eq!(config.aggregator.listen.to_string(), "127.0.0.1:7600");
    assert!(config.nodes.is_empty());
}

#[test]
fn a_stronger_layer_wins_key_by_key() {
    let user = "default_topology = 'user'\n[aggregator]\nlisten = '127.0.0.1:1'\n[http]\nlisten = '127.0.0.1:2'";
    let own = "[http]\nlisten = '127.0.0.1:3'\n[aggregator]\nnodes = ['http://a:1']";
    let variables = [("SYNOD__AGGREGATOR__NODES", "http://b:1,http://c:2"), ("SYNOD_HOME", "/x")];
    let config = load(&[user, own], &variables).unwrap();
    assert_eq!(config.default_topology, "user");
    assert_eq!(config.aggregator.listen.port(), 1);
    assert_eq!(config.http.listen.unwrap().port(), 3);
    assert_eq!(config.aggregator.nodes, ["http://b:1", "http://c:2"]);
}

#[test]
fn a_flag_wins_over_everything_and_is_named_in_its_mistake() {
    let variables = vec![("SYNOD__AGGREGATOR__LISTEN".to_owned(), "127.0.0.1:1".to_owned())];
    let layers = |listen: &str| {
        let layers = Layers { variables: variables.clone(), ..Layers::default() };
        layers.flag("--listen", "aggregator.listen", Some(listen.to_owned())).load()
    };
    assert_eq!(layers("127.0.0.1:2").unwrap().aggregator.listen.port(), 2);
    assert!(layers("nowhere").unwrap_err().to_string().contains("--listen: aggregator.listen: `nowhere`"));
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_lines() {
    let text = r#"
default_topologie = "moa"
[aggregator]
listen = 7600
http.listen = "localhost"
nodes = ["http://a:1", "a:1"]

[[nodes]]
models = ["smolm2-135m-instruct"]
threads = 0
gpu = true

[[nodes]]
device = "tpu"

[models.Mine]
kind = "chatty"
licence = "MIT"
size_bytes = 0
sha256 = "00"
sources = [{ hf = { repo = "a/b" } }]
"#;
    check_mistakes(
        text,
        &[
            "0.toml:2: default_topologie: unknown field",
            "0.toml:4: aggregator.listen: invalid type",
            "0.toml:5: aggregator.http: unknown field",
            "0.toml:6: aggregator.nodes[1]: `a:1` is not",
            "0.toml:9: nodes[0].models[0]: there is no model `smolm2-135m-instruct`; did you mean",
            "0.toml:10: nodes[0].threads: 0 must be between",
            "0.toml:11: nodes[0].gpu: unknown field",
            "0.toml:13: nodes[1].models: a node needs",
            "0.toml:14: nodes[1].device: there is no device `tpu`",
            "0.toml:16: models.Mine: `Mine` cannot be",
            "0.toml:17: models.Mine.kind: unknown variant `chatty`",
            "0.toml:19: models.Mine.size_bytes: must be more than 0",
            "0.toml:20: models.Mine.sha256: `00` is not a sha256",
            "0.toml:21: models.Mine.sources[0].hf: missing field `file`",
        ],
    );
}

#[test]
fn syntax_is_reported_with_its_line() {
    check_mistakes("default_topology = \"moa\"\n[aggregator\nlisten = 1", &["0.toml:2: "]);
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    let variables = [
        ("SYNOD__AGGREGATOR__LISTEN", "here"),
        ("SYNOD__AGGREGATOR__LISSEN", "127.0.0.1:1"),
        ("SYNOD__AGGREGATOR", "x"),
    ];
    let mistakes = load(&[], &variables).unwrap_err();
    assert!(mistakes[0].contains("variable SYNOD__AGGREGATOR: aggregator: "), "{mistakes:?}");
    assert!(mistakes[1].starts_with("environment variable SYNOD__AGGREGATOR__LISSEN: aggregator.lissen: "));
    assert!(mistakes[1].contains("unknown field"), "{mistakes:?}");
    assert!(mistakes[2].contains("SYNOD__AGGREGATOR__LISTEN: aggregator.listen: `here` is not"), "{mistakes:?}");
}

#[test]
fn a_users_model_is_known_to_nodes_and_names_may_hold_dots() {
    let text = format!(
        "[models.'my.model-1.5']\nkind = 'chat'\nlicence = 'MIT'\nsize_bytes = 1\nsha256 = '{}'\n\
         sources = [{{ file = '/x' }}]\n[[nodes]]\nmodels = ['my.model-1.5']",
        "0".repeat(64)
    );
    let config = load(&[&text], &[]).unwrap();
    assert_eq!(config.models[0].name, "my.model-1.5");
    assert_eq!(config.nodes[0].listen.port(), 7610);
}

#[test]
fn a_topology_passes_through_with_the_lines_of_its_keys() {
    let text = "[topologies.t]\ndeadline = '120s'\n[[topologies.t.stages]]\nkind = 'propose'\nquorum = 2\ngrace = 0.5";
    let config = load(&[text], &[]).unwrap();
    let stage = &config.topologies["t"]["stages"][0];
    assert_eq!((stage["quorum"].as_integer(), stage["grace"].as_float()), (Some(2), Some(0.5)));
    let key = KeyPath::of(["topologies", "t"]).join("stages[0].quorum");
    assert!(
        config.origins.mistake(&key, "wrong").to_string().ends_with("0.toml:5: topologies.t.stages[0].quorum: wrong")
    );
}

#[test]
fn two_servers_cannot_share_an_address() {
    check_mistakes(
        "[http]\nlisten = '127.0.0.1:7600'\n[[nodes]]\nmodels = ['gemma-3-270m']\nlisten = '127.0.0.1:7680'\n\
         [[nodes]]\nmodels = ['gemma-3-270m']\nlisten = '127.0.0.1:7600'",
        &["0.toml:2: http.listen: 127.0.0.1:7600 is taken by aggregator.listen", "0.toml:8: nodes[1].listen"],
    );
}

#[test]
fn http_has_a_default_can_be_off_and_says_what_is_wrong() {
    let http = |text: &str| load(&[text], &[]).unwrap().http;
    assert_eq!(http("").listen.map(|listen| listen.to_string()).as_deref(), Some("127.0.0.1:7680"));
    assert!(http("[http]\nlisten = 'off'").listen.is_none());
    check_mistakes(
        "[http]\nlisten = 'localhost'\ncert = 'a.pem'\norigins = ['https://a.org', 'a.org/x']\nbody_mb = 0",
        &[
            "0.toml:1: http.key: is missing",
            "0.toml:2: http.listen: `localhost` is not an address",
            "0.toml:4: http.origins[1]: `a.org/x` is no origin",
            "0.toml:5: http.body_mb: 0 must be between",
        ],
    );
}

#[test]
fn certificates_come_all_together_and_their_names_could_match() {
    check_mistakes(
        "[tls]\ncert = 'a.pem'\nnodes = ['spiffe://example.org/node/*', '10.0.0.1']",
        &[
            "0.toml:1: tls.key: is missing",
            "0.toml:1: tls.ca: is missing",
            "0.toml:3: tls.nodes[1]: `10.0.0.1` is no name",
        ],
    );
    let variables = [("SYNOD__TLS__CERT", "c"), ("SYNOD__TLS__KEY", "k"), ("SYNOD__TLS__CLIENTS", "a.org,*.b.org")];
    let tls = load(&["[tls]\nca = 'ca'"], &variables).unwrap().tls.unwrap();
    assert_eq!((tls.files.cert.to_str(), tls.names.clients.len()), (Some("c"), 2));
}

#[test]
fn a_discovery_says_what_it_needs_and_takes_nothing_else() {
    check_mistakes("[aggregator.discovery]\nkind = 'gossip'", &["0.toml:2: aggregator.discovery.kind: there is no"]);
    check_mistakes(
        "[aggregator.discovery]\nkind = 'dns'\nport = 70000\nservers = ['ns1']\ninterval_s = 0\nprefix = '/x/'",
        &[
            "0.toml:1: aggregator.discovery.name: is missing",
            "0.toml:3: aggregator.discovery.port: must be the port",
            "0.toml:4: aggregator.discovery.servers[0]: `ns1` is not a name server",
            "0.toml:5: aggregator.discovery.interval_s: 0 must be",
            "0.toml:6: aggregator.discovery.prefix: belongs to kind = \"etcd\"",
        ],
    );
    let config = load(&["[aggregator.discovery]\nkind = 'dns'\nname = '_synod._tcp.example.org'"], &[]).unwrap();
    assert!(matches!(config.aggregator.discovery, Discovery::Dns { records: discovery::Records::Services { .. }, .. }));
}

#[cfg(not(feature = "etcd"))]
#[test]
fn what_is_not_built_in_is_said_with_its_line() {
    check_mistakes(
        "[node]\nannounce = 'http://a:1'\nregister = 'etcd://a:1'\n[aggregator.discovery]\nkind = 'etcd'",
        &[
            "0.toml:2: node.announce: `http://a:1` is not where",
            "0.toml:3: node.register: this synod was built without etcd",
            "0.toml:4: aggregator.discovery.endpoints: etcd needs",
            "0.toml:5: aggregator.discovery.kind: this synod was built without etcd",
        ],
    );
}

#[test]
fn records_are_on_and_each_wrong_setting_is_told() {
    let records = load(&[], &[("SYNOD__RECORDS__MAX_AGE_DAYS", "7")]).unwrap().records;
    assert!(records.enabled && records.path.is_none());
    assert_eq!((records.max_age, records.texts), (Duration::from_hours(7 * 24), Texts::Keep));
    assert!(!load(&[], &[("SYNOD__RECORDS__ENABLED", "false")]).unwrap().records.enabled);
    check_mistakes(
        "[records]\nmax_age_days = 0\nmax_mb = -1\npath = ' '\ntexts = 'some'",
        &["records.max_age_days", "records.max_mb", "records.path", "`some` is not `keep`"],
    );
}

#[test]
fn calls_of_apis_are_careful_unless_somebody_says_otherwise() {
    let home = std::path::Path::new("/home");
    let usual = load(&[], &[]).unwrap().apis.executor(home, false);
    assert_eq!(usual.policy, synod_agent_node::apis::execute::Policy::CAREFUL);
    assert!(usual.guard.networks.is_empty() && usual.credentials.is_empty());
    let own = "[apis]\nreversible = 'auto'\nnetworks = ['127.0.0.1:8765']\ntime_s = 5\n\
               [apis.credentials.notes]\nhost = '127.0.0.1:8765'\nkind = 'bearer'\nenv = 'NOTES_TOKEN'";
    let own = load(&[own], &[]).unwrap().apis.executor(home, true);
    assert_eq!((own.limits.time.as_secs(), own.credentials.len(), own.guard.networks.len()), (5, 1, 1));
    assert_eq!(own.policy.irreversible, synod_agent_node::apis::execute::Rule::Confirm);
}

#[test]
fn every_mistake_about_calls_of_apis_is_found() {
    let text = "[apis]\nread = 'maybe'\nhosts = ['https://a.example']\nnetworks = ['localhost:80']\nredirects = 99\n\
                [apis.credentials.a]\nhost = 'a.example/x'\nkind = 'cookie'\nfile = 'x'\n\
                [apis.credentials.b]\nhost = 'b.example'\nkind = 'bearer'\n";
    let expected = [
        "no rule `maybe`",
        "no host",
        "no network",
        "between 0 and 10",
        "one host",
        "kind `cookie`",
        "`file` or with `env`",
    ];
    let mistakes = load(&[text], &[]).unwrap_err();
    for expected in expected {
        assert!(mistakes.iter().any(|mistake| mistake.contains(expected)), "no `{expected}` in {mistakes:#?}");
    }
    assert_eq!(mistakes.len(), 7, "{mistakes:#?}");
}

#[test]
fn telemetry_is_off_until_somebody_says_where_to() {
    let config = load(&[], &[]).unwrap();
    assert!(config.telemetry.endpoint.is_none() && !config.telemetry.texts && config.node.metrics.is_none());
    let variables =
        [("SYNOD__TELEMETRY__ENDPOINT", "http://127.0.0.1:4317"), ("SYNOD__NODE__METRICS", "127.0.0.1:7690")];
    let config = load(&[], &variables).unwrap();
    assert_eq!(config.telemetry.endpoint.as_deref(), Some("http://127.0.0.1:4317"));
    assert_eq!(config.node.metrics.map(|metrics| metrics.port()), Some(7690));
    check_mistakes(
        "[[nodes]]\nmodels = ['gemma-3-270m']\nmetrics = '127.0.0.1:7610'",
        &["0.toml:3: nodes[0].metrics: 127.0.0.1:7610 is taken by nodes[0].listen"],
    );
    check_mistakes(
        "[telemetry]\nendpoint = '127.0.0.1:4317'\n[node]\nmetrics = 'localhost'",
        &[
            "0.toml:2: telemetry.endpoint: `127.0.0.1:4317` is no collector's address",
            "0.toml:4: node.metrics: `localhost` is not an address",
        ],
    );
}
