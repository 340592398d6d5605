//! `avpuctl explain` and `avpuctl trace` with the real daemon: sentences for people, a file that trace viewers take.
//!
//! [`check_format`] holds a file to the rules of the Trace Event Format: what every event has, which pairs belong
//! together, what must not overlap. It knows nothing of what the tool means to say.

use avpu_client::{ChannelConfig, Client, Frame};
use avpu_proto::types::FrameEnd;
use avpu_tests::daemon::{Daemon, program};
use avpu_tests::process::{Finish, Process};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Longer than anything here takes, also on a busy machine.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

fn avpuctl(socket: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program("avpuctl"));
    command.arg("--socket").arg(socket).args(words);
    command.stdin(Stdio::null());
    command
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// A name that must be escaped wherever it is quoted.
const NAME: &str = r#"the "main" \ ä"#;

/// Encodes until `enough` says so, asked after each picture with its sequence number.
fn encode_until(socket: &Path, mut enough: impl FnMut(u32) -> bool) {
    let client = Client::connect(socket).expect("the daemon takes connections");
    let config = ChannelConfig::new(176, 144).fix_qp(30).name(NAME);
    let channel = client.open_channel(&config).expect("a channel can be had");
    let mut buffer = channel.lease(1).expect("a buffer can be had").remove(0);
    loop {
        let submitted = channel.submit(buffer, Frame::default());
        submitted.expect("it is accepted");
        let released = channel.next_released(PATIENCE).expect("it ends");
        let avpu_client::Outcome::Ended { end, .. } = released.outcome else {
            panic!("expected an end, found {released:?}");
        };
        let FrameEnd::Encoded { sequence } = end else {
            panic!("expected a packet, found {end:?}");
        };
        if enough(sequence.value()) {
            return;
        }
        let buffers = released.source.into_buffer();
        buffer = buffers.expect("it was leased");
    }
}

#[test]
fn a_packet_is_explained_in_sentences_also_when_its_channel_is_gone() {
    let daemon = Daemon::start("");
    encode_until(&daemon.socket(), |sequence| sequence == 3);
    let explain = |words: &[&str]| avpuctl(&daemon.socket(), words).finish();
    let told = explain(&["explain", NAME, "2"]);
    let (sentences, errors) = text(&told);
    assert!(told.status.success(), "{errors}");
    assert!(sentences.starts_with(&format!("Frame 2 of channel {NAME} (id ")));
    for part in [
        "It waited ",
        "as a P picture with QP 30.",
        " later it was in the ring with ",
        "It became packet 2 and ended ",
    ] {
        assert!(sentences.contains(part), "{sentences}");
    }
    let told = explain(&["--json", "explain", "--frame", NAME, "0"]);
    let record: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(
        (&record["name"], &record["kind"]),
        (&NAME.into(), &"Idr".into())
    );

    let unknown = explain(&["explain", NAME, "4"]);
    assert_eq!(unknown.status.code(), Some(4));
    assert!(text(&unknown).1.contains("no-such-object"), "{unknown:?}");
    let unknown = explain(&["explain", "garden", "0"]);
    assert_eq!(unknown.status.code(), Some(4));
    assert!(text(&unknown).1.contains("\"garden\""), "{unknown:?}");
}

#[test]
fn a_trace_is_what_viewers_take() {
    let daemon = Daemon::start("");
    let path = daemon.folder().join("t.json");
    let path_text = path.to_str().expect("a plain path");
    let words = ["trace", "--seconds", "1", "--out", path_text];
    let tracing = Process::start(avpuctl(&daemon.socket(), &words).stdout(Stdio::piped()));
    encode_until(&daemon.socket(), |_| tracing.has_ended());
    let output = tracing.output();
    let (said, _) = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.starts_with("wrote "), "{said}");
    let bytes = fs::read(&path).expect("the file is there");
    let trace: Value = serde_json::from_slice(&bytes).expect("JSON");
    let tracks = check_format(&trace).unwrap_or_else(|rule| panic!("{rule}"));
    let names: Vec<&str> = tracks.iter().map(String::as_str).collect();
    for name in ["avpud: encoder", "core 0"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let client = format!("client {}", std::process::id());
    assert!(names.contains(&client.as_str()), "{names:?}");
    let channel = format!("{NAME} (channel ");
    assert!(names.iter().any(|name| name.starts_with(&channel)));
}

#[test]
fn a_trace_that_cannot_be_written_is_an_error_that_names_the_file() {
    let daemon = Daemon::start("");
    let nowhere = daemon.folder().join("no/such/folder/t.json");
    let nowhere = nowhere.to_str().expect("a plain path");
    let words = ["trace", "--seconds", "1", "--out", nowhere];
    let output = avpuctl(&daemon.socket(), &words).finish();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).1.contains(nowhere), "{output:?}");
}

/// A thread of a trace.
type Track = (u64, Option<u64>);

