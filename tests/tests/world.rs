//! Seeded worlds of clients, core, driver and model: nothing that anybody does breaks an invariant.
//!
//! A failure prints its seed; `cargo run --release -p avpu-tests --bin avpu-world -- --seeds 1 --start SEED` shows what
//! of that world is needed to fail, and runs as many more as one has time for.

use avpu_tests::world::{
    Ask, Op, Outcome, Place, Script, Seen, Subject, Which, live, live_without_ahead,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

const SEEDS: u64 = 400;
const OPS: usize = 500;
/// What is too rare for so few worlds.
const RARE: [(Subject, &str); 6] = [
    (Subject::Refused, "shutting-down"),
    (Subject::End, "shutdown"),
    (Subject::End, "queue full"),
    (Subject::End, "revoked"),
    (Subject::End, "encoder offline"),
    (Subject::Happened, "encoder given up"),
];

fn run(seed: u64) -> Outcome {
    let script = Script::draw(seed, OPS);
    let outcome = catch_unwind(AssertUnwindSafe(|| live(&script)));
    outcome.unwrap_or_else(|panic| {
        eprintln!("the world of seed {seed} failed: run avpu-world --seeds 1 --start {seed}");
        resume_unwind(panic)
    })
}

#[test]
fn nothing_that_clients_and_hardware_do_breaks_an_invariant() {
    let mut all = Seen::default();
    for seed in 1..=SEEDS {
        all.add(&run(seed).seen);
    }
    // Worlds in which something never happens would prove nothing about it. What is rare is asked of longer runs.
    let missing: Vec<_> = all
        .missing()
        .filter(|missing| !RARE.contains(missing))
        .collect();
    assert_eq!(missing, [], "expected everything to happen");
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 1..=20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(1).hash, run(2).hash);
}

#[test]
fn the_inputs_for_fuzzing_sessions_are_survived_and_what_a_seed_writes_is_read_as_one_script() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/session");
    let mut inputs = 0;
    for entry in std::fs::read_dir(folder).expect("a folder of inputs") {
        let bytes = std::fs::read(entry.expect("an entry").path()).expect("an input");
        let _ = live(&Script::from_bytes(&bytes));
        inputs += 1;
    }
    assert!(inputs > 100, "{inputs}");
    let bytes = Script::bytes(7, 300);
    let script = Script::from_bytes(&bytes);
    assert!(script.ops.len() >= 300, "{}", script.ops.len());
    // Bytes are used up exactly: without the last one something else is decided.
    let shorter = Script::from_bytes(bytes.split_last().expect("some").1);
    assert_ne!(script, shorter);
}

#[test]
fn any_bytes_are_a_script_and_the_same_bytes_the_same() {
    for length in [0, 1, 7, 100, 3000] {
        let bytes: Vec<u8> = (0..length)
            .map(|index: u32| index.wrapping_mul(167).to_le_bytes()[0])
            .collect();
        let script = Script::from_bytes(&bytes);
        assert_eq!(script, Script::from_bytes(&bytes));
        assert_eq!(live(&script), live(&script), "{length} bytes");
    }
}

/// A world whose encoder is seldom idle: everybody submits all the time, and little time passes.
fn crowded(seed: u64) -> Script {
    let mut script = Script::draw(seed, OPS / 4);
    // An access that fails some accesses from now is another one where they come in another order.
    script
        .ops
        .retain(|op| !matches!(op, Op::FailDevice { .. } | Op::ShutDown));
    let submits = (0..4).map(|who| Op::Ask {
        who,
        ask: Ask::Submit {
            channel: Which::Own(who / 2),
            place: Place::Own(0),
            force_idr: false,
        },
    });
    let crowd: Vec<Op> = submits.collect();
    let hurried = |op: Op| match op {
        Op::Pass { us } => Op::Pass { us: us % 3000 },
        op => op,
    };
    let ops = script.ops.into_iter().map(hurried);
    script.ops = ops
        .flat_map(|op| [op].into_iter().chain(crowd.clone()))
        .collect();
    script
}

/// The same requests are answered alike, the same command lists started in the same order, and the same bytes come out.
#[test]
fn a_world_in_which_nothing_is_made_ready_ahead_is_the_same_world() {
    let times = |seen: &Seen, kind| {
        let mut all = seen.all();
        all.find_map(|(_, name, count)| (name == kind).then_some(count))
            .expect("a kind that is counted")
    };
    let mut all = Seen::default();
    for seed in 1..=40 {
        let script = crowded(seed);
        let with = live(&script);
        let without = live_without_ahead(&script);
        assert_eq!(with.hash, without.hash, "seed {seed}");
        assert_eq!(times(&without.seen, "picture made ready"), 0);
        all.add(&with.seen);
    }
    let (made, used) = ("picture made ready", "picture started as made ready");
    assert!(times(&all, used) > 0);
    assert!(times(&all, made) > times(&all, used), "some were dropped");
}
