//! Tests of the file above.

use super::*;

fn one(text: &str) -> Endpoint {
    match parse(text) {
        Ok(Address::One(endpoint)) => endpoint,
        other => panic!("{text}: {other:?}"),
    }
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn keys(text: &str) -> ChannelKeys {
    match one(text) {
        Endpoint::Avpu(_, keys) => keys,
        other => panic!("{text}: {other:?}"),
    }
}

fn size(width: u32, height: u32) -> PictureSize {
    PictureSize::new(width, height).unwrap()
}

#[test]
fn a_dash_is_standard_input_and_output() {
    assert_eq!(one("-"), Endpoint::Stdio(Format::default()));
    assert_eq!(one("STDIO"), one("-"), "a bare keyword");
    assert_eq!(one("stdio:"), one("-"));
    assert_eq!(one("H264:-"), one("-"));
    let raw = Some(Raw {
        size: size(64, 48),
        fps: FPS_DEFAULT,
    });
    assert_eq!(
        one("-,size=64x48"),
        Endpoint::Stdio(Format {
            raw,
            ..Format::default()
        })
    );
}

#[test]
fn the_addresses_of_the_manual_are_understood() {
    let Ok(Address::Dual(read, write)) = parse("Y4M:clip.y4m!!H264:out.h264") else {
        panic!("expected two addresses in one");
    };
    let y4m = Format {
        y4m: true,
        ..Format::default()
    };
    assert_eq!(read, Endpoint::File("clip.y4m".to_owned(), y4m));
    assert_eq!(write, Endpoint::H264("out.h264".to_owned()));
    let keys = keys("AVPU:,bitrate=2M");
    let cbr = RateControl::Cbr {
        bitrate_bps: 2_000_000,
        qp_min: 0,
        qp_max: 0,
    };
    assert_eq!(
        keys,
        ChannelKeys {
            rate_control: cbr,
            ..ChannelKeys::default()
        }
    );
    let watch = WatchKeys {
        channel: "main".to_owned(),
        join: Join::LastIdr,
    };
    assert_eq!(
        one("AVPU-SUB:,channel=main"),
        Endpoint::AvpuSub(None, watch)
    );
    assert_eq!(one("JSON:-"), Endpoint::Json);
    assert_eq!(one("AVPU-RAW:/x"), Endpoint::AvpuRaw(Some("/x".to_owned())));
}

#[test]
fn a_channel_without_any_key_has_constant_qp_30() {
    assert_eq!(keys("AVPU:").rate_control, RateControl::FixQp { qp: 30 });
    assert_eq!(keys("AVPU").rate_control, RateControl::FixQp { qp: 30 });
    assert_eq!(
        keys("AVPU:,qp=26").rate_control,
        RateControl::FixQp { qp: 26 }
    );
    assert_eq!(keys("AVPU:").class, Class::BestEffort);
    assert_eq!(keys("AVPU:").profile, Profile::High);
    assert_eq!(keys("AVPU:,profile=Baseline").profile, Profile::Baseline);
    assert_eq!(keys("AVPU:").gop, None);
}

#[test]
fn every_key_of_a_channel_has_its_place() {
    let text = "avpu:/run/a.sock,Name=cam,bitrate=800k,gop=50,rc=cbr,qpmin=20,qpmax=40,class=live";
    let Endpoint::Avpu(socket, keys) = one(text) else {
        panic!("expected a channel");
    };
    assert_eq!(socket.as_deref(), Some("/run/a.sock"));
    assert_eq!((keys.name.as_str(), keys.class), ("cam", Class::Live));
    assert_eq!(keys.gop, Some(GopLength::Pictures(50)));
    let cbr = RateControl::Cbr {
        bitrate_bps: 800_000,
        qp_min: 20,
        qp_max: 40,
    };
    assert_eq!(keys.rate_control, cbr);
}

#[test]
fn what_happens_to_pictures_that_come_too_fast_is_a_key() {
    let words = "AVPU:,overload=latest,deadline=40,weight=100,preroll=200000";
    let Endpoint::Avpu(_, keys) = one(words) else {
        panic!("expected a channel");
    };
    assert_eq!(keys.preroll_bytes, 200_000);
    assert_eq!(keys.overload, Overload::LatestOnly);
    assert_eq!((keys.deadline_us, keys.weight), (40_000, 100));
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    for text in [
        "AVPU:,rc=cbr",
        "AVPU:,rc=fixqp,bitrate=2M",
        "AVPU:,bitrate=2M,qp=30",
        "AVPU:,qpmin=20",
        "AVPU:,bitrate=2M,qpmin=30,qpmax=20",
        "AVPU:,rc=abr,bitrate=2M",
        "AVPU:,rc=vbr",
        "AVPU:,rc=cbr,bitrate=2M,max=3M",
        "AVPU:,rc=vbr,bitrate=2M,psnr=38",
        "AVPU:,qp=52",
        "AVPU:,qp=0",
        "AVPU:,class=urgent",
        "AVPU:,overload=often",
        "AVPU:,deadline=0",
        "AVPU:,weight=101",
        "AVPU:,profile=extended",
        "-,fps=25",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_bitrate_without_its_unit_is_a_question() {
    assert!(error("AVPU:,bitrate=2000").ends_with("did you mean 2000k?"));
}

#[test]
fn an_unknown_key_or_keyword_names_the_nearest() {
    assert!(error("AVPU:,bitrat=2M").ends_with("did you mean bitrate?"));
    assert!(error("AVPUSUB:,channel=x").ends_with("did you mean AVPU-SUB?"));
    assert!(error("UNIX-CONECT:x").ends_with("did you mean UNIX-CONNECT?"));
    assert!(error("AVPU:bitrate=2M").ends_with("did you mean AVPU:,bitrate=2M?"));
    assert!(error("clip.y4m").contains("expected an address"));
}

#[test]
fn what_an_address_needs_is_said_with_an_example() {
    assert!(error("NV12:a.nv12").contains("NV12:path,size=1280x720"));
    assert!(error("TEST:").contains("TEST:size=1280x720"));
    assert!(error("AVPU-SUB:").contains("AVPU-SUB:,channel=main"));
    assert!(error("Y4M:").contains("Y4M:clip.y4m"));
    assert!(error("TEST:size=5x5").contains("even"));
}

#[test]
fn a_pattern_has_size_rate_and_end() {
    let pattern = Pattern {
        size: size(176, 144),
        fps: FrameRate { num: 15, den: 1 },
        frames: Some(30),
        pace: true,
    };
    assert_eq!(
        one("TEST:size=176x144,fps=15,frames=30,pace"),
        Endpoint::Test(pattern)
    );
    assert!(error("TEST:wherever,size=16x16").contains("takes only keys"));
}

#[test]
fn a_path_with_a_slash_is_a_file() {
    assert_eq!(one("/tmp/a"), one("FILE:/tmp/a"));
    assert_eq!(one("./a:b"), one("FILE:./a:b"));
    let Endpoint::File(path, format) = one("NV12:/tmp/a,size=4x4,loop,pace") else {
        panic!("expected a file");
    };
    assert_eq!(
        (path.as_str(), format.repeat, format.pace),
        ("/tmp/a", true, true)
    );
}

#[test]
fn a_channel_with_a_number_for_a_name_is_a_channel() {
    let Endpoint::AvpuSub(_, keys) = one("AVPU-SUB:,channel=3,join=demand") else {
        panic!("expected a subscription");
    };
    assert_eq!((keys.channel, keys.join), ("3".to_owned(), Join::DemandIdr));
}

#[test]
fn every_mode_of_rate_control_can_be_asked_for() {
    let expected = RateControl::CappedVbr {
        bitrate_bps: 2_000_000,
        bitrate_max_bps: 3_000_000,
        qp_min: 20,
        qp_max: 0,
        psnr_max_cdb: 3850,
    };
    let text = "AVPU:,rc=capped-vbr,bitrate=2M,max=3M,psnr=38.5,qpmin=20";
    assert_eq!(keys(text).rate_control, expected);
    let expected = RateControl::CappedQuality {
        bitrate_max_bps: 2_000_000,
        qp_min: 0,
        qp_max: 0,
        psnr_cdb: 0,
    };
    let text = "AVPU:,rc=capped-quality,bitrate=2M";
    assert_eq!(keys(text).rate_control, expected);
}

#[test]
fn every_parameter_of_a_channel_has_a_key() {
    let found = keys(
        "AVPU:,fpsout=10,ipdelta=0,picturemax=60000,ring=262144,delimiters,fullrange,overload=latest-only",
    );
    assert_eq!(found.fps_out, Some(FrameRate { num: 10, den: 1 }));
    assert_eq!(found.ip_qp_delta, Some(0));
    assert_eq!(
        (found.picture_bytes_max, found.ring_bytes),
        (60_000, 262_144)
    );
    assert!(found.delimiters && found.full_range);
    assert_eq!(found.overload, Overload::LatestOnly);
    let plain = keys("AVPU:");
    assert_eq!((plain.fps_out, plain.ip_qp_delta), (None, None));
    assert!(!plain.delimiters && !plain.full_range);
    assert!(keys("AVPU:,bitrate=1M,filler").filler && !plain.filler);
    error("AVPU:,filler");
    error("AVPU:,rc=vbr,bitrate=1M,filler");
    error("AVPU:,ipdelta=11");
    error("AVPU:,fpsout=0");
}
