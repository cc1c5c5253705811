//! Rules that bind several settings to each other or to this host's CPUs.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::load::Loader;

/// Refuses what does not fit together; each refusal names the keys it is about.
pub(super) fn check(loader: &mut Loader) {
    sizes(loader);
    cpus(loader);
    let settings = &loader.settings;
    for listens in [settings.tcp_listens(), settings.udp_listens()] {
        addresses(loader, &listens);
    }
    redis(loader);
    cluster(loader);
    roomba(loader);
    aggregates(loader);
}

fn sizes(loader: &mut Loader) {
    let horizon = loader.settings.horizon.clone();
    if horizon.buffer_bytes_max < 2 * horizon.frame_bytes_max {
        let message = format!(
            "horizon.buffer_bytes_max ({}) must be at least twice horizon.frame_bytes_max ({})",
            horizon.buffer_bytes_max, horizon.frame_bytes_max
        );
        loader.refuse(
            &["horizon.buffer_bytes_max", "horizon.frame_bytes_max"],
            message,
        );
    }
    if horizon.name_bytes_max > horizon.frame_bytes_max {
        let message = format!(
            "horizon.name_bytes_max ({}) must be at most horizon.frame_bytes_max ({})",
            horizon.name_bytes_max, horizon.frame_bytes_max
        );
        loader.refuse(
            &["horizon.name_bytes_max", "horizon.frame_bytes_max"],
            message,
        );
    }
}

fn cpus(loader: &mut Loader) {
    let cpus = loader.settings.cpus.clone();
    let shards = loader.settings.shards as usize;
    if cpus.is_empty() {
        return;
    }
    if cpus.iter().collect::<BTreeSet<_>>().len() < cpus.len() {
        let message = format!("expected each CPU once, found {cpus:?}");
        return loader.refuse(&["cpus"], message);
    }
    let allowed = crate::host::allowed_cpus();
    if let Some(cpu) = cpus.iter().find(|cpu| !allowed.contains(cpu)) {
        let message = format!("CPU {cpu} is none that this process may use, which are {allowed:?}");
        return loader.refuse(&["cpus"], message);
    }
    if shards != 0 && shards != cpus.len() {
        let message = format!(
            "{} CPUs are named for {shards} shards: name as many, or set shards to 0",
            cpus.len()
        );
        loader.refuse(&["cpus", "shards"], message);
    }
}

fn roomba(loader: &mut Loader) {
    let settings = &loader.settings;
    let (full, mini) = (&settings.redis.namespace, &settings.roomba.mini_namespace);
    if mini.as_ref() == Some(full) {
        let message = format!(
            "{full:?} is redis.namespace too, whose series would be cut to \
             roomba.mini_duration_s: set roomba.mini_namespace to Skyline's MINI_NAMESPACE"
        );
        loader.refuse(&["roomba.mini_namespace", "redis.namespace"], message);
    }
}

fn aggregates(loader: &mut Loader) {
    let aggregates = loader.settings.flux.aggregate.iter();
    let mut both = aggregates.filter(|rule| rule.zero_fill && rule.last_known_value);
    if let Some(rule) = both.next() {
        let message = format!(
            "{:?} has both zero_fill and last_known_value: choose one",
            rule.namespace
        );
        loader.refuse(&["flux.aggregate"], message);
    }
}

fn cluster(loader: &mut Loader) {
    let cluster = &loader.settings.cluster;
    let shards = &cluster.shards;
    if shards.is_empty() {
        return;
    }
    if !shards.is_contiguous() {
        let message = format!(
            "the numbers must be 0 to {} without a gap, the same on all nodes; renumbered: \
             shards = {}",
            shards.nodes().len() - 1,
            shards.renumbered()
        );
        return loader.refuse(&["cluster.shards"], message);
    }
    if shards.number(&cluster.node).is_none() {
        let message = format!(
            "this node, cluster.node {:?}, is none of cluster.shards, which are {}; set \
             cluster.node to one of them, or add it: shards = {}",
            cluster.node,
            shards.nodes().join(", "),
            shards.with(&cluster.node).renumbered()
        );
        return loader.refuse(&["cluster.shards", "cluster.node"], message);
    }
    delivery(loader);
    let self_metrics = &loader.settings.self_metrics;
    if self_metrics.enabled && self_metrics.carbon.is_none() {
        let message =
            "with cluster.shards set, self_metrics.carbon must be set too: taken directly, \
                       metrics that another node owns would be lost"
                .to_owned();
        loader.refuse(&["self_metrics.carbon", "self_metrics.enabled"], message);
    }
}

