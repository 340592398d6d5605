//! Readers that never give anything back, for a minute of virtual time: what the daemon's core holds does not grow, and
//! nobody's frames notice.

use avpu_proto::reply::Reply;
use avpu_proto::request::{Request, Subscribe};
use avpu_tests::alloc::{CountingAllocator, live_bytes};
use avpu_tests::schedule::{Daemon, Discipline, Load, eight_channels, run};
use avpud::core::time::Micros;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SECOND_US: u64 = 1_000_000;

/// The core, and what it held after ten seconds and at the end.
struct Weighed {
    daemon: Daemon,
    settled_bytes: Option<i64>,
    last_bytes: i64,
}

impl Discipline for Weighed {
    fn arrive(&mut self, now_us: u64, channel: usize) -> bool {
        self.daemon.arrive(now_us, channel)
    }

    fn start(&mut self, now_us: u64) -> Option<usize> {
        self.daemon.start(now_us)
    }

    fn done(&mut self, now_us: u64, channel: usize) {
        self.daemon.done(now_us, channel);
        self.last_bytes = live_bytes();
        if now_us >= 10 * SECOND_US {
            self.settled_bytes.get_or_insert(self.last_bytes);
        }
    }
}

#[test]
fn memory_is_flat_and_everybody_served_with_readers_that_never_give_anything_back() {
    let mut loads = eight_channels();
    loads.push(Load::flood(640, 360, 1));
    let mut daemon = Daemon::new(&loads).expect("they fit");
    for index in 0..loads.len() {
        // Several with few credits, and one that may hold as much as anybody.
        for credits in [1, 2, 5, 0] {
            let wish = Request::Subscribe(Subscribe {
                channel: daemon.channel(index),
                credits,
                ..Subscribe::default()
            });
            let reply = daemon.ask(Micros::new(0), index, wish);
            assert!(matches!(reply, Reply::Subscribed(_)), "{reply:?}");
        }
    }
    let mut weighed = Weighed {
        daemon,
        settled_bytes: None,
        last_bytes: 0,
    };
    let served = run(&mut weighed, &loads, 0, 60 * SECOND_US);
    let settled_bytes = weighed.settled_bytes.expect("it ran for a minute");
    let grown_bytes = weighed.last_bytes - settled_bytes;
    assert!(settled_bytes > 0, "nothing was counted");
    // Queues of what comes and goes may be an entry longer or shorter.
    assert!(
        grown_bytes < 4096,
        "expected what is held to stay, found {grown_bytes} bytes more than {settled_bytes}"
    );
    for (service, load) in served
        .iter()
        .zip(&loads)
        .filter(|(_, load)| load.period_us > 0)
    {
        assert_eq!(service.late, 0, "{service:?} of {load:?}");
        assert_eq!(service.refused, 0, "{service:?} of {load:?}");
    }
    assert_eq!(
        (weighed.daemon.lost, weighed.daemon.tickets_breached),
        (0, 0)
    );
}
