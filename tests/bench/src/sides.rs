//! The sides of a comparison. Each is started in a network of its own, and is reached at
//! the same address from the client's namespace.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use unik_tests::machine::{Machine, accelerators};
use unik_tests::namespace::Namespace;
use unik_tests::running::Running;
use unik_tests::{build, cache, root, unikgen};

use crate::debian::{Debian, nginx_conf};

/// Where every side is.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// How long a side may take to answer. Linux under TCG boots for seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long Linux may take under KVM, which needs less than two seconds where it works at
/// all: where KVM is itself nested in software it doesn't.
const LINUX_ON_KVM: Duration = Duration::from_secs(20);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The appliance `bench.unik` in a microvm on a TAP device, under this accelerator.
    Unik(&'static str),
    /// The same of `bulk.unik`, whose buffers are those for bulk data.
    Bulk(&'static str),
    /// nginx as a process, over a veth.
    Nginx,
    /// nginx in a Linux machine on a TAP device, under this accelerator.
    NginxMachine(&'static str),
    /// The reflector on a TAP device: the physical limit of the path.
    Reflector,
    /// Our own server as a process, over a veth.
    Process,
    /// iperf3 as a process, over a veth.
    Iperf,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Side::Unik(accel) | Side::Bulk(accel) => write!(f, "unik, {}", upper(accel)),
            Side::Nginx => f.write_str("nginx, veth"),
            Side::NginxMachine(accel) => write!(f, "nginx, Linux on {}", upper(accel)),
            Side::Reflector => f.write_str("reflector, TAP"),
            Side::Process => f.write_str("Linux process, veth"),
            Side::Iperf => f.write_str("iperf3, veth"),
        }
    }
}

fn upper(accel: &str) -> String {
    accel.to_uppercase()
}

impl Side {
    /// Why it can't be started here, if so.
    #[must_use]
    pub fn missing(&self) -> Option<&'static str> {
        match self {
            Side::Unik(accel) | Side::Bulk(accel) | Side::NginxMachine(accel)
                if !accelerators().contains(accel) =>
            {
                Some("no KVM here")
            }
            _ => None,
        }
    }

    fn patience(self) -> Duration {
        if self == Side::NginxMachine("kvm") { LINUX_ON_KVM } else { PATIENCE }
    }

    fn serves_http(self) -> bool {
        matches!(self, Side::Unik(_) | Side::Nginx | Side::NginxMachine(_))
    }
}

/// A side that runs; it ends when dropped.
pub struct Started {
    // Before its network, which ends what is in it.
    running: Running,
    client: Namespace,
    _server: Option<Namespace>,
    _folder: Option<tempfile::TempDir>,
}

impl Started {
    /// Starts `side`, and waits until it answers.
    ///
    /// # Errors
    /// When it doesn't; with what it said.
    pub fn start(side: Side) -> io::Result<Started> {
        // What didn't come up once is not waited for again, row after row.
        static DEAD: Mutex<Vec<(Side, String)>> = Mutex::new(Vec::new());
        let mut dead = DEAD.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, why)) = dead.iter().find(|(other, _)| *other == side) {
            return Err(io::Error::other(why.clone()));
        }
        let started = Started::start_now(side);
        if let (Side::NginxMachine(_), Err(error)) = (side, &started) {
            dead.push((side, error.to_string()));
        }
        started
    }

    fn start_now(side: Side) -> io::Result<Started> {
        let started = match side {
            Side::Unik(accel) => unik(accel, &image())?,
            Side::Bulk(accel) => unik(accel, &bulk_image())?,
            Side::Nginx => nginx()?,
            Side::NginxMachine(accel) => nginx_machine(accel)?,
            Side::Reflector => on_tap(|namespace| {
                let mut command = namespace.command(own_program()?);
                command.args(["reflect", "tap0"]);
                Ok(command)
            })?,
            Side::Process => on_veth(None, |namespace| {
                let mut command = namespace.command(own_program()?);
                command.arg("serve");
                Ok(command)
            })?,
            Side::Iperf => on_veth(None, |namespace| {
                let mut command = namespace.command("iperf3");
                command.args(["-s", "--forceflush"]);
                Ok(command)
            })?,
        };
        started.wait(side)?;
        Ok(started)
    }

    /// Where the clients run.
    #[must_use]
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// The processor time that it used: of a virtual machine, the monitor and all in it.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        crate::process::cpu_time(self.running.id())
    }

    /// Whether it still runs, and what it said if it doesn't.
    ///
    /// # Errors
    /// When it has ended.
    pub fn check(&mut self) -> io::Result<()> {
        if self.running.is_running() {
            return Ok(());
        }
        Err(io::Error::other(format!("it ended\nit said:\n{}", last_lines(&self.running.printed()))))
    }

    fn wait(&self, side: Side) -> io::Result<()> {
        let word = match side {
            Side::Unik(_) | Side::Bulk(_) | Side::Reflector | Side::Process => "ready",
            Side::NginxMachine(_) => "the services are started",
            Side::Iperf => "Server listening",
            Side::Nginx => "",
        };
        let patience = side.patience();
        let limit = Instant::now() + patience;
        let patient = |what: &str| {
            if Instant::now() < limit {
                std::thread::sleep(Duration::from_millis(20));
                return Ok(());
            }
            let said = last_lines(&self.running.printed());
            Err(io::Error::other(format!("{what} in {} s\nit said:\n{said}", patience.as_secs())))
        };
        while !self.running.printed().contains(word) {
            patient(&format!("wasn't up (`{word}`)"))?;
        }
        while side.serves_http() && !self.answers()? {
            patient("didn't answer HTTP")?;
        }
        Ok(())
    }

    fn answers(&self) -> io::Result<bool> {
        let url = format!("http://{ADDRESS}/");
        let output =
            self.client.command("curl").args(["-s", "-o", "/dev/null", "--max-time", "1", &url]).output()?;
        Ok(output.status.success())
    }
}