/// Graphite's relay brings each point to the node that owns it; the data plane of
/// this node would drop what others own.
fn delivery(loader: &mut Loader) {
    let settings = &loader.settings;
    if settings.graphite.carbon_pickle.is_some() {
        return;
    }
    let (mut who, mut mend) = (Vec::new(), Vec::new());
    if !settings.flux.listen.is_empty() {
        who.push("flux.listen");
        mend.push("flux.listen = []");
    }
    if settings.vista.enabled && !settings.vista.fetch.is_empty() {
        who.push("vista.fetch");
        mend.push("vista.enabled = false");
    }
    if who.is_empty() {
        return;
    }
    let message = format!(
        "with shards, graphite.carbon_pickle must be set too for {}: taken directly, points \
         of metrics that another node owns would be lost; set it to the carbon that relays to \
         all nodes, or {}",
        who.join(" and "),
        mend.join(" and ")
    );
    let mut keys = vec!["cluster.shards", "graphite.carbon_pickle"];
    keys.extend(who);
    loader.refuse(&keys, message);
}

fn addresses(loader: &mut Loader, listens: &[(&str, SocketAddr)]) {
    for (index, (key, addr)) in listens.iter().enumerate() {
        let before = listens[..index]
            .iter()
            .find(|(_, other)| overlap(*addr, *other));
        if let Some((other_key, other)) = before {
            let message = format!("{key} {addr} clashes with {other_key} {other}");
            return loader.refuse(&[key, other_key], message);
        }
    }
}

/// Whether two addresses cannot both be listened on. `[::]` takes IPv4 in as well.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |a: SocketAddr, b: SocketAddr| {
        a.ip().is_unspecified() && (a.is_ipv6() || b.is_ipv4()) || a.ip() == b.ip()
    };
    a.port() != 0 && a.port() == b.port() && (covers(a, b) || covers(b, a))
}

