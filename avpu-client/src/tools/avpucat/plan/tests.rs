//! Tests of the file above.

use super::*;
use crate::tools::avpucat::options::{self, Command};

fn plan(text: &str) -> Result<Plan, UsageError> {
    match options::parse(text.split(' ').map(str::to_owned))? {
        Command::Run(options) => Plan::new(&options),
        other => panic!("{other:?}"),
    }
}

#[test]
fn frames_go_in_and_the_bitstream_comes_out_where_the_address_has_both_ways() {
    for text in ["- AVPU:", "AVPU: -", "AVPU:", "-!!- AVPU:"] {
        let Ok(Plan::Encode { frames, stream, .. }) = plan(text) else {
            panic!("{text}");
        };
        assert_eq!(frames, Frames::Bytes(Input::Stdio, Format::default()));
        assert_eq!(stream, Some(Sink::Stdio), "{text}");
    }
}

#[test]
fn a_source_alone_leaves_the_bitstream_to_others() {
    for text in [
        "Y4M:a AVPU:",
        "FILE:a AVPU:",
        "TEST:size=16x16 AVPU:",
        "-u - AVPU:",
        "-U AVPU: -",
    ] {
        assert!(
            matches!(plan(text), Ok(Plan::Encode { stream: None, .. })),
            "{text}"
        );
    }
}

#[test]
fn a_read_and_a_write_address_are_kept_apart() {
    let Ok(Plan::Encode { frames, stream, .. }) = plan("Y4M:a!!H264:b AVPU:,bitrate=2M") else {
        panic!("expected an encode");
    };
    assert!(matches!(frames, Frames::Bytes(Input::File(path), _) if path == "a"));
    assert_eq!(stream, Some(Sink::File("b".to_owned())));
}

#[test]
fn a_subscription_goes_to_what_takes_a_bitstream() {
    for text in [
        "AVPU-SUB:,channel=a",
        "AVPU-SUB:,channel=a -",
        "- AVPU-SUB:,channel=a",
    ] {
        assert!(
            matches!(
                plan(text),
                Ok(Plan::Watch {
                    stream: Sink::Stdio,
                    ..
                })
            ),
            "{text}"
        );
    }
    let listen = plan("AVPU-SUB:,channel=a UNIX-LISTEN:/x");
    assert!(matches!(
        listen,
        Ok(Plan::Watch {
            stream: Sink::Socket(Socket::Listen(_)),
            ..
        })
    ));
}

#[test]
fn two_sockets_make_a_proxy_in_either_order() {
    for text in [
        "UNIX-LISTEN:/a UNIX-CONNECT:/b",
        "UNIX-CONNECT:/b UNIX-LISTEN:/a",
    ] {
        let expected = Plan::Proxy {
            listen: "/a".to_owned(),
            connect: Upstream::Path("/b".to_owned()),
        };
        assert_eq!(plan(text), Ok(expected));
    }
    let raw = plan("UNIX-LISTEN:/a AVPU-RAW:");
    assert!(matches!(
        raw,
        Ok(Plan::Proxy {
            connect: Upstream::Daemon(None),
            ..
        })
    ));
}

#[test]
fn json_goes_with_the_raw_protocol() {
    assert!(matches!(
        plan("JSON:- AVPU-RAW:"),
        Ok(Plan::Json { socket: None })
    ));
    assert!(matches!(
        plan("AVPU-RAW:/x JSON:-"),
        Ok(Plan::Json { socket: Some(_) })
    ));
}

#[test]
fn other_pairs_pass_bytes_on_both_ways_or_as_told() {
    let both = plan("- UNIX-CONNECT:/a");
    assert!(matches!(
        both,
        Ok(Plan::Relay {
            right: Some(_),
            left: Some(_)
        })
    ));
    let right = plan("-u - UNIX-CONNECT:/a");
    assert!(matches!(
        right,
        Ok(Plan::Relay {
            right: Some(_),
            left: None
        })
    ));
    let left = plan("-U - UNIX-CONNECT:/a");
    assert!(matches!(
        left,
        Ok(Plan::Relay {
            right: None,
            left: Some(_)
        })
    ));
    let copy = plan("FILE:a FILE:b");
    assert!(matches!(
        copy,
        Ok(Plan::Relay {
            right: Some(_),
            left: None
        })
    ));
}

#[test]
fn pairs_that_mean_nothing_are_refused_with_a_sentence() {
    for text in [
        "-U - AVPU:",
        "-u AVPU: -",
        "-U AVPU-SUB:,channel=a -",
        "H264:a AVPU:",
        "AVPU: AVPU:",
        "AVPU: AVPU-SUB:,channel=a",
        "AVPU-SUB:,channel=a TEST:size=16x16",
        "AVPU-SUB:,channel=a Y4M:b",
        "AVPU-SUB:,channel=a -!!-",
        "TEST:size=16x16 -",
        "Y4M:a FILE:b",
        "JSON:- -",
        "AVPU-RAW: -",
        "-u JSON:- AVPU-RAW:",
        "-!!AVPU: -",
        "FILE:a UNIX-CONNECT:/b",
    ] {
        assert!(
            matches!(plan(text), Err(UsageError::Pair(_))),
            "{text}: {:?}",
            plan(text)
        );
    }
}

#[test]
fn a_proxy_has_no_use_for_the_size_of_pictures() {
    for text in [
        "UNIX-LISTEN:/a,size=64x64 UNIX-CONNECT:/b",
        "UNIX-CONNECT:/b,size=64x64,fps=30 UNIX-LISTEN:/a",
        "UNIX-LISTEN:/a UNIX-CONNECT:/b,size=64x64",
        "UNIX-LISTEN:/a,size=64x64 AVPU-RAW:",
    ] {
        let planned = plan(text);
        assert!(
            matches!(planned, Err(UsageError::Pair(_))),
            "{text}: {planned:?}"
        );
    }
}