/// Checks the rules of the format; answers the names of all tracks, or the rule that is broken.
fn check_format(trace: &Value) -> Result<Vec<String>, String> {
    let events = trace["traceEvents"].as_array().ok_or("no traceEvents")?;
    let unit = trace["displayTimeUnit"].as_str();
    if !matches!(unit, None | Some("ms" | "ns")) {
        return Err(format!("displayTimeUnit is {unit:?}"));
    }
    let mut names = Vec::new();
    let mut named = BTreeSet::new();
    let mut used = BTreeSet::new();
    let mut complete: BTreeMap<Track, Vec<(f64, f64)>> = BTreeMap::new();
    // Open asynchronous events by process, category and id; the names nest.
    let mut open: BTreeMap<(u64, String, String), Vec<(String, f64)>> = BTreeMap::new();
    for event in events {
        let bad = |rule: &str| format!("{rule}: {event}");
        let name = event["name"].as_str().ok_or_else(|| bad("no name"))?;
        let pid = event["pid"].as_u64().ok_or_else(|| bad("no pid"))?;
        let phase = event["ph"].as_str().ok_or_else(|| bad("no phase"))?;
        let tid = event["tid"].as_u64();
        let track = (pid, tid);
        if phase == "M" {
            let text = event["args"]["name"].as_str();
            names.push(
                text.ok_or_else(|| bad("metadata without a name"))?
                    .to_owned(),
            );
            let track = match name {
                "process_name" => (pid, None),
                "thread_name" if tid.is_some() => track,
                _ => return Err(bad("unknown metadata")),
            };
            if !named.insert(track) {
                return Err(bad("named twice"));
            }
            continue;
        }
        let at = event["ts"].as_f64().ok_or_else(|| bad("no time"))?;
        if tid.is_none() || event["cat"].as_str().is_none() {
            return Err(bad("no thread or category"));
        }
        used.insert(track);
        used.insert((pid, None));
        let key = || {
            let id = event["id"].to_string();
            (pid, event["cat"].to_string(), id)
        };
        match phase {
            "X" => {
                let length = event["dur"].as_f64().filter(|length| *length >= 0.0);
                let length = length.ok_or_else(|| bad("no duration"))?;
                complete.entry(track).or_default().push((at, at + length));
            }
            "b" if event["id"].is_null() => return Err(bad("no id")),
            "b" => open.entry(key()).or_default().push((name.to_owned(), at)),
            "e" => {
                let begun = open.entry(key()).or_default().pop();
                let fits = begun.is_some_and(|(begun, since)| begun == name && since <= at);
                if !fits {
                    return Err(bad("an end without its beginning"));
                }
            }
            "i" if ["g", "p", "t"].contains(&event["s"].as_str().unwrap_or("")) => {}
            _ => {
                return Err(bad(
                    "a phase that is not used, or an instant without a scope",
                ));
            }
        }
    }
    if let Some((key, _)) = open.iter().find(|(_, begun)| !begun.is_empty()) {
        return Err(format!("never ended: {key:?}"));
    }
    if let Some(track) = used.difference(&named).next() {
        return Err(format!("a track without a name: {track:?}"));
    }
    for (track, spans) in &mut complete {
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        if let Some(pair) = spans.windows(2).find(|pair| pair[1].0 < pair[0].1) {
            return Err(format!("complete events of {track:?} overlap: {pair:?}"));
        }
    }
    if complete.is_empty() {
        return Err("no picture was traced".to_owned());
    }
    Ok(names)
}

#[test]
fn the_check_finds_what_viewers_refuse() {
    let name = r#"{"name":"process_name","ph":"M","pid":1,"args":{"name":"p"}},
        {"name":"thread_name","ph":"M","pid":1,"tid":2,"args":{"name":"t"}}"#;
    let span = |ts: u32, dur: u32| {
        format!(r#"{{"name":"x","cat":"c","ph":"X","pid":1,"tid":2,"ts":{ts},"dur":{dur}}}"#)
    };
    let mark = |phase: &str, name: &str, ts: u32| {
        format!(r#"{{"name":"{name}","cat":"c","ph":"{phase}","id":1,"pid":1,"tid":2,"ts":{ts}}}"#)
    };
    let check = |events: &[String]| {
        let events = events.join(",");
        let text = format!(r#"{{"traceEvents":[{name},{events}]}}"#);
        check_format(&serde_json::from_str(&text).expect("JSON"))
    };
    let good = [span(0, 5), span(5, 1), mark("b", "f", 0), mark("e", "f", 9)];
    assert_eq!(check(&good), Ok(vec!["p".to_owned(), "t".to_owned()]));
    let overlapping = [span(0, 5), span(4, 1)];
    assert!(check(&overlapping).unwrap_err().contains("overlap"));
    let crossed = [span(0, 5), mark("b", "f", 0), mark("e", "g", 9)];
    assert!(check(&crossed).unwrap_err().contains("beginning"));
    let open = [span(0, 5), mark("b", "f", 0)];
    assert!(check(&open).unwrap_err().contains("never ended"));
    let stranger = [span(0, 5).replace("\"tid\":2", "\"tid\":3")];
    assert!(check(&stranger).unwrap_err().contains("without a name"));
}
