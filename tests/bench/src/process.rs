//! What a process, and those that it started, have used of the processors.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// The processor time, in user and system mode and as a guest, of the process `id` and of
/// all below it that live, all their threads together.
///
/// The kernel gives it to 10 ms. What the kernel itself does with packets in soft
/// interrupts is charged to whoever was interrupted, so it is not part of this.
#[must_use]
pub fn cpu_time(id: u32) -> Duration {
    let parents = parents();
    let ticks: u64 = parents
        .keys()
        .filter(|&&process| is_below(process, id, &parents))
        .map(|&process| ticks(process))
        .sum();
    // USER_HZ is 100 on every architecture that this runs on (proc(5)).
    Duration::from_millis(10 * ticks)
}

fn is_below(mut process: u32, root: u32, parents: &HashMap<u32, u32>) -> bool {
    while process != root {
        match parents.get(&process) {
            Some(&parent) if parent > 1 => process = parent,
            _ => return false,
        }
    }
    true
}

/// Every process, and its parent.
fn parents() -> HashMap<u32, u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|process| Some((process, fields(process)?.get(1)?.parse().ok()?)))
        .collect()
}

fn ticks(process: u32) -> u64 {
    // utime and stime, the 14th and 15th field of proc(5); one that has ended has none.
    fields(process).map_or(0, |fields| {
        fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
    })
}

/// The fields of `/proc/PID/stat` from the third (the state) on: the second, the name,
/// may hold spaces.
fn fields(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_uses_counts() {
        let own = std::process::id();
        let before = cpu_time(own);
        let mut child = std::process::Command::new("sh")
            .args(["-c", "i=0; while :; do i=$((i + 1)); done"])
            .spawn()
            .expect("sh");
        let end = std::time::Instant::now() + Duration::from_secs(30);
        while cpu_time(child.id()) < Duration::from_millis(50) {
            assert!(std::time::Instant::now() < end, "the child's time isn't seen");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(cpu_time(own) - before >= Duration::from_millis(50));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
}
