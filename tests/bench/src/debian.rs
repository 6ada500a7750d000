//! What the comparison needs of Debian: nginx, and a Linux machine that runs it.
//!
//! The packages are fetched by apt and unpacked, not installed: nothing of them starts, and
//! nothing outside the tests' cache changes. The kernel is Debian's for the cloud, the small
//! one with virtio. Its first root holds busybox, nginx with its libraries, five modules and
//! the page, and nothing else runs in it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use unik_tests::cache;

use crate::cpio::Archive;

/// What is taken of Debian.
#[derive(Debug)]
pub struct Debian {
    folder: PathBuf,
}

/// Where nginx keeps what it writes, in the machine.
const MACHINE_STATE: &str = "/run/nginx";
/// Modules, each after those that it needs. Not every kernel has each as a module.
const MODULES: [&str; 9] = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_mmio",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
];

impl Debian {
    /// Fetches and unpacks what isn't there yet.
    ///
    /// # Errors
    /// When apt isn't there, or can't fetch a package.
    pub fn fetch() -> io::Result<Debian> {
        let folder = cache().join("bench/debian");
        let debian = Debian { folder };
        if debian.folder.join("complete").exists() {
            return Ok(debian);
        }
        eprintln!("bench: fetching nginx, busybox and a kernel from Debian, once");
        std::fs::create_dir_all(&debian.folder)?;
        let depends = said(Command::new("apt-cache").args(["depends", "linux-image-cloud-amd64"]))?;
        let kernel = depends
            .split_whitespace()
            .find(|word| word.starts_with("linux-image-") && *word != "linux-image-cloud-amd64")
            .ok_or_else(|| io::Error::other("apt knows no linux-image-cloud-amd64: run apt-get update"))?;
        let packages = ["nginx", "busybox-static", kernel];
        said(Command::new("apt-get").arg("download").args(packages).current_dir(&debian.folder))?;
        for entry in std::fs::read_dir(&debian.folder)? {
            let package = entry?.path();
            if package.extension().is_some_and(|extension| extension == "deb") {
                said(Command::new("dpkg-deb").arg("-x").arg(&package).arg(debian.folder.join("root")))?;
                std::fs::remove_file(package)?;
            }
        }
        std::fs::write(debian.folder.join("complete"), kernel)?;
        Ok(debian)
    }

    /// The program nginx.
    #[must_use]
    pub fn nginx(&self) -> PathBuf {
        self.root().join("usr/sbin/nginx")
    }

    /// The kernel.
    ///
    /// # Errors
    /// When the package holds none.
    pub fn kernel(&self) -> io::Result<PathBuf> {
        let boot = std::fs::read_dir(self.root().join("boot"))?.flatten();
        boot.map(|entry| entry.path())
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-")))
            .ok_or_else(|| io::Error::other("the package of the kernel holds no vmlinuz"))
    }

    /// The first root of a machine that serves `page` by nginx, written into the cache.
    ///
    /// # Errors
    /// When something of it can't be read.
    pub fn first_root(&self, page: &[u8]) -> io::Result<PathBuf> {
        let mut archive = Archive::default();
        for folder in ["proc", "dev", "tmp", "run", "root"] {
            archive.folder(folder);
        }
        archive.file("bin/busybox", &std::fs::read(self.root().join("bin/busybox"))?);
        for name in ["sh", "mount", "mkdir", "insmod", "ip", "sleep", "poweroff"] {
            archive.link(&format!("bin/{name}"), "busybox");
        }
        archive.file("sbin/nginx", &std::fs::read(self.nginx())?);
        for library in libraries(&self.nginx())? {
            archive.file(&library, &std::fs::read(&library)?);
        }
        for (at, (name, module)) in self.modules()?.into_iter().enumerate() {
            archive.file(&format!("modules/{at}-{name}.ko"), &module);
        }
        archive.file("www/index.html", page);
        archive.file("etc/nginx.conf", nginx_conf(Path::new(MACHINE_STATE), Path::new("/www")).as_bytes());
        archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n");
        archive.file("etc/group", b"root:x:0:\n");
        archive.file("init", INIT.as_bytes());
        let path = self.folder.join("first-root.cpio");
        std::fs::write(&path, archive.finish())?;
        Ok(path)
    }

    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// The modules that there are, by name.
    fn modules(&self) -> io::Result<Vec<(&'static str, Vec<u8>)>> {
        let versions =
            std::fs::read_dir(self.root().join("lib/modules"))?.flatten().map(|entry| entry.path());
        let kernel = versions
            .last()
            .ok_or_else(|| io::Error::other("the package of the kernel holds no modules"))?
            .join("kernel");
        let mut found = Vec::new();
        for module in MODULES {
            let name = module.rsplit('/').next().unwrap_or(module);
            let (plain, packed) =
                (kernel.join(format!("{module}.ko")), kernel.join(format!("{module}.ko.xz")));
            if plain.exists() {
                found.push((name, std::fs::read(plain)?));
            } else if packed.exists() {
                let output = Command::new("xz").arg("-dc").arg(packed).output()?;
                found.push((name, output.stdout));
            }
        }
        Ok(found)
    }
}

/// nginx as it is measured: one worker without a master, no log, connections kept for as
/// long as the client wants.
#[must_use]
pub fn nginx_conf(state: &Path, page: &Path) -> String {
    let (state, page) = (state.display(), page.display());
    format!(
        "worker_processes 1; daemon off; master_process off; user root;
pid {state}/pid; error_log stderr crit; 
events {{ worker_connections 16000; }}
http {{
    access_log off; default_type text/html; tcp_nodelay on;
    keepalive_requests 1000000000; keepalive_timeout 3600;
    client_body_temp_path {state}/a; proxy_temp_path {state}/b; fastcgi_temp_path {state}/c;
    uwsgi_temp_path {state}/d; scgi_temp_path {state}/e;
    server {{ listen 80 backlog=4096; root {page}; }}
}}
"
    )
}

/// The first and only script of the machine.
const INIT: &str = "#!/bin/sh
mount -t proc none /proc
mount -t devtmpfs none /dev
mkdir -p /run/nginx
for module in /modules/*; do insmod $module; done
echo 65535 > /proc/sys/net/core/somaxconn
ulimit -n 20000
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
echo 'the services are started'
/sbin/nginx -e stderr -c /etc/nginx.conf
echo \"nginx ended with $?\"
while :; do sleep 1000; done
";

/// The shared libraries of a program, with its interpreter.
fn libraries(program: &Path) -> io::Result<Vec<String>> {
    let listed = said(Command::new("ldd").arg(program))?;
    if let Some(missing) = listed.lines().find(|line| line.contains("not found")) {
        return Err(io::Error::other(format!("nginx needs what isn't installed here: {}", missing.trim())));
    }
    Ok(listed.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_string).collect())
}

fn said(command: &mut Command) -> io::Result<String> {
    let output = command.output().map_err(|error| io::Error::other(format!("{command:?}: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
