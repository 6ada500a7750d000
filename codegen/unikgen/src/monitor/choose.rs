//! The best way to run an image on this machine, and how it could be better.

use std::path::Path;

use super::probe::{self, INSTALL_QEMU, NoKvm, Qemu};
use crate::cli::{Accel, MonitorChoice};
use crate::exit;

/// What runs the appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Monitor {
    /// QEMU.
    Qemu {
        /// The program.
        qemu: Qemu,
        /// By KVM, or by TCG.
        kvm: bool,
    },
    /// None: an ordinary process.
    Process,
}

impl Monitor {
    /// In a few words, for the line that says which was taken.
    pub fn words(&self) -> &'static str {
        match self {
            Monitor::Qemu { kvm: true, .. } => "QEMU with KVM",
            Monitor::Qemu { kvm: false, .. } => "QEMU with TCG (translated, slower)",
            Monitor::Process => "an ordinary process",
        }
    }
}

/// A choice, and what one command would make of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What was taken.
    pub monitor: Monitor,
    /// Why it isn't a better one, and the command that would change that.
    pub hint: Option<String>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// `--monitor`.
    pub monitor: Option<MonitorChoice>,
    /// `--accel`.
    pub accel: Accel,
    /// It must be a virtual machine: an image is given, or the target is fixed.
    pub machine_only: bool,
}

/// Chooses among what there is.
///
/// # Errors
/// When what was asked for isn't there; the message says what mends it.
pub fn choose(wish: Wish, cache: Option<&Path>) -> anyhow::Result<Choice> {
    if wish.monitor == Some(MonitorChoice::Process) {
        return Ok(Choice { monitor: Monitor::Process, hint: None });
    }
    decide(wish, Qemu::find(), |qemu| probe::kvm(qemu, cache))
}

fn decide(
    wish: Wish,
    qemu: Option<Qemu>,
    try_kvm: impl FnOnce(&Qemu) -> Result<(), NoKvm>,
) -> anyhow::Result<Choice> {
    let asked = wish.monitor.is_some() || wish.accel != Accel::Auto || wish.machine_only;
    let Some(qemu) = qemu else {
        if asked {
            return Err(exit::environment(format!(
                "{} isn't installed here; mend it with: {INSTALL_QEMU}",
                probe::QEMU
            )));
        }
        return Ok(Choice {
            monitor: Monitor::Process,
            hint: Some(format!("QEMU isn't installed; for a virtual machine: {INSTALL_QEMU}")),
        });
    };
    if wish.accel == Accel::Tcg {
        return Ok(Choice { monitor: Monitor::Qemu { qemu, kvm: false }, hint: None });
    }
    match (try_kvm(&qemu), wish.accel) {
        (Ok(()), _) => Ok(Choice { monitor: Monitor::Qemu { qemu, kvm: true }, hint: None }),
        (Err(why), Accel::Kvm) => {
            Err(exit::environment(format!("--accel kvm: {why}; mend it with: {}", why.mend())))
        }
        (Err(why), _) => Ok(Choice {
            monitor: Monitor::Qemu { qemu, kvm: false },
            hint: Some(format!("{why}; for a faster machine: {}", why.mend())),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Wish = Wish { monitor: None, accel: Accel::Auto, machine_only: false };

    fn qemu() -> Option<Qemu> {
        Some(Qemu { program: "/usr/bin/qemu-system-x86_64".into() })
    }

    #[test]
    fn the_best_there_is() {
        let choice = decide(ANY, qemu(), |_| Ok(())).unwrap();
        assert_eq!((choice.monitor.words(), choice.hint), ("QEMU with KVM", None));
        let choice = decide(ANY, qemu(), |_| Err(NoKvm::Forbidden)).unwrap();
        assert!(choice.monitor.words().starts_with("QEMU with TCG"));
        assert!(choice.hint.unwrap().contains("usermod -aG kvm"));
        let choice = decide(ANY, None, |_| Ok(())).unwrap();
        assert_eq!(choice.monitor, Monitor::Process);
        assert!(choice.hint.unwrap().contains("apt-get install qemu-system-x86"));
    }

    #[test]
    fn what_was_asked_for_is_never_replaced() {
        let kvm = Wish { accel: Accel::Kvm, ..ANY };
        let error = decide(kvm, qemu(), |_| Err(NoKvm::Missing)).unwrap_err();
        assert_eq!(exit::code_of(&error), exit::ENVIRONMENT);
        let image = Wish { machine_only: true, ..ANY };
        assert!(decide(image, None, |_| Ok(())).unwrap_err().to_string().contains("apt-get install"));
        let tcg = Wish { accel: Accel::Tcg, ..ANY };
        let choice = decide(tcg, qemu(), |_| panic!("KVM isn't looked at")).unwrap();
        assert_eq!(choice.hint, None);
    }
}
