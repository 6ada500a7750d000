//! What is measured: rows of cells, and the ratios of cells that must reach a goal.

use crate::client::{Task, Way};
use crate::load::Load;
use crate::sides::Side;

/// One thing that is measured.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is called on the command line.
    pub id: &'static str,
    /// What it is.
    pub title: &'static str,
    /// What one operation is, in the plural: `requests`.
    pub unit: &'static str,
    /// What is compared.
    pub cells: Vec<Cell>,
    /// How.
    pub ratios: Vec<Ratio>,
}

/// One load on one side.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What the report calls it.
    pub name: String,
    /// On what.
    pub side: Side,
    /// What is done to it.
    pub load: Load,
}

/// A figure of one cell over the same of another, taken in each round.
#[derive(Clone, Debug)]
pub struct Ratio {
    /// The number of the cell above the line.
    pub of: usize,
    /// The number of the cell below it; without one the figure itself is judged.
    pub to: Option<usize>,
    /// Which figure.
    pub figure: Figure,
    /// What the median must reach, if anything.
    pub goal: Option<Goal>,
}

/// A figure of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Operations per second.
    Rate,
    /// Processor time of the side for one operation.
    Cpu,
    /// The latency that 99 % don't exceed.
    P99,
}

/// What a ratio must reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// The bound.
    pub bound: Bound,
    /// Who set it.
    pub from: From,
}

/// A bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// At least so much.
    Least(f64),
    /// At most so much.
    Most(f64),
}

/// Where a goal comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// What the network is to reach.
    Target,
    /// What the throw-away prototype reached on a quiet host: the least.
    Prototype,
}

impl Goal {
    /// Whether `value` reaches it.
    #[must_use]
    pub fn is_reached(&self, value: f64) -> bool {
        match self.bound {
            Bound::Least(least) => value >= least,
            Bound::Most(most) => value <= most,
        }
    }
}

const KVM: Side = Side::Unik("kvm");
const TCG: Side = Side::Unik("tcg");
const LINUX_KVM: Side = Side::NginxMachine("kvm");
const LINUX_TCG: Side = Side::NginxMachine("tcg");

fn target(bound: Bound) -> Option<Goal> {
    Some(Goal { bound, from: From::Target })
}

fn prototype(least: f64) -> Option<Goal> {
    Some(Goal { bound: Bound::Least(least), from: From::Prototype })
}

/// Every row, in the order in which they are measured.
#[must_use]
pub fn all() -> Vec<Row> {
    let mut rows = vec![
        http(
            "http-1",
            "HTTP, 1 KiB, keep-alive, 1 connection",
            1,
            target(Bound::Least(2.0)),
            prototype(7.1 / 10.4),
            None,
        ),
        http(
            "http-10",
            "HTTP, 1 KiB, keep-alive, 10 connections",
            10,
            target(Bound::Least(1.05)),
            prototype(36.0 / 60.7),
            target(Bound::Least(25.0)),
        ),
        http(
            "http-100",
            "HTTP, 1 KiB, keep-alive, 100 connections",
            100,
            target(Bound::Least(1.6)),
            prototype(65.2 / 64.1),
            target(Bound::Least(25.0)),
        ),
        http("http-1000", "HTTP, 1 KiB, keep-alive, 1,000 connections", 1000, None, None, None),
        connections(),
        latency(
            "latency",
            "HTTP, 1 KiB, at half of each side's highest rate",
            false,
            target(Bound::Most(1.0)),
        ),
        latency("latency-same", "HTTP, 1 KiB, all at half of the slowest side's highest rate", true, None),
    ];
    for (id, title, way, flows, least) in [
        ("bulk-in-1", "TCP into the guest, 1 flow", Way::In, 1, 0.55),
        ("bulk-in-10", "TCP into the guest, 10 flows", Way::In, 10, 0.55),
        ("bulk-out-1", "TCP out of the guest, 1 flow", Way::Out, 1, 1.3),
        ("bulk-out-10", "TCP out of the guest, 10 flows", Way::Out, 10, 1.3),
    ] {
        rows.push(bulk(id, title, way, flows, target(Bound::Least(least))));
    }
    rows.push(reflected(
        "udp-1",
        "UDP echo, 64 B, 1 on its way",
        "datagrams",
        &Load::Client(Task::Datagrams { window: 1 }),
        [prototype(27.5 / 16.3), prototype(7.8 / 16.3)],
    ));
    rows.push(reflected(
        "udp-64",
        "UDP echo, 64 B, 64 on their way",
        "datagrams",
        &Load::Client(Task::Datagrams { window: 64 }),
        [target(Bound::Least(0.5)), prototype(65.9 / 327.0)],
    ));
    rows.push(reflected(
        "ping",
        "ICMP echo, 1 on its way",
        "packets",
        &Load::Client(Task::Ping),
        [None, None],
    ));
    rows.push(idle());
    rows.push(active());
    rows
}

fn cell(side: Side, load: &Load) -> Cell {
    Cell { name: side.to_string(), side, load: load.clone() }
}

fn rate(of: usize, to: usize, goal: Option<Goal>) -> Ratio {
    Ratio { of, to: Some(to), figure: Figure::Rate, goal }
}

