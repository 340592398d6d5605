//! `JSON:-` against `AVPU-RAW:`: requests typed as lines of JSON, replies and events read as lines of JSON.
//!
//! `Status` and `"Status"` are the same request; `{"OpenChannel":{"width":176,"height":144}}` takes the defaults
//! for what it does not name. A key or request that there is not is an error that names the nearest.

use super::endpoint::{Output, Source};
use super::failure::Failure;
use super::lines;
use super::link;
use super::nearest::nearest;
use super::options::Options;
use super::plan::{Input, Sink};
use super::wait::Patience;
use crate::session::{Incoming, Session};
use crate::sys::{ControlRoom, receive};
use crate::{ClientError, ProtocolError};
use avpu_proto::request::{
    CloseChannel, Drain, LeaseBuffers, OpenChannel, Page, RegisterRegion, ReleasePackets, Request,
    RequestIdr, ReturnLease, Submit, Subscribe, UnregisterRegion, Unsubscribe, Watch,
};
use avpu_proto::types::RateControl;
use avpu_proto::version::{ClientHello, DaemonHello, HELLO_BYTES};
use nix::errno::Errno;
use nix::poll::PollFlags;
use serde_json::{Map, Value};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Longest line that is taken.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Time for the daemon's Hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Talks until the input has ended and every request is answered, or the daemon closes.
pub(crate) fn run(
    options: &Options,
    socket: Option<&str>,
    patience: &mut Patience,
) -> Result<(), Failure> {
    let (stream, tap) = link::stream(options, socket)?;
    let result = talk(&stream, patience);
    drop(stream);
    tap.finish();
    result
}

fn talk(stream: &UnixStream, patience: &mut Patience) -> Result<(), Failure> {
    greet(stream)?;
    let mut talk = Talk {
        stream,
        session: Session::new(),
        room: ControlRoom::new(),
        input: Source::open(&Input::Stdio, patience)?,
        output: Output::open(&Sink::Stdio, false, patience)?,
        line: Vec::new(),
        ended: false,
        mistakes: 0,
    };
    talk.run(patience)?;
    match talk.mistakes {
        0 => Ok(()),
        count => Err(Failure::Failed(format!("{count} lines were no requests"))),
    }
}

fn greet(mut stream: &UnixStream) -> Result<(), Failure> {
    let trouble = |error| Failure::Client(ClientError::Io(error));
    stream
        .set_read_timeout(Some(HELLO_TIMEOUT))
        .map_err(trouble)?;
    let ours = ClientHello::OURS;
    // A daemon that turns us away may have closed already; its answer is there all the same.
    let _ = stream.write_all(&ours.encode());
    let mut answer = [0; HELLO_BYTES];
    stream
        .read_exact(&mut answer)
        .map_err(|_| ClientError::Disconnected)?;
    match DaemonHello::decode(answer, ours) {
        Ok(DaemonHello::Welcome { .. }) => stream.set_nonblocking(true).map_err(trouble),
        Ok(DaemonHello::Refused { reason, .. }) => Err(ClientError::TurnedAway(reason).into()),
        Err(error) => Err(ClientError::Protocol(ProtocolError::Hello(error)).into()),
    }
}

struct Talk<'a> {
    stream: &'a UnixStream,
    session: Session<OwnedFd, ()>,
    room: ControlRoom,
    input: Source,
    output: Output,
    line: Vec<u8>,
    ended: bool,
    mistakes: u32,
}

