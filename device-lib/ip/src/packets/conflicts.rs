//! Somebody else with our address (RFC 5227).

use super::*;

/// Frames that announce our address.
fn announcements(frames: &[Vec<u8>]) -> usize {
    let is_one = |frame: &&Vec<u8>| {
        frame[..6] == [0xff; 6]
            && frame[12..14] == [8, 6]
            && frame[20..22] == [0, 1]
            && frame[28..32] == OURS.octets()
            && frame[38..42] == OURS.octets()
    };
    frames.iter().filter(is_one).count()
}

#[test]
fn our_address_is_announced_twice_and_defended() {
    block_on(async {
        let mut net = Net::new();
        assert_eq!(announcements(&net.turn().await), 1);
        assert_eq!(announcements(&net.turn().await), 0);
        let next = net.shared.borrow().next_deadline();
        assert_eq!(next, Some(net.now + Duration::from_secs(2)));
        net.now += Duration::from_secs(2);
        assert_eq!(announcements(&net.turn().await), 1);
        net.now += Duration::from_secs(2);
        assert_eq!(announcements(&net.turn().await), 0);
        // Who claims it hears of us, but not more often than every ten seconds.
        for (pause, defences) in [(0, 1), (1, 0), (10, 1)] {
            net.now += Duration::from_secs(pause);
            let before = net.handle.counters().martian;
            net.arp(OURS);
            assert_eq!(net.handle.counters().martian, before + 1);
            assert_eq!(announcements(&net.turn().await), defences, "after {pause} s");
        }
    });
}
