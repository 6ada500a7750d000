//! A catalogue of the tests' own, so that golden files don't change with the components of
//! this repository; and the way from a file to a plan.

use std::collections::BTreeMap;
use std::path::Path;

use unik_catalogue::host::{Baked, Finding, HostHalf, Input, Offer};
use unik_catalogue::{Component, Target, Value};
use unik_codegen::{BakedSet, HostHalves, prepare};
use unik_dsl::{Catalogue, Plan, Request, SourceMap, analyse, diagnostic};

const COMPONENTS: [(&str, &str); 8] = [
    (
        "runtime",
        r#"
        package.name = "unik"
        [package.metadata.unik]
        name = "appliance"
        kind = "appliance"
        summary = "Settings"
        [package.metadata.unik.options]
        memory = { doc = "Memory", usage = "<size: size>", default = "16 MiB" }
        cpu = { doc = "Processor", usage = "<level: x86-64-v2|x86-64-v3>", default = "x86-64-v2" }
        target = { doc = "Target", usage = "<target: machine|process>", default = "machine" }
        log = { doc = "Log", usage = "level <level: off|error|warn|info|debug|trace>", default = "level info" }
    "#,
    ),
    (
        "device-lib/console",
        r#"
        package.name = "unik-console"
        [package.metadata.unik]
        name = "console"
        kind = "device"
        summary = "Console"
        start = "unik_console::start"
        implied = 10
        provides = ["Console"]
    "#,
    ),
    (
        "device-lib/nic",
        r#"
        package.name = "unik-nic"
        [package.metadata.unik]
        name = "nic"
        kind = "device"
        summary = "Network card"
        start = "unik_nic::start"
        targets = ["machine"]
        provides = ["Frames"]
        [package.metadata.unik.options]
        queue-size = { doc = "Queue", usage = "<size: integer 1..=256>", default = "256" }
        mac = { doc = "Address", usage = "<mac: mac>" }
    "#,
    ),
    (
        "device-lib/net",
        r#"
        package.name = "unik-net"
        [package.metadata.unik]
        name = "net"
        kind = "network"
        summary = "Network"
        start = "unik_net::start"
        targets = ["machine"]
        listeners = true
        wires = [{ name = "link", interfaces = ["Frames"], doc = "the card" }]
        [package.metadata.unik.options.ipv4]
        doc = "Address"
        required = true
        at-boot = true
        forms = [
            { name = "dhcp", usage = "dhcp", parts = ["dhcp"] },
            { name = "static", usage = "<address: cidr4> [gateway <gateway: ipv4>]", constraints = [
                { host = "address" },
                { unicast = "gateway" },
                { within = { value = "gateway", of = "address" } },
                { differ = ["gateway", "address"] },
                { apart = "address" },
            ] },
        ]
        [package.metadata.unik.parts]
        dhcp = { summary = "DHCP", features = ["dhcp"], with = ["udp"] }
        udp = { summary = "UDP", provides = ["Udp"], features = ["udp"] }
        tcp = { summary = "TCP", provides = ["Tcp"], features = ["tcp"] }
    "#,
    ),
    (
        "device-lib/host-net",
        r#"
        package.name = "unik-host-net"
        [package.metadata.unik]
        name = "host-net"
        kind = "network"
        summary = "Sockets"
        start = "unik_host_net::start"
        targets = ["process"]
        stands-in-for = "net"
        listeners = true
        provides = ["Tcp", "Udp"]
        arguments = [{ name = "publish", usage = "HOST:PORT", doc = "where a port is" }]
    "#,
    ),
    (
        "device-lib/files",
        r#"
        package.name = "unik-files"
        [package.metadata.unik]
        name = "files"
        kind = "storage"
        summary = "Files"
        start = "unik_files::start"
        host = "unik_files_host::Files"
        provides = ["Files"]
        options.from = { doc = "File", usage = "<file: path>", required = true }
    "#,
    ),
    (
        "device-lib/web",
        r#"
        package.name = "unik-web"
        [package.metadata.unik]
        name = "web"
        kind = "service"
        summary = "Web"
        start = "unik_web::start"
        host = "unik_web_host::Web"
        wires = [{ name = "net", interfaces = ["Tcp"], doc = "the network" }]
        needs = [{ interface = "Console", reason = "for its log" }]
        [package.metadata.unik.options]
        port = { doc = "Port", usage = "<port: port>", default = "80", constraints = [{ listens = { protocol = "tcp", port = "port", wire = "net" } }] }
        files = { doc = "Files", usage = "from <storage: instance Files>" }
        route = { doc = "Route", usage = "<path: string> <handler: handler>", repeats = true }
    "#,
    ),
    (
        "device-lib/mail",
        r#"
        package.name = "unik-mail"
        [package.metadata.unik]
        name = "mail"
        kind = "service"
        summary = "Mail"
        start = "unik_mail::start"
        [package.metadata.unik.options]
        key = { doc = "Key", usage = "<key: string>", secret = true }
        pass = { doc = "Password", usage = "<pass: string>", secret = true, at-boot = true }
        relay = { doc = "Relays", usage = "<relay: ip>...", at-boot = true, constraints = [{ unicast = "relay" }] }
        how = { doc = "How", usage = "<how: plain|tls|either>", at-boot = true, default = "plain" }
        limit = { doc = "Limits", usage = "<size: size 1 KiB..=1 GiB> [wait <time: duration>]", at-boot = true }
        ports = { doc = "Ports", usage = "<ports: list port>", at-boot = true }
    "#,
    ),
];

