//! Taking a lease back leaves a line in the log for each of its phases.

use crate::app::{App, avpuctl, logged};
use avpu_tests::daemon::Daemon;
use nix::unistd::geteuid;
use serde_json::json;

#[test]
fn each_phase_of_a_revocation_is_logged_with_lease_holder_reason_and_times() {
    let daemon = Daemon::start("pace=free");
    let mut app = App::start(&daemon);
    app.ask(&json!({"OpenChannel": {"width": 64, "height": 64}}));
    let lease = json!({"LeaseBuffers": {"channel": 1, "count": 1}});
    assert!(app.ask(&lease).get("BuffersLeased").is_some());
    let (code, said) = avpuctl(&daemon, &["revoke", "1", "20"]);
    assert_eq!(code, Some(0), "{said}");
    app.event("LeaseRevoked");
    let uid = geteuid().to_string();
    let told = logged(&daemon, "a lease is revoked: its holder was told lease=1 ");
    assert_eq!(told.len(), 1, "{}", daemon.log());
    let words = [format!(" uid={uid} "), format!(" by_uid={uid} ")];
    assert!(words.iter().all(|word| told[0].contains(word)), "{told:?}");
    assert!(told[0].contains(" fenced_in_us=20000"), "{told:?}");
    let fenced = logged(&daemon, "a revoked lease is fenced");
    assert_eq!(fenced.len(), 1, "{}", daemon.log());
    let gone = logged(&daemon, "a revoked lease is gone lease=1 ");
    assert_eq!(gone.len(), 1, "{}", daemon.log());
    assert!(gone[0].contains("its holder's time was over"), "{gone:?}");
    for line in [&fenced[0], &gone[0]] {
        let after = line.split(" after_us=").nth(1).expect("it says when");
        let us = after
            .split(' ')
            .next()
            .and_then(|us| us.parse::<u64>().ok());
        assert!(us.is_some_and(|us| us >= 20_000), "{line}");
    }
}
