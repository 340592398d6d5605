//! Words and the requests that they become.

use super::*;
use avpu_proto::reply::ChannelOpened;
use avpu_proto::types::Sequence;

fn parsed(text: &str) -> Result<Change, UsageError> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    change(&words[0], &words[1..])
}

fn request(text: &str) -> Reconfigure {
    let change = parsed(text).expect("a change");
    change.request(None).expect("a mode that takes it")
}

#[test]
fn plain_numbers_become_fields_and_the_rest_stays() {
    let expected = Reconfigure {
        bitrate_bps: 800_000,
        gop_length: 50,
        fps: Some(FrameRate { num: 15, den: 1 }),
        qp_min: 20,
        qp_max: 40,
        ..Reconfigure::default()
    };
    assert_eq!(
        request("main bitrate=800k gop=50 fps=15 qp=20-40"),
        expected
    );
    let expected = Reconfigure {
        fps_out: Some(FrameRate::default()),
        ip_qp_delta: Some(0),
        deadline_us: Some(40_000),
        overload: Some(Overload::LatestOnly),
        ..Reconfigure::default()
    };
    let text = "3 fps-out=all ip-delta=0 deadline-ms=40 overload=latest-only";
    assert_eq!(request(text), expected);
}

#[test]
fn a_mode_takes_the_rates_that_are_said_or_else_those_of_the_channel() {
    let vbr = RateControl::Vbr {
        bitrate_bps: 500_000,
        bitrate_max_bps: 900_000,
        qp_min: 0,
        qp_max: 0,
    };
    let found = request("main mode=vbr bitrate=500k max=900k");
    assert_eq!(found.rate_control, Some(vbr));
    assert_eq!(found.bitrate_bps, 0);
    let now = ChannelReport {
        name: "main".into(),
        rate_control: vbr,
        ..ChannelReport::default()
    };
    let change = parsed("main mode=capped-quality psnr=38.5 qp=18-30").expect("a change");
    assert!(change.needs_report());
    assert_eq!(change.channel(), "main");
    let quality = RateControl::CappedQuality {
        bitrate_max_bps: 900_000,
        qp_min: 18,
        qp_max: 30,
        psnr_cdb: 3850,
    };
    let found = change.request(Some(&now)).expect("a mode that takes it");
    assert_eq!(found.rate_control, Some(quality));
    let fixed = RateControl::FixQp { qp: 33 };
    assert_eq!(request("main qp=33").rate_control, Some(fixed));
}

