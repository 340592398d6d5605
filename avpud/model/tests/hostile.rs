//! A host that does anything at all: the model reports, hangs if it must, and never breaks.

#![allow(clippy::cast_possible_truncation, reason = "small test values")]
mod host;

use avpu_model::Waited;
use avpu_model::cmdlist::WORDS;
use avpu_model::config::BodyKind;
use avpu_model::registers::offset;
use avpu_model::rng::Rng;
use host::{BASE, Host, store};

#[test]
fn random_command_lists_never_break_the_model() {
    for seed in 0..3000 {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let hwrc = rng.one_in(2);
        let body = if rng.one_in(8) {
            BodyKind::Picture
        } else {
            BodyKind::Pattern
        };
        let mut host = Host::with(body, "", |channel| channel.hwrc = hwrc);
        for n in 0..3 {
            let mut words = host.channel.list(n, 30);
            for _ in 0..1 + rng.next_u32() % 3 {
                let word = rng.next_u32() as usize % WORDS;
                words[word] = match rng.next_u32() % 4 {
                    0 => rng.next_u32(),
                    1 => words[word] ^ 1 << (rng.next_u32() % 32),
                    2 => 0,
                    _ => BASE + (rng.next_u32() & 0x3_ffe0),
                };
            }
            host.start(n, &words);
            host.wait();
            host.recover();
        }
    }
}

#[test]
fn random_register_accesses_never_break_the_model() {
    let registers = [
        offset::IP_ID,
        offset::MISC_CTRL,
        offset::IRQ_MASK,
        offset::IRQ_PENDING,
        offset::TOP_CTRL,
        offset::CL_ADDR,
        offset::CL_PUSH,
        offset::RESET,
        offset::CLOCK,
        offset::STATUS,
        0x8304,
        0x8430,
        0x9000,
    ];
    for seed in 0..300 {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let plan = "stuck/9,lost/9,late/9,early/9,tail/9,spurious/9,fill/9,axi/60:1";
        let mut host = Host::with(BodyKind::Pattern, plan, |_| {});
        let slot = host.channel.slot(0);
        let words = host.channel.list(0, 30);
        for _ in 0..400 {
            store(host.machine.memory(), slot, &words);
            let register = registers[rng.next_u32() as usize % registers.len()];
            match rng.next_u32() % 5 {
                0 => {
                    host.read(register);
                }
                1 => host.write(register, rng.next_u32()),
                2 => host.write(register, rng.next_u32() % 8),
                3 => host.begin(),
                _ => host.push(slot),
            }
            host.now_us += u64::from(rng.next_u32() % 400);
        }
        // Whatever happened, a host that starts over gets its picture, unless the bus is gone for good.
        for _ in 0..4 {
            host.recover();
        }
        host.power_up();
        while host.machine.take_irq(host.now_us) != Waited::Nothing {}
        if host.read(offset::IP_ID) != 3 {
            host.recover();
            assert_eq!(host.read(offset::STATUS) & 2, 0);
        }
    }
}