impl Talk<'_> {
    fn run(&mut self, patience: &mut Patience) -> Result<(), Failure> {
        loop {
            self.output.flush()?;
            if self.ended && self.session.unanswered() == 0 && self.output.is_idle() {
                return Ok(());
            }
            let reads = !self.ended && self.session.has_room() && self.output.is_idle();
            let mut daemon = PollFlags::empty();
            daemon.set(PollFlags::POLLIN, self.output.is_idle());
            daemon.set(PollFlags::POLLOUT, !self.session.output().is_empty());
            let mut wanted = vec![(self.stream.as_fd(), daemon), self.output.interest()];
            if reads {
                wanted.push((self.input.as_fd(), PollFlags::POLLIN));
            }
            let ready = patience.wait(&wanted, None)?;
            self.output.check(ready[1])?;
            let input_ready = ready.get(2).is_some_and(|ready| !ready.is_empty());
            if patience.interrupts()? > 0 {
                self.ended = true;
            }
            if input_ready && !self.ended {
                self.read_lines()?;
                patience.touch();
            }
            if !ready[0].is_empty() {
                patience.touch();
            }
            self.send()?;
            if self.output.is_idle() && !self.receive()? {
                // What was said before the end is shown before it is.
                while !self.output.is_idle() {
                    patience.wait(&[self.output.interest()], None)?;
                    patience.interrupts()?;
                    self.output.flush()?;
                }
                return if self.ended && self.session.unanswered() == 0 {
                    Ok(())
                } else {
                    Err(ClientError::Disconnected.into())
                };
            }
        }
    }

    fn read_lines(&mut self) -> Result<(), Failure> {
        let mut bytes = [0; 4096];
        let count = self.input.read(&mut bytes)?;
        self.line.extend_from_slice(&bytes[..count]);
        self.ended = count == 0;
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            self.request(&line);
        }
        if self.ended && !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            self.request(&line);
        }
        if self.line.len() > LINE_BYTES_MAX {
            return Err(Failure::Failed(format!(
                "a line is longer than {LINE_BYTES_MAX} bytes"
            )));
        }
        Ok(())
    }

    fn request(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        if text.trim().is_empty() {
            return;
        }
        let sent = match parse(&text) {
            Ok(_) if !self.session.has_room() => Err("too many requests are unanswered".to_owned()),
            Ok(request) => {
                let sent = self.session.request(&request, ());
                sent.map(|_| ()).map_err(|(error, ())| error.to_string())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            eprintln!("avpucat: {error}");
            self.mistakes += 1;
        }
    }

    fn send(&mut self) -> Result<(), Failure> {
        while !self.session.output().is_empty() {
            let mut stream = self.stream;
            match stream.write(self.session.output()) {
                Ok(count) => self.session.sent(count),
                Err(error) => match error.kind() {
                    std::io::ErrorKind::WouldBlock => break,
                    std::io::ErrorKind::Interrupted => {}
                    // What the daemon said before it closed is still read.
                    _ => self.session.sent(usize::MAX),
                },
            }
        }
        Ok(())
    }

    /// Shows what came; false when the daemon has closed.
    fn receive(&mut self) -> Result<bool, Failure> {
        let mut descriptors = Vec::new();
        let into = self.session.space();
        let received = receive(self.stream, into, &mut self.room, |fd| descriptors.push(fd));
        for descriptor in descriptors {
            self.session.descriptor(descriptor);
        }
        match received {
            Ok(0) | Err(Errno::ECONNRESET) => return Ok(false),
            Ok(count) => self.session.fill(count),
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(true),
            Err(errno) => return Err(ClientError::Io(errno.into()).into()),
        }
        while let Some(incoming) = self
            .session
            .poll_incoming()
            .map_err(ClientError::Protocol)?
        {
            let line = match incoming {
                Incoming::Reply {
                    id,
                    reply,
                    descriptor,
                    ..
                } => {
                    let count = u8::from(descriptor.is_some());
                    lines::reply(id.number(), reply, count)
                }
                Incoming::Event(event) => lines::event(event),
            };
            self.output.push(line.as_bytes());
            self.output.push(b"\n");
        }
        self.output.flush()?;
        Ok(true)
    }
}

/// Every request with its defaults.
fn requests() -> Vec<Request> {
    vec![
        Request::Capabilities,
        Request::OpenChannel(OpenChannel::default()),
        Request::CloseChannel(CloseChannel::default()),
        Request::LeaseBuffers(LeaseBuffers::default()),
        Request::ReturnLease(ReturnLease::default()),
        Request::RegisterRegion(RegisterRegion::default()),
        Request::UnregisterRegion(UnregisterRegion::default()),
        Request::Submit(Submit::default()),
        Request::Subscribe(Subscribe::default()),
        Request::Unsubscribe(Unsubscribe::default()),
        Request::ReleasePackets(ReleasePackets::default()),
        Request::RequestIdr(RequestIdr::default()),
        Request::Drain(Drain::default()),
        Request::Status,
        Request::Channels(Page::default()),
        Request::Clients(Page::default()),
        Request::Memory(Page::default()),
        Request::Watch(Watch::default()),
    ]
}

/// Parses a line.
fn parse(text: &str) -> Result<Request, String> {
    let text = text.trim();
    let value: Value = if text.starts_with(['{', '"']) {
        serde_json::from_str(text).map_err(|error| format!("expected a request: {error}"))?
    } else {
        Value::String(text.to_owned())
    };
    let (name, fields) = match value {
        Value::String(name) => (name, Value::Object(Map::new())),
        Value::Object(object) if object.len() == 1 => match object.into_iter().next() {
            Some((name, fields)) => (name, fields),
            None => return Err("expected one request, found none".to_owned()),
        },
        _ => return Err("expected one request like {\"Drain\":{\"channel\":1}}".to_owned()),
    };
    let known = requests();
    let values: Vec<Value> = known.iter().map(to_value).collect();
    let names: Vec<&str> = values.iter().filter_map(name_of).collect();
    let Some(at) = names.iter().position(|known| *known == name) else {
        return Err(match nearest(&name, &names) {
            Some(word) => format!("there is no request {name}: did you mean {word}?"),
            None => format!("there is no request {name}, only {}", names.join(", ")),
        });
    };
    let mut request = values[at].clone();
    match request.get_mut(&name) {
        Some(defaults) => overlay(defaults, fields)?,
        None if fields.as_object().is_some_and(Map::is_empty) || fields.is_null() => {}
        None => return Err(format!("{name} has no fields")),
    }
    serde_json::from_value(request).map_err(|error| format!("{name}: {error}"))
}