#[test]
fn what_has_no_meaning_in_a_mode_is_refused_and_not_left_out() {
    for (text, expected) in [
        (
            "main qp=30 bitrate=800k",
            "bitrate=800k: expected no rate with fixqp, found bitrate",
        ),
        ("main mode=fixqp max=1M", "max=1M: expected no rate"),
        (
            "main mode=fixqp qp=20-40",
            "qp=20-40: expected a constant QP like qp=30 with fixqp, found qp",
        ),
        ("main mode=fixqp psnr=38", "psnr=38: expected no quality"),
        ("main mode=cbr qp=30", "qp=30: expected QP bounds"),
        ("main mode=cbr max=1M", "max=1M: expected bitrate alone"),
        ("main mode=cbr psnr=38", "psnr=38: expected no quality"),
        ("main mode=vbr psnr=38", "psnr=38: expected no quality"),
        (
            "main mode=capped-quality bitrate=1M max=2M",
            "bitrate=1M: expected one rate",
        ),
    ] {
        let error = parsed(text).expect_err(text).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_quality_alone_is_for_a_channel_that_has_one() {
    let now = |rate_control| ChannelReport {
        rate_control,
        ..ChannelReport::default()
    };
    let capped = |psnr_max_cdb| RateControl::CappedVbr {
        bitrate_bps: 500_000,
        bitrate_max_bps: 900_000,
        qp_min: 18,
        qp_max: 40,
        psnr_max_cdb,
    };
    let change = parsed("main psnr=38.5 bitrate=600k").expect("a change");
    assert!(change.needs_report());
    let found = change
        .request(Some(&now(capped(4200))))
        .expect("it has one");
    assert_eq!(found.rate_control, Some(capped(3850)));
    assert_eq!(found.bitrate_bps, 600_000);
    let none = now(RateControl::FixQp { qp: 30 });
    let error = parsed("main psnr=38").expect("a change");
    let error = error.request(Some(&none)).expect_err("it has none");
    assert_eq!(
        error.to_string(),
        "psnr=38: expected no quality with fixqp, found psnr"
    );
}

#[test]
fn a_group_that_is_said_as_a_time_goes_by_the_pictures_that_will_be_encoded() {
    let rate = |num, den| FrameRate { num, den };
    let now = ChannelReport {
        fps: rate(25, 1),
        fps_out: rate(25, 1),
        ..ChannelReport::default()
    };
    for (words, fps_out, expected) in [
        ("main gop=2s", rate(25, 1), 50),
        ("main gop=2s", rate(10, 1), 20),
        ("main gop=2s fps=15", rate(25, 1), 30),
        ("main gop=2s fps-out=5", rate(25, 1), 10),
        ("main gop=2s fps-out=all", rate(10, 1), 50),
        ("main gop=50", rate(10, 1), 50),
    ] {
        let now = ChannelReport {
            fps_out,
            ..now.clone()
        };
        let found = parsed(words).expect("a change").request(Some(&now));
        assert_eq!(found.expect("it runs").gop_length, expected, "{words}");
    }
}

#[test]
fn the_words_of_avpucat_are_known_too() {
    for (one, other) in [
        ("rc=vbr bitrate=1M", "mode=vbr bitrate=1M"),
        ("fpsout=10 ipdelta=3", "fps-out=10 ip-delta=3"),
        (
            "picturemax=5000 deadline=40",
            "picture-max=5000 deadline-ms=40",
        ),
        ("overload=oldest", "overload=drop-oldest"),
        ("class=besteffort", "class=best-effort"),
    ] {
        let request = |words: &str| request(&format!("main {words}"));
        assert_eq!(request(one), request(other));
    }
    assert!(parsed("main rc=vbr mode=cbr").is_err());
}

#[test]
fn one_bound_leaves_the_other_as_it_is() {
    let low = request("main qp=20-");
    assert_eq!((low.qp_min, low.qp_max), (20, 0));
    let high = request("main qp=-40");
    assert_eq!((high.qp_min, high.qp_max), (0, 40));
}

#[test]
fn the_answer_tells_what_was_asked_for_what_is_in_effect_and_what_is_not_as_asked() {
    let changed = Reconfigured {
        first: Sequence::new(7),
        clamped: vec!["weight: asked for 900, 100 in effect".to_owned()],
        effective: ChannelOpened {
            name: "main".into(),
            fps: FrameRate { num: 25, den: 1 },
            fps_out: FrameRate { num: 25, den: 2 },
            gop_length: 50,
            weight: 100,
            ticket_us: 20_000,
            ..ChannelOpened::default()
        },
        width: 640,
        height: 360,
        ..Reconfigured::default()
    };
    let expected = "\
main from packet 7: 640x360 High, FixQp { qp: 0 }, fps 25/2 of 25, gop 50
  I/P delta 0, picture limit none, class BestEffort, weight 100, overload Reject, deadline none, ticket 20000 us
  asked for weight=900
  not as asked: weight: asked for 900, 100 in effect
";
    assert_eq!(show("weight=900", &changed), expected);
}

#[test]
fn words_that_cannot_be_understood_are_refused() {
    for text in [
        "main bitrate",
        "main bitrate=8",
        "main qp=0",
        "main qp=20-60",
        "main qp=-",
        "main mode=abr",
        "main psnr=38.555",
        "main colour=red",
        "main size=640",
        "main fps=0",
        "main gop=5 gop=6",
    ] {
        assert!(parsed(text).is_err(), "{text}");
    }
}
