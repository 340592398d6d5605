//! Main and Baseline behind the registers: what command lists say of them, and the end of the slice header that comes
//! again in front of CAVLC slice data.

mod host;
#[allow(dead_code, reason = "shared with the tests of the encoder")]
mod stream;

use avpu_model::avc::{Entropy, HeaderTail, PictureParams, SliceKind};
use avpu_model::cmdlist::Words;
use avpu_model::config::BodyKind;
use avpu_model::violation::Violation;
use host::{Host, Profile, bytes, hand_over};

const ERROR_FILL: u32 = 0x0080_8080;

fn host_of(profile: Profile, hwrc: bool, faults: &str) -> Host {
    Host::with(BodyKind::Picture, faults, |channel| {
        channel.hwrc = hwrc;
        channel.profile = profile;
    })
}

fn params(profile: Profile, kind: SliceKind, qp: u8) -> PictureParams {
    let base = match profile {
        Profile::High => PictureParams::product(3, 3, kind, qp),
        Profile::Main => PictureParams::main(3, 3, kind, qp),
        Profile::Baseline => PictureParams::baseline(3, 3, kind, qp),
    };
    PictureParams {
        display_height: 40,
        ..base
    }
}

/// The list of picture `n` with the end of its slice header, whose beginning goes to `out`.
fn list(host: &Host, n: u32, id: u32, params: &PictureParams, out: &mut Vec<u8>) -> Words {
    let start = out.len();
    let tail = stream::slice_header(params, n, id, out);
    let mut words = host.channel.list(n, params.qp.into());
    if params.entropy == Entropy::Cavlc {
        let kept = u32::try_from(out.len() - start - 5).expect("a few bytes");
        hand_over(&mut words, tail, kept);
    }
    words
}

#[test]
fn headers_and_slice_data_decode_to_the_reconstruction_in_memory() {
    for profile in [Profile::Main, Profile::Baseline] {
        for hwrc in [false, true] {
            let mut host = host_of(profile, hwrc, "");
            let (mut whole, mut expected) = (Vec::new(), Vec::new());
            let mut qps = Vec::new();
            for index in 0..24 {
                let n = index % 12;
                let kind = if n == 0 { SliceKind::I } else { SliceKind::P };
                let params = params(profile, kind, 24 + u8::try_from(index % 5).expect("small"));
                if n == 0 {
                    stream::parameter_sets(&params, &mut whole);
                }
                let words = list(&host, n, index / 12 % 2, &params, &mut whole);
                host.channel.draw(n, host.machine.memory());
                let size = host.run(n, &words);
                assert_eq!(host.violations(), []);
                whole.extend(host.payload(size));
                let slot = host.channel.slot(n);
                let range = host::word(host.machine.memory(), slot + 4 * 0x4e);
                qps.push((range & 0xff, range >> 8 & 0xff));
                let rec = host.channel.pictures[usize::from(n % 2 != 0)];
                expected.extend(bytes(host.machine.memory(), rec, 48 * 40));
                expected.extend(bytes(host.machine.memory(), rec + 64 * 64, 48 * 20));
            }
            let moves = qps.iter().any(|(least, greatest)| least < greatest);
            assert_eq!(moves, hwrc, "QP moves inside pictures with rate control");
            match stream::decode(&whole) {
                Some(decoded) => assert!(decoded == expected, "{profile:?} rate control {hwrc}"),
                None => {
                    stream::skip::skip("decoding a stream of the model", "ffmpeg is not installed")
                }
            }
        }
    }
}

#[test]
fn slice_data_begins_with_the_bits_handed_over() {
    for (bits, count) in [
        (0x0400_045b, 20),
        (0x00a8_045b, 18),
        (0x0029_045b, 16),
        (0x45b, 11),
    ] {
        let mut host = host_of(Profile::Baseline, false, "");
        // se(4), ue(0), se(-1), se(-1): what the recorded 0x45b ends with.
        let mut words = host.channel.list(0, 30);
        let tail = HeaderTail { bits, count };
        hand_over(&mut words, tail, if count < 16 { 0 } else { 2 });
        let size = host.run(0, &words);
        assert_eq!(host.violations(), [], "{bits:#x}");
        let payload = host.payload(size);
        let first = payload[..4]
            .iter()
            .fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        let expected = bits & ((1 << count) - 1);
        assert_eq!(first >> (32 - u32::from(count)), expected);
    }
}