fn to_value(value: impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

fn name_of(value: &Value) -> Option<&str> {
    match value {
        Value::String(name) => Some(name),
        Value::Object(object) => object.keys().next().map(String::as_str),
        _ => None,
    }
}

/// Puts what was typed over the defaults. A choice between variants takes the defaults of the chosen one.
fn overlay(defaults: &mut Value, typed: Value) -> Result<(), String> {
    let (Value::Object(fields), Value::Object(typed)) = (&mut *defaults, &typed) else {
        *defaults = typed;
        return Ok(());
    };
    let rate_controls = [
        RateControl::FixQp { qp: 0 },
        RateControl::Cbr {
            bitrate_bps: 0,
            qp_min: 0,
            qp_max: 0,
        },
    ];
    let variants: Vec<Value> = rate_controls.iter().map(to_value).collect();
    let is_choice = variants
        .iter()
        .any(|variant| name_of(variant) == fields.keys().next().map(String::as_str));
    if is_choice && let Some(name) = typed.keys().next() {
        let chosen = variants
            .iter()
            .find(|variant| name_of(variant) == Some(name));
        if let Some(Value::Object(chosen)) = chosen {
            fields.clone_from(chosen);
        }
    }
    for (key, value) in typed {
        let known: Vec<String> = fields.keys().cloned().collect();
        let Some(field) = fields.get_mut(key) else {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            return Err(match nearest(key, &known) {
                Some(word) => format!("there is no field {key}: did you mean {word}?"),
                None => format!("there is no field {key}, only {}", known.join(", ")),
            });
        };
        overlay(field, value.clone())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_fields_is_a_word() {
        for text in [
            "Status",
            "\"Status\"",
            "{\"Status\":{}}",
            "{\"Status\":null}",
            " Status \n",
        ] {
            assert_eq!(parse(text), Ok(Request::Status), "{text}");
        }
        assert_eq!(parse("Channels"), Ok(Request::Channels(Page::default())));
    }

    #[test]
    fn fields_that_are_not_named_have_their_defaults() {
        let expected = OpenChannel {
            width: 176,
            height: 144,
            ..OpenChannel::default()
        };
        let found = parse(r#"{"OpenChannel":{"width":176,"height":144}}"#);
        assert_eq!(found, Ok(Request::OpenChannel(expected)));
    }

    #[test]
    fn a_variant_is_chosen_by_its_name_and_completed() {
        let found = parse(r#"{"OpenChannel":{"rate_control":{"Cbr":{"bitrate_bps":2000000}}}}"#);
        let Ok(Request::OpenChannel(open)) = found else {
            panic!("{found:?}");
        };
        let expected = RateControl::Cbr {
            bitrate_bps: 2_000_000,
            qp_min: 0,
            qp_max: 0,
        };
        assert_eq!(open.rate_control, expected);
        let found = parse(r#"{"OpenChannel":{"fps":{"num":15,"den":1},"class":"Live"}}"#);
        assert!(found.is_ok(), "{found:?}");
    }

    #[test]
    fn what_there_is_not_names_the_nearest() {
        let error = parse("Statsu").unwrap_err();
        assert!(error.ends_with("did you mean Status?"), "{error}");
        let error = parse(r#"{"Drain":{"chanel":1}}"#).unwrap_err();
        assert!(error.ends_with("did you mean channel?"), "{error}");
    }

    #[test]
    fn lines_that_are_no_requests_are_refused() {
        for text in [
            "{",
            "{}",
            r#"{"Drain":{},"Status":{}}"#,
            r#"{"Status":{"x":1}}"#,
            r#"{"Drain":{"channel":"one"}}"#,
            r#"{"Drain":{"channel":-1}}"#,
            "[1]",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_request_is_known_once() {
        let names: Vec<Value> = requests().iter().map(to_value).collect();
        let mut names: Vec<&str> = names.iter().filter_map(name_of).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for (number, request) in (0..).zip(requests()) {
            // In the order of their numbers on the wire, so that none is left out in between.
            let mut bytes = Vec::new();
            let id = avpu_proto::frame::RequestId::new(0);
            avpu_proto::frame::encode_request(&mut bytes, id, &request).unwrap();
            assert_eq!(bytes[avpu_proto::frame::HEADER_BYTES], number);
        }
    }
}
