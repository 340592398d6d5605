//! A channel that was tuned encodes as one that was opened with the same settings, but for its memory.

use super::*;
use crate::hw::cmdlist::{AddressWord, fields};
use crate::hw::layout::ChannelLayout;
use crate::picture::Psnr;

/// Room for the largest of the channels below.
const MEMORY: u32 = 0x0070_0000;

fn controls() -> [RateControl; 5] {
    let rate = |bps| BitRate::new(bps).expect("a rate");
    let range =
        QpRange::new(Qp::new(22).expect("a qp"), Qp::new(44).expect("a qp")).expect("a range");
    let psnr = Psnr::new(3900).expect("a ratio");
    [
        RateControl::FixQp {
            qp: Qp::new(33).expect("a qp"),
        },
        RateControl::Cbr {
            target: rate(300_000),
            range,
        },
        RateControl::Vbr {
            target: rate(250_000),
            max: rate(400_000),
            range,
        },
        RateControl::CappedVbr {
            target: rate(200_000),
            max: rate(350_000),
            range,
            psnr_max: psnr,
        },
        RateControl::CappedQuality {
            max: rate(150_000),
            range,
            psnr,
        },
    ]
}

fn of(rate_control: RateControl, fps: u32, gop_length: u32) -> ChannelSetup {
    ChannelSetup {
        rate_control,
        frame_rate: FrameRate::new(fps, 1).expect("a rate"),
        gop_length: NonZeroU32::new(gop_length).expect("not zero"),
        ..setup(640, 360)
    }
}

fn opened(setup: &ChannelSetup) -> Engine<Fake> {
    let mut engine = Engine::bring_up(Fake::new()).expect("the scripted device");
    let memory = range(SUB_MEMORY, MEMORY);
    engine.open_channel(SUB, setup, memory).expect("opened");
    engine
}

/// What the encoder finds: the words of a command list, then the tables that they point to.
struct Found {
    words: Vec<u32>,
    tables: Vec<Vec<u8>>,
}

/// Encodes the picture with this place in its group, and looks at what the encoder was given.
fn picture(engine: &mut Engine<Fake>, setup: &ChannelSetup, number: u32, gop_index: u32) -> Found {
    let job = EncodeJob {
        rate_control: setup.rate_control,
        ..job(number, SUB, gop_index)
    };
    engine.start(&job).expect("started");
    let words: Vec<u32> = (0..128).map(|word| engine.device().word(word)).collect();
    let layout = ChannelLayout::new(setup).expect("a layout");
    let bank = layout.ep3_bank(crate::hw::layout::Ep3Bank::P);
    let tables = [
        (AddressWord::EP1, layout.ep1().len),
        (AddressWord::EP2, layout.ep2().len),
        (AddressWord::EP3, bank.expect("a bank").len),
    ];
    let tables = tables
        .map(|(word, len)| {
            let address = words[usize::from(word.word())];
            let used = usize::from(address != 0) * usize::try_from(len.value()).expect("small");
            let mut bytes = vec![0; used];
            engine.device().load(address.max(fake::BASE), &mut bytes);
            bytes
        })
        .to_vec();
    engine.device().encode(b"slice");
    completion(engine.on_irq(IrqLine::VIDEO_PICTURE));
    engine.release_payload(SUB, job.id).expect("held");
    Found { words, tables }
}

/// Words that tell of memory, which stays what it was: addresses, and the room for slice data.
fn tells_of_memory(word: usize) -> bool {
    let room = [fields::STREAM_USABLE, fields::STREAM_BUDGET];
    AddressWord::ALL
        .iter()
        .any(|address| usize::from(address.word()) == word)
        || room.iter().any(|field| usize::from(field.word()) == word)
}

#[test]
fn lists_and_tables_after_a_change_are_those_of_a_channel_opened_with_it() {
    for from in controls() {
        for to in controls() {
            let (before, after) = (of(from, 25, 50), of(to, 15, 30));
            let mut tuned = opened(&before);
            for index in 0..2 {
                picture(&mut tuned, &before, index, index);
            }
            tuned.tune_channel(SUB, &after).expect("tuned");
            let mut fresh = opened(&after);
            let same_memory = ChannelLayout::new(&before) == ChannelLayout::new(&after);
            for index in 0..3 {
                let found = picture(&mut tuned, &after, 2 + index, index);
                let expected = picture(&mut fresh, &after, index, index);
                let differing: Vec<usize> = (0..128)
                    .filter(|word| found.words[*word] != expected.words[*word])
                    .filter(|word| same_memory || !tells_of_memory(*word))
                    .collect();
                assert!(
                    differing.is_empty(),
                    "{differing:?}: {from:?} to {to:?}, picture {index}"
                );
                assert!(
                    found.tables == expected.tables,
                    "{from:?} to {to:?}, picture {index}: other tables"
                );
            }
        }
    }
}

#[test]
fn a_channel_that_is_tuned_to_more_keeps_the_room_that_it_was_opened_with() {
    let control = |bps| RateControl::Cbr {
        target: BitRate::new(bps).expect("a rate"),
        range: controls()[1].range(),
    };
    let (small, large) = (
        of(control(1_000_000), 25, 50),
        of(control(4_000_000), 25, 50),
    );
    let mut tuned = opened(&small);
    let budget = |engine: &mut Engine<Fake>, setup| {
        let word = usize::from(fields::STREAM_BUDGET.word());
        picture(engine, setup, 0, 0).words[word]
    };
    let before = {
        let mut engine = opened(&small);
        budget(&mut engine, &small)
    };
    tuned.tune_channel(SUB, &large).expect("tuned");
    assert_eq!(budget(&mut tuned, &large), before);
    let mut fresh = opened(&large);
    assert!(budget(&mut fresh, &large) > before);
}
