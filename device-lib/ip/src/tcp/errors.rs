//! ICMP errors about segments of ours: believed as far as forged ones do no harm (RFC 5927).

use smoltcp::socket::tcp::State;
use unik::interface::{Entropy, Frames, StreamError};
use unik::time::Instant;

use super::segment::Key;
use super::{Place, Tcp};
use crate::lower::Lower;
use crate::report::{Report, Trouble};

impl Tcp {
    /// Takes a router's or host's report about a segment that we are said to have sent; `false`
    /// if that can't be.
    pub fn receive_report<F: Frames, E: Entropy>(
        &mut self,
        lower: &mut Lower<F, E>,
        report: &Report,
        now: Instant,
    ) -> bool {
        let Report { peer, own, port, peer_port, .. } = *report;
        let Some(Place::Flow(slot)) = self.find(&Key { peer, own, peer_port, port }) else { return false };
        let Some(flow) = self.flows.get(slot) else { return false };
        // Only who sees our segments knows a number that is on its way.
        let outstanding = flow.socket().send_queue() as u32 + 2;
        let behind = flow.sent.map(|sent| sent.next.wrapping_sub(report.sequence));
        if !behind.is_some_and(|behind| (1..=outstanding).contains(&behind)) {
            return false;
        }
        match report.trouble {
            Trouble::TooLarge { mtu } => {
                let before = usize::from(flow.path.mtu);
                if let Some(mtu) = lower.paths.learn(peer, mtu, report.length, before, now) {
                    // What was lost is sent again, in smaller segments, when its time is over.
                    flow.path.mtu = mtu as u16;
                    self.mark(slot);
                }
            }
            // What stands may stand again; what begins needn't wait (RFC 1122, section 4.2.3.9).
            Trouble::Refused | Trouble::Unreachable if flow.state() == State::SynSent => {
                flow.unreachable = report.trouble == Trouble::Unreachable;
                flow.error.get_or_insert(StreamError::Reset);
                flow.socket().abort();
                self.end(slot, now);
            }
            Trouble::Refused | Trouble::Unreachable => {}
        }
        true
    }
}