/// What is wrong, the word that shows it, and how it is made wrong.
type Case = (&'static str, u8, fn(&mut Words));

/// What is found in a Baseline list that `spoil` changes, and word 0x41.
fn spoiled(spoil: impl FnOnce(&mut Words)) -> (Vec<Violation>, u32) {
    let mut host = host_of(Profile::Baseline, false, "");
    let params = params(Profile::Baseline, SliceKind::I, 30);
    let mut words = list(&host, 0, 0, &params, &mut Vec::new());
    spoil(&mut words);
    let size = host.run(0, &words);
    (host.violations(), size)
}

#[test]
fn header_bits_that_cannot_be_the_end_of_the_slice_header_are_reported() {
    let (found, size) = spoiled(|_| {});
    assert_eq!(found, []);
    assert_ne!(size, ERROR_FILL);
    let cases: [Case; 8] = [
        ("no bits", 0x1e, |words| {
            words[0x1b] = 0x0005_0c80;
            words[0x1e] &= 0x00ff_ffff;
        }),
        ("24 bits", 0x1e, |words| {
            words[0x1e] = words[0x1e] & 0x00ff_ffff | 24 << 24
        }),
        ("fewer bytes than start code and nal byte", 0x1b, |words| {
            words[0x1b] = 0x0004_0c80
        }),
        ("kept bytes before a short header", 0x1b, |words| {
            words[0x1e] = words[0x1e] & 0x00ff_ffff | 15 << 24;
        }),
        ("another qp", 0x1f, |words| {
            words[0x03] += 1 << 16;
            words[0x1c] += 1 << 16;
        }),
        ("another loop filter", 0x1f, |words| {
            words[0x04] = 0x0008_3f00
        }),
        ("no loop filter", 0x1f, |words| words[0x04] |= 1 << 18),
        ("a bit fewer", 0x1f, |words| words[0x1f] >>= 1),
    ];
    for (what, word, spoil) in cases {
        let (found, size) = spoiled(spoil);
        let words: Vec<_> = found.iter().filter_map(Violation::word).collect();
        assert_eq!(words, [word], "{what}: {found:?}");
        assert_eq!(size, ERROR_FILL, "{what}");
    }
}

#[test]
fn tools_of_the_high_profile_are_reported_with_cavlc() {
    let (found, size) = spoiled(|words| {
        words[0x00] |= 1 << 10;
        words[0x1c] |= 1 << 1;
    });
    let words: Vec<_> = found.iter().filter_map(Violation::word).collect();
    assert_eq!(
        (words.as_slice(), size),
        ([0].as_slice(), ERROR_FILL),
        "{found:?}"
    );
    let (found, size) = spoiled(|words| words[0x09] |= 3 << 30);
    let words: Vec<_> = found.iter().filter_map(Violation::word).collect();
    assert_eq!(
        (words.as_slice(), size),
        ([9].as_slice(), ERROR_FILL),
        "{found:?}"
    );
}

#[test]
fn header_bits_and_a_missing_header_are_reported_with_cabac() {
    let cases: [Case; 3] = [
        ("header bits", 0x1e, |words| words[0x1e] |= 16 << 24),
        ("a header's end", 0x1f, |words| words[0x1f] = 0x45b),
        ("no header", 0x1b, |words| words[0x1b] = 0x0005_0c80),
    ];
    for (what, word, spoil) in cases {
        let mut host = host_of(Profile::Main, false, "");
        let mut words = host.channel.list(0, 30);
        spoil(&mut words);
        assert_eq!(host.run(0, &words), ERROR_FILL, "{what}");
        let found = host.violations();
        let words: Vec<_> = found.iter().filter_map(Violation::word).collect();
        assert_eq!(words, [word], "{what}: {found:?}");
    }
}

#[test]
fn one_escape_of_cavlc_slice_data_can_be_missing() {
    // Noise that is sent as samples, with a start code's bytes here and there.
    let payload = |plan: &str| {
        let mut host = host_of(Profile::Baseline, false, plan);
        let mut seed = 1_u32;
        let mut noise: Vec<u8> = (0..9 * 384)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                u8::try_from(seed >> 24).expect("eight bits") | 1
            })
            .collect();
        for place in noise.chunks_exact_mut(48) {
            place[20..24].copy_from_slice(&[0, 0, 2, 9]);
        }
        let source = host.channel.source;
        avpu_model::memory::Memory::write(host.machine.memory(), source, &noise).expect("source");
        let params = params(Profile::Baseline, SliceKind::I, 2);
        let words = list(&host, 0, 0, &params, &mut Vec::new());
        let size = host.run(0, &words);
        assert_eq!(host.violations(), []);
        host.payload(size)
    };
    let (whole, spoiled) = (payload(""), payload("unescaped@0:3"));
    assert_eq!(spoiled.len() + 1, whole.len());
    let at = (0..spoiled.len())
        .find(|&at| spoiled[at] != whole[at])
        .expect("a difference");
    assert_eq!(whole[at - 2..=at], [0, 0, 3]);
    assert_eq!(spoiled[at], 2);
}
