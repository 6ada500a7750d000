//! What later stages ask of a plan.

mod common;

use std::path::Path;

use unik_dsl::plan::Origin;
use unik_dsl::{Plan, Request, analyse};

fn plan(text: &str) -> Plan {
    let text = format!("unik 1\nappliance a {{\n{text}\n}}\n");
    let analysis = analyse(&Request::new(Path::new("a.unik"), Some(text)), &common::catalogue());
    assert_eq!(analysis.diagnostics, []);
    analysis.plan.unwrap()
}

const TWO: &str = "device nic = virtio-net
    /// The office.
    /// Wired.
    network lan = ip on nic { ipv4 dhcp }
    service one = echo on lan
    service two = dns-server on lan";

#[test]
fn why_a_part_is_there() {
    let plan = plan(TWO);
    let ways = |id: &str| -> Vec<Vec<String>> {
        let node = plan.node(id).unwrap();
        plan.paths_to(node, 10)
            .into_iter()
            .map(|way| {
                way.into_iter()
                    .map(|edge| {
                        let (from, to) = plan.graph.edge_endpoints(edge).unwrap();
                        format!(
                            "{} → {}: {}",
                            plan.graph[from].id, plan.graph[to].id, plan.graph[edge].reason
                        )
                    })
                    .collect()
            })
            .collect()
    };
    assert_eq!(ways("rdrand"), [["lan → rdrand: for sequence numbers that can't be guessed"]]);
    assert_eq!(ways("lan/tcp"), [["one → lan/tcp: `one` uses Tcp"]]);
    let udp = ways("lan/udp");
    assert_eq!(udp.len(), 3);
    assert!(udp.contains(&vec![
        "lan → lan/dhcp: `ipv4 dhcp`".into(),
        "lan/dhcp → lan/udp: `dhcp` can't do without `udp`".into()
    ]));
    assert!(ways("one").is_empty());
    assert_eq!(plan.node("nothing"), None);
}

#[test]
fn features_arguments_and_docs() {
    let plan = plan(TWO);
    let lan = plan.node("lan").unwrap();
    assert_eq!(plan.features(lan).into_iter().collect::<Vec<_>>(), ["dhcp", "tcp", "udp"]);
    let arguments: Vec<&str> =
        plan.arguments(lan).into_iter().map(|node| plan.graph[node].id.as_str()).collect();
    assert_eq!(arguments, ["nic", "rdrand"]);
    assert_eq!(plan.graph[lan].doc, "The office.\nWired.");
    assert!(matches!(plan.graph[lan].origin, Origin::Declared(_)));
    let order: Vec<&str> = plan.instances().map(|(_, node)| node.id.as_str()).collect();
    assert_eq!(order, ["nic", "rdrand", "lan", "one", "two"]);
    let listens: Vec<(u16, &str)> =
        plan.graph[lan].listens.iter().map(|l| (l.port, l.service.as_str())).collect();
    assert_eq!(listens, [(7, "one"), (7, "one"), (53, "two")]);
}

#[test]
fn an_implied_instance_takes_a_free_name() {
    let plan =
        plan("device nic = virtio-net\nnetwork rdrand = ip on nic { ipv4 dhcp }\nservice s = echo on rdrand");
    assert!(plan.node("rdrand-2").is_some());
}

#[test]
fn one_provider_serves_all_that_need_it() {
    let plan = plan(
        "device a = virtio-net; device b = virtio-net; network x = ip on a { ipv4 dhcp }; network y = ip on b { ipv4 dhcp }
         service s = echo on x; service t = echo on y",
    );
    let givers = plan.graph.node_weights().filter(|node| node.component.name == "rdrand").count();
    assert_eq!(givers, 1);
}

#[test]
fn same_text_same_plan() {
    let show = || {
        let catalogue = common::catalogue();
        let text =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/right/rng/case.unik"))
                .unwrap();
        let analysis = analyse(&Request::new(Path::new("a.unik"), Some(text)), &catalogue);
        common::show(&analysis.plan.unwrap(), &analysis.sources)
    };
    assert_eq!(show(), show());
}

/// What a host half found is shown where it is, also inside of a file that it read.
#[test]
fn findings_of_a_component() {
    use unik_catalogue::host::{At, Finding};
    use unik_dsl::diagnostic::{Severity, codes, from_findings};

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/right/web/files/index.html");
    let text = "unik 1\nappliance a {\n    service s = say { line \"x\" }\n}\n";
    let mut analysis = analyse(&Request::new(Path::new("a.unik"), Some(text.into())), &common::catalogue());
    let plan = analysis.plan.unwrap();
    let node = &plan.graph[plan.node("s").unwrap()];
    let finding = |at: At, severity| Finding {
        at,
        severity,
        message: "that won't do".into(),
        help: Some("do otherwise".into()),
    };
    let found = [
        finding(At::Instance, Severity::Error),
        finding(At::File { path: file.clone(), start: 0, end: 3 }, Severity::Warning),
    ];
    let found = from_findings(&found, node, &plan, &mut analysis.sources);
    assert!(found.iter().all(|it| it.code == codes::COMPONENT_FINDING && it.helps == ["do otherwise"]));
    assert_eq!(analysis.sources.short(found[0].primary.place), "a.unik:3");
    assert_eq!(analysis.sources.short(found[1].primary.place), format!("{}:1", file.display()));
    assert_eq!(analysis.sources.short(found[1].secondary[0].place), "a.unik:3");
    assert!(found[0].is_error() && !found[1].is_error());
}