fn http(
    id: &'static str,
    title: &'static str,
    connections: usize,
    kvm: Option<Goal>,
    tcg: Option<Goal>,
    tcg_linux: Option<Goal>,
) -> Row {
    let load = Load::Http { connections, close: false };
    let cells = [KVM, TCG, Side::Nginx, LINUX_KVM, LINUX_TCG].map(|side| cell(side, &load)).to_vec();
    let mut ratios = vec![
        rate(0, 2, kvm),
        rate(1, 2, tcg),
        rate(0, 3, None),
        rate(1, 4, tcg_linux),
        Ratio { of: 0, to: Some(2), figure: Figure::P99, goal: None },
    ];
    let cpu_goal = tcg_linux.and(target(Bound::Most(25.0)));
    ratios.push(Ratio { of: 1, to: None, figure: Figure::Cpu, goal: cpu_goal });
    Row { id, title, unit: "requests", cells, ratios }
}

fn connections() -> Row {
    let load = Load::Http { connections: 10, close: true };
    Row {
        id: "connections",
        title: "HTTP, 1 KiB, a new connection for each request, 10 at a time",
        unit: "connections",
        cells: [KVM, TCG, Side::Nginx, LINUX_KVM, LINUX_TCG].map(|side| cell(side, &load)).to_vec(),
        ratios: vec![rate(0, 2, None), rate(1, 2, None), rate(0, 3, None), rate(1, 4, None)],
    }
}

fn latency(id: &'static str, title: &'static str, same: bool, goal: Option<Goal>) -> Row {
    let load = Load::Paced { connections: 64, share: 0.5, of_slowest: same };
    let p99 = |of, goal| Ratio { of, to: Some(2), figure: Figure::P99, goal };
    Row {
        id,
        title,
        unit: "requests",
        cells: [KVM, TCG, Side::Nginx].map(|side| cell(side, &load)).to_vec(),
        ratios: vec![p99(0, goal), p99(1, None)],
    }
}

fn bulk(id: &'static str, title: &'static str, way: Way, flows: usize, goal: Option<Goal>) -> Row {
    let load = Load::Client(Task::Bulk { way, flows });
    let iperf = Load::Iperf { way, flows };
    let cells = vec![
        cell(Side::Bulk("kvm"), &load),
        cell(Side::Bulk("tcg"), &load),
        cell(Side::Iperf, &iperf),
        // The same client as ours has, so that a ratio to it is the servers' alone.
        cell(Side::Process, &load),
    ];
    let ratios = vec![rate(0, 2, goal), rate(1, 2, None), rate(0, 3, None), rate(1, 3, None)];
    Row { id, title, unit: "MB", cells, ratios }
}

fn reflected(
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    load: &Load,
    [kvm, tcg]: [Option<Goal>; 2],
) -> Row {
    Row {
        id,
        title,
        unit,
        cells: [KVM, TCG, Side::Reflector, Side::Process].map(|side| cell(side, load)).to_vec(),
        ratios: vec![rate(0, 2, kvm), rate(1, 2, tcg), rate(3, 2, None)],
    }
}

/// 100 connections at work beside many that are idle.
fn idle() -> Row {
    let beside = [10, 100, 1000, 10_000];
    let mut cells = Vec::new();
    for side in [KVM, TCG, Side::Nginx] {
        for idle in beside {
            cells.push(Cell {
                name: format!("{side}, beside {idle}"),
                side,
                load: Load::Beside { connections: 100, idle },
            });
        }
    }
    let last = beside.len() - 1;
    let mut ratios = Vec::new();
    for (at, goal) in [target(Bound::Least(0.95)), target(Bound::Least(0.95)), None].into_iter().enumerate() {
        let first = at * beside.len();
        ratios.push(rate(first + last, first, goal));
        ratios.push(Ratio { of: first + last, to: Some(first), figure: Figure::Cpu, goal: None });
    }
    Row {
        id: "idle",
        title: "HTTP, 1 KiB, 100 connections beside 10 to 10,000 idle ones",
        unit: "requests",
        cells,
        ratios,
    }
}

/// All connections at work.
fn active() -> Row {
    let mut cells = Vec::new();
    for side in [KVM, TCG, Side::Nginx] {
        for connections in [100, 5000] {
            cells.push(Cell {
                name: format!("{side}, {connections}"),
                side,
                load: Load::Http { connections, close: false },
            });
        }
    }
    let cpu = |first, goal| Ratio { of: first + 1, to: Some(first), figure: Figure::Cpu, goal };
    let ratios = vec![
        cpu(0, target(Bound::Most(2.0))),
        cpu(2, target(Bound::Most(2.0))),
        cpu(4, None),
        rate(1, 0, None),
        rate(3, 2, None),
        rate(5, 4, None),
    ];
    Row {
        id: "active",
        title: "HTTP, 1 KiB, 100 and 5,000 connections at work",
        unit: "requests",
        cells,
        ratios,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_cells_that_there_are() {
        let rows = all();
        for row in &rows {
            assert!(row.ratios.iter().all(|ratio| ratio.of < row.cells.len()), "{}", row.id);
            assert!(
                row.ratios.iter().filter_map(|ratio| ratio.to).all(|to| to < row.cells.len()),
                "{}",
                row.id
            );
        }
        let mut ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), rows.len());
    }

    #[test]
    fn goals_are_reached_at_their_bound() {
        let least = target(Bound::Least(2.0)).expect("a goal");
        assert!(least.is_reached(2.0) && !least.is_reached(1.99) && !least.is_reached(f64::NAN));
        let most = target(Bound::Most(1.0)).expect("a goal");
        assert!(most.is_reached(1.0) && !most.is_reached(1.01) && !most.is_reached(f64::NAN));
    }
}
