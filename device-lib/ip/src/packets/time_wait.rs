//! Ports that are used again while their connection is in TIME-WAIT.

use super::*;

#[test]
fn a_new_connection_has_numbers_above_all_of_the_old() {
    block_on(async {
        let mut net = Net::new();
        let held = accept(&net);
        let (theirs, ours) = net.handshake(5).await;
        // More bytes than the clock of first numbers ticks meanwhile: no time passes at all.
        let written = act(&held, async |stream| {
            stream.write_all(&[7; 10_000]).await.unwrap();
            stream.close().await
        });
        net.turn().await;
        for acknowledged in [2920, 5840, 8760, 10_000, 10_001] {
            net.say(&seg(5, TcpControl::None, theirs, Some(ours + acknowledged))).await;
        }
        net.say(&seg(5, TcpControl::Fin, theirs, Some(ours + 10_001))).await;
        net.turn().await;
        assert_eq!((*written.borrow(), net.shared.borrow().tcp.time_wait_count()), (Some(Ok(())), 1));
        let answer = net.say(&seg(5, TcpControl::Syn, theirs + 100, None)).await.pop().unwrap();
        assert_eq!((answer.flags, answer.ack), (TcpControl::Syn, Some(theirs + 101)));
        let ahead = answer.seq.wrapping_sub(ours + 10_001);
        assert!((65_536..1 << 30).contains(&ahead), "{ahead}");
    });
}