fn redis(loader: &mut Loader) {
    let redis = &loader.settings.redis;
    let Some(url) = &redis.url else {
        if redis.password_file.is_some() {
            let message = "a password without redis.url: the private Redis has none".to_owned();
            loader.refuse(&["redis.password_file", "redis.url"], message);
        }
        return;
    };
    if url.user.is_some() && url.password.is_none() && redis.password_file.is_none() {
        let message = "a user without a password: set redis.password_file".to_owned();
        loader.refuse(&["redis.url", "redis.password_file"], message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;

    fn error(sets: &[&str]) -> String {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        Settings::load(None, &sets).map_or_else(|error| error.to_string(), |_| "none".to_owned())
    }

    // Frames share the buffer, and one full frame's room is always kept: a buffer
    // too small for both would stop every connection for good.
    #[test]
    fn a_buffer_smaller_than_two_frames_is_refused() {
        assert_eq!(
            error(&[
                "horizon.buffer_bytes_max=2097151",
                "horizon.frame_bytes_max=1048576"
            ]),
            "--set horizon.buffer_bytes_max: horizon.buffer_bytes_max (2097151) must be at least \
             twice horizon.frame_bytes_max (1048576)"
        );
        assert_eq!(
            error(&["horizon.frame_bytes_max=1073741824"]),
            "--set horizon.frame_bytes_max: horizon.buffer_bytes_max (268435456) must be at \
             least twice horizon.frame_bytes_max (1073741824)"
        );
        let fits = [
            "horizon.buffer_bytes_max=2097152",
            "horizon.frame_bytes_max=1048576",
        ];
        assert_eq!(error(&fits), "none");
    }

    #[test]
    fn a_name_longer_than_a_frame_is_refused() {
        let error = error(&[
            "horizon.frame_bytes_max=1024",
            "horizon.name_bytes_max=1025",
        ]);
        assert!(
            error.starts_with("--set horizon.name_bytes_max: "),
            "{error}"
        );
    }

    // The value of a key at fault is its default, about which nobody asked.
    #[test]
    fn a_key_already_at_fault_is_not_judged_again() {
        let error = error(&[
            "horizon.frame_bytes_max=x",
            "horizon.buffer_bytes_max=1048576",
        ]);
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    #[test]
    fn cpus_must_be_allowed_unique_and_as_many_as_shards() {
        let cpu = crate::host::allowed_cpus()[0];
        assert_eq!(error(&[&format!("cpus=[{cpu}]")]), "none");
        assert_eq!(error(&[&format!("cpus=[{cpu}]"), "shards=1"]), "none");
        assert_eq!(
            error(&[&format!("cpus=[{cpu}]"), "shards=2"]),
            "--set cpus: 1 CPUs are named for 2 shards: name as many, or set shards to 0"
        );
        let twice = error(&[&format!("cpus=[{cpu},{cpu}]")]);
        assert!(
            twice.starts_with("--set cpus: expected each CPU once"),
            "{twice}"
        );
        let foreign = error(&["cpus=[1023]"]);
        assert!(
            foreign.starts_with("--set cpus: CPU 1023 is none that this"),
            "{foreign}"
        );
    }

    #[test]
    fn addresses_that_clash_are_refused_and_any_port_clashes_with_none() {
        assert_eq!(
            error(&["horizon.pickle=['127.0.0.1:2080']"]),
            "--set horizon.pickle: admin.listen 127.0.0.1:2080 clashes with horizon.pickle \
             127.0.0.1:2080"
        );
        let wildcard = error(&["horizon.pickle=['0.0.0.0:1', '10.0.0.1:1']"]);
        assert!(
            wildcard.contains("10.0.0.1:1 clashes with horizon.pickle 0.0.0.0:1"),
            "{wildcard}"
        );
        let both = error(&["horizon.pickle=['127.0.0.1:1', '[::]:1']"]);
        assert!(
            both.contains("[::]:1 clashes with horizon.pickle 127.0.0.1:1"),
            "{both}"
        );
        assert_eq!(
            error(&["horizon.pickle=['127.0.0.1:1', '[::1]:1']"]),
            "none"
        );
        assert_eq!(
            error(&["horizon.pickle=['127.0.0.1:0', '127.0.0.1:0', '[::]:1']"]),
            "none"
        );
    }

    // One address of each kind may have the same number, since the protocols differ.
    #[test]
    fn udp_addresses_clash_only_with_each_other() {
        let same = [
            "horizon.pickle=['127.0.0.1:1']",
            "horizon.msgpack=['127.0.0.1:1']",
        ];
        assert_eq!(error(&same), "none");
        let error = error(&["horizon.line_udp=['127.0.0.1:2025']"]);
        assert!(
            error.contains("horizon.line_udp 127.0.0.1:2025 clashes with horizon.msgpack"),
            "{error}"
        );
    }

    // Every series would lose all but its last hour.
    #[test]
    fn the_mini_namespace_must_not_be_the_full_one() {
        let error = error(&["roomba.mini_namespace=metrics."]);
        assert!(error.contains("is redis.namespace too"), "{error}");
    }

    // With a gap in the numbers a share of the metrics would belong to nobody.
    #[test]
    fn cluster_shards_need_every_number_and_this_node() {
        let node = "cluster.node=b";
        let none = "flux.listen=[]";
        let good = "cluster.shards={ a = 0, b = 1 }";
        assert_eq!(error(&[node, good, none]), "none");
        assert_eq!(
            error(&[node, "cluster.shards={ a = 0, b = 2 }"]),
            "--set cluster.shards: the numbers must be 0 to 1 without a gap, the same on all \
             nodes; renumbered: shards = { \"a\" = 0, \"b\" = 1 }"
        );
        let twice = error(&[node, "cluster.shards={ a = 1, b = 1 }"]);
        assert!(twice.contains("{ \"a\" = 0, \"b\" = 1 }"), "{twice}");
        let missing = error(&["cluster.node=c", "cluster.shards={ a = 0, b = 1 }"]);
        assert!(
            missing.contains("cluster.node \"c\", is none of cluster.shards")
                && missing.contains("{ \"a\" = 0, \"b\" = 1, \"c\" = 2 }"),
            "{missing}"
        );
    }

    // What Flux takes directly, the data plane drops if another node owns it.
    #[test]
    fn with_shards_flux_and_vista_need_carbon() {
        let cluster = ["cluster.node=b", "cluster.shards={ a = 0, b = 1 }"];
        let error = |sets: &[&str]| error(&[&cluster[..], sets].concat());
        let found = error(&[]);
        assert!(
            found.starts_with("--set cluster.shards: with shards, graphite.carbon_pickle must")
                && found.ends_with("or flux.listen = []"),
            "{found}"
        );
        let fetch = "vista.fetch=[{ remote_host = 'http://x', remote_host_type = 'graphite', \
                     remote_target = 'a' }]";
        let found = error(&["flux.listen=[]", fetch]);
        assert!(found.contains("too for vista.fetch: "), "{found}");
        let both = error(&[fetch]);
        assert!(both.contains("for flux.listen and vista.fetch: "), "{both}");
        assert_eq!(
            error(&[fetch, "graphite.carbon_pickle=graphite:2004"]),
            "none"
        );
        assert_eq!(
            error(&[fetch, "flux.listen=[]", "vista.enabled=false"]),
            "none"
        );
    }

    #[test]
    fn an_aggregate_fills_in_one_way() {
        let rule = |more: &str| error(&[&format!("flux.aggregate=[{{ namespace = 'a'{more} }}]")]);
        assert_eq!(rule(", zero_fill = true"), "none");
        let both = rule(", zero_fill = true, last_known_value = true");
        assert!(both.contains("\"a\" has both zero_fill"), "{both}");
        for bad in ["[]", "['avg', 'avg']", "['last']", "'avg'"] {
            let found = rule(&format!(", method = {bad}"));
            assert!(
                found.contains("expected a list of one or more of"),
                "{bad}: {found}"
            );
        }
    }

    #[test]
    fn a_user_needs_a_password_and_a_password_a_url() {
        let user = error(&["redis.url=redis://me@host"]);
        assert_eq!(
            user,
            "--set redis.url: a user without a password: set redis.password_file"
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "x").unwrap();
        let file = format!("redis.password_file={}", file.display());
        assert_eq!(error(&["redis.url=redis://me@host", &file]), "none");
        assert!(error(&[&file]).starts_with("--set redis.password_file: "));
    }
}
