//! The table of `--table`: eight channels at 85 % of the encoder under three disciplines, with the same arrivals.

use avpu_proto::types::Class;
use avpu_tests::schedule::{
    Daemon, Discipline, Fifo, Load, RoundRobin, Service, eight_channels, run, to_f64, utilisation,
};

/// Sets of phases; the first one lets everybody come at once.
const SEEDS: u64 = 100;
/// Time of each, in microseconds.
const LENGTH_US: u64 = 20_000_000;

/// What the channels went through under one discipline.
struct Row {
    name: &'static str,
    channels: Vec<Service>,
}

pub(crate) fn print() {
    let loads = eight_channels();
    let tickets: Vec<u64> = match Daemon::new(&loads) {
        Ok(daemon) => (0..loads.len())
            .map(|index| u64::from(daemon.ticket_us(index)))
            .collect(),
        Err((index, refusal)) => {
            println!("channel {index} is refused: {}", refusal.sentence);
            return;
        }
    };
    let rows = [
        row("avpud", &loads, || Daemon::new(&loads).ok()),
        row("first come, first served", &loads, || Some(Fifo::default())),
        row("a frame of each in turn", &loads, || {
            Some(RoundRobin::new(loads.len()))
        }),
    ];
    println!(
        "{} channels, {:.1} % of the encoder, {SEEDS} sets of phases of {} s in virtual time\n",
        loads.len(),
        utilisation(&loads) * 100.0,
        LENGTH_US / 1_000_000
    );
    println!("| | frames | finished after the next one came | worst wait, of its ticket |");
    println!("|---|---|---|---|");
    for row in &rows {
        let frames: u64 = row.channels.iter().map(|service| service.frames).sum();
        let late: u64 = row.channels.iter().map(|service| service.late).sum();
        let waits = row.channels.iter().zip(&tickets);
        let worst = waits
            .map(|(service, ticket_us)| to_f64(service.wait_max_us) / to_f64(*ticket_us))
            .fold(0.0, f64::max);
        println!(
            "| {} | {frames} | {:.2} % | {:.0} % |",
            row.name,
            to_f64(late) / to_f64(frames) * 100.0,
            worst * 100.0
        );
    }
    let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    println!("\n| worst wait, ms | ticket | {} |", names.join(" | "));
    println!("|---|---|---|---|---|");
    for (index, (load, ticket_us)) in loads.iter().zip(&tickets).enumerate() {
        let waits = rows.iter().filter_map(|row| row.channels.get(index));
        let waits: Vec<String> = waits
            .map(|service| format!("{:.1}", to_f64(service.wait_max_us) / 1000.0))
            .collect();
        let ticket_ms = to_f64(*ticket_us) / 1000.0;
        println!(
            "| {} | {ticket_ms:.1} | {} |",
            describe(load),
            waits.join(" | ")
        );
    }
}

fn describe(load: &Load) -> String {
    let class = match load.wish.class {
        Class::Live => "live",
        Class::Record => "record",
        Class::Snapshot => "snapshot",
        Class::BestEffort => "best effort",
    };
    let (width, height, fps) = (load.wish.width, load.wish.height, load.wish.fps.num);
    format!("{width}x{height} at {fps}, {class}")
}

fn row<D: Discipline>(name: &'static str, loads: &[Load], make: impl Fn() -> Option<D>) -> Row {
    let mut channels = vec![Service::default(); loads.len()];
    for seed in 0..SEEDS {
        let Some(mut discipline) = make() else {
            continue;
        };
        let served = run(&mut discipline, loads, seed, LENGTH_US);
        for (sum, service) in channels.iter_mut().zip(served) {
            sum.add(&service);
        }
    }
    Row { name, channels }
}