/// The catalogue.
pub fn catalogue() -> Catalogue {
    let read = |(folder, text): &(&str, &str)| {
        Component::from_manifest(text, &Path::new(folder).join("Cargo.toml")).expect("a good table")
    };
    Catalogue::from_components(COMPONENTS.iter().map(read).collect())
}

/// The host halves of the catalogue.
pub fn halves() -> HostHalves {
    HostHalves::new(vec![Box::new(Files), Box::new(Web)])
}

struct Files;

impl HostHalf for Files {
    fn component(&self) -> &'static str {
        "files"
    }

    fn bake(&self, input: &Input) -> Result<Baked, Vec<Finding>> {
        let entry = &input.options["from"][0];
        let Some(Value::Path { resolved, written }) = entry.value("file") else {
            unreachable!("the schema says so")
        };
        let bytes = input.read(resolved).map_err(|error| {
            vec![Finding::error(entry.place, format!("can't read `{written}`: {error}")).help("write it")]
        })?;
        Ok(Baked {
            items: "static FILE: &[u8] = include_bytes!(\"0.bin\");".into(),
            value: "FILE".into(),
            blobs: BTreeMap::from([("0.bin".into(), bytes.clone())]),
            offer: Offer { files: Some(BTreeMap::from([(written.clone(), bytes)])) },
            ..Baked::default()
        })
    }
}

struct Web;

impl HostHalf for Web {
    fn component(&self) -> &'static str {
        "web"
    }

    fn check(&self, input: &Input) -> Vec<Finding> {
        let routes = input.options.get("route").into_iter().flatten();
        routes
            .filter(
                |route| matches!(route.value("path"), Some(Value::String(path)) if !path.starts_with('/')),
            )
            .map(|route| Finding::error(route.place, "a route begins with `/`"))
            .collect()
    }

    fn bake(&self, input: &Input) -> Result<Baked, Vec<Finding>> {
        let sizes: Vec<usize> = input
            .offers
            .values()
            .flat_map(|offer| offer.files.iter().flatten())
            .map(|(_, bytes)| bytes.len())
            .collect();
        let handlers = input.options.get("route").into_iter().flatten().filter_map(|route| {
            match route.value("handler") {
                Some(Value::Handler(path)) => Some(format!("crate::{path}::answer();")),
                _ => None,
            }
        });
        Ok(Baked {
            items: format!(
                "static SIZES: &[usize] = &{sizes:?}; fn answer() {{ {} }}",
                handlers.collect::<String>()
            ),
            value: "(SIZES, answer)".into(),
            features: ["files".to_string()].into_iter().filter(|_| !sizes.is_empty()).collect(),
            ..Baked::default()
        })
    }
}

// Not every test needs all of it.
#[allow(dead_code)]
/// A plan with all that goes with it.
pub struct Planned {
    pub plan: Plan,
    pub baked: BakedSet,
    pub sources: SourceMap,
}

/// Plans `file` for `target`; the text of its diagnostics when there are errors.
pub fn plan(file: &Path, target: Target) -> Result<Planned, String> {
    let mut request = Request::new(file, None);
    request.target = Some(target);
    let mut analysis = analyse(&request, &catalogue());
    let shown = |found: &[diagnostic::Diagnostic], sources| diagnostic::render_all(found, sources, false);
    let Some(plan) = analysis.plan else { return Err(shown(&analysis.diagnostics, &analysis.sources)) };
    let (baked, found) = prepare(&plan, &halves(), &mut analysis.sources);
    if found.iter().any(diagnostic::Diagnostic::is_error) {
        return Err(shown(&found, &analysis.sources));
    }
    Ok(Planned { plan, baked, sources: analysis.sources })
}