/// This program, which is its own clients and servers.
///
/// # Errors
/// When the host doesn't say where it is.
pub fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// The address of `port` on every side.
#[must_use]
pub fn at(port: u16) -> SocketAddr {
    SocketAddr::from((ADDRESS, port))
}

/// The image that is measured.
#[must_use]
pub fn image() -> PathBuf {
    build(&root().join("tests/bench/bench.unik"), &[])
}

/// The image that is measured with bulk data.
#[must_use]
pub fn bulk_image() -> PathBuf {
    build(&root().join("tests/bench/bulk.unik"), &[])
}

fn page() -> PathBuf {
    root().join("tests/bench/site")
}

fn unik(accel: &'static str, image: &Path) -> io::Result<Started> {
    // An exit from the machine is what KVM costs, and a bell is one. On PCI ring 3 rings it by
    // itself; on virtio-mmio the gate does it.
    let kind = if accel == "kvm" { "microvm-pcie" } else { "microvm" };
    let machine = Machine { accel: Some(accel), kind };
    on_tap(|namespace| {
        let mut command = namespace.command(unikgen());
        command.env("UNIK_CACHE", cache()).env("NO_COLOR", "1");
        command.arg("run").arg(image).args(machine.arguments()).args(["--tap", "tap0"]);
        Ok(command)
    })
}

fn nginx() -> io::Result<Started> {
    let debian = Debian::fetch()?;
    let folder = tempfile::tempdir()?;
    let conf = folder.path().join("nginx.conf");
    std::fs::write(&conf, nginx_conf(folder.path(), &page()))?;
    on_veth(Some(folder), |namespace| {
        let mut command = namespace.command(debian.nginx());
        command.args(["-e", "stderr", "-c"]).arg(conf);
        Ok(command)
    })
}

fn nginx_machine(accel: &str) -> io::Result<Started> {
    let debian = Debian::fetch()?;
    let first_root = debian.first_root(&std::fs::read(page().join("index.html"))?)?;
    let kernel = debian.kernel()?;
    on_tap(|namespace| {
        let cpu = if accel == "kvm" { "max,-arch-capabilities" } else { "max" };
        let mut command = namespace.command("qemu-system-x86_64");
        command.args(["-accel", accel, "-cpu", cpu]);
        // Linux finds virtio-mmio by ACPI: Debian's kernel doesn't read it off its command line.
        command.args(["-M", "microvm,rtc=on,acpi=on", "-m", "512"]);
        command.args(["-global", "virtio-mmio.force-legacy=false", "-nodefaults", "-no-user-config"]);
        command.args(["-display", "none", "-serial", "stdio", "-no-reboot"]);
        command.args(["-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no"]);
        command.args(["-device", "virtio-net-device,netdev=n0,mac=52:54:00:00:00:01"]);
        // A microvm with ACPI has no timer that Linux could hold the time stamp counter
        // against; TCG's is the host's own.
        let rate = tsc_khz().map(|khz| format!(" tsc_early_khz={khz}")).unwrap_or_default();
        command.args(["-append", &format!("console=ttyS0 quiet reboot=t panic=-1{rate}"), "-kernel"]);
        command.arg(&kernel).arg("-initrd").arg(&first_root);
        Ok(command)
    })
}

/// The rate of the host's time stamp counter, as near as the host tells it.
fn tsc_khz() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let mhz = text.lines().find_map(|line| line.strip_prefix("cpu MHz")?.split_once(": "))?.1;
    mhz.trim().parse::<f64>().ok().map(|mhz| (mhz * 1000.0) as u64)
}

fn on_tap(command: impl FnOnce(&Namespace) -> io::Result<Command>) -> io::Result<Started> {
    let client = Namespace::new();
    prepare(&client)?;
    let running = Running::spawn(command(&client)?);
    Ok(Started { running, client, _server: None, _folder: None })
}

fn on_veth(
    folder: Option<tempfile::TempDir>,
    command: impl FnOnce(&Namespace) -> io::Result<Command>,
) -> io::Result<Started> {
    let (client, server) = Namespace::pair();
    prepare(&client)?;
    prepare(&server)?;
    let running = Running::spawn(command(&server)?);
    Ok(Started { running, client, _server: Some(server), _folder: folder })
}

/// What tens of thousands of connections need of a namespace.
fn prepare(namespace: &Namespace) -> io::Result<()> {
    let script = "cd /proc/sys/net && echo 1024 65000 > ipv4/ip_local_port_range && \
                  echo 1 > ipv4/tcp_tw_reuse && echo 65535 > core/somaxconn && echo 65535 > ipv4/tcp_max_syn_backlog";
    let output = namespace.output("sh", &["-c", script]);
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("the namespace: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
