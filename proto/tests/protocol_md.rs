//! `PROTOCOL.md` says what the code does: every message, field, enum, error code and limit, and its example bytes.

use avpu_proto::decode;
use avpu_proto::error::ErrorCode;
use avpu_proto::frame::{Decoder, Kind};
use avpu_proto::version::{ClientHello, DaemonHello};
use avpu_proto::{limits, ring};
use std::collections::BTreeMap;

const PROTOCOL: &str = include_str!("../PROTOCOL.md");
const SOURCES: [&str; 6] = [
    include_str!("../src/types.rs"),
    include_str!("../src/error.rs"),
    include_str!("../src/request.rs"),
    include_str!("../src/reply.rs"),
    include_str!("../src/event.rs"),
    include_str!("../src/report.rs"),
];

/// A source without comments and attributes.
fn bare(source: &str) -> String {
    let lines = source.lines().map(str::trim_end);
    let code = lines.filter(|line| {
        let line = line.trim_start();
        !line.starts_with("//") && !line.starts_with("#[")
    });
    code.fold(String::new(), |all, line| all + line + "\n")
}

/// The plain integer behind each newtype of the wire.
fn newtypes() -> BTreeMap<String, String> {
    let types = bare(SOURCES[0]);
    let mut newtypes = BTreeMap::from([("ErrorCode".to_owned(), "u16".to_owned())]);
    for body in types.split("wire_number!(").skip(1) {
        let body = body.split(");").next().unwrap();
        let mut words = body.split([',', '\n', ' ']).filter(|word| !word.is_empty());
        let (name, inner) = (words.next().unwrap(), words.next().unwrap());
        newtypes.insert(name.to_owned(), inner.to_owned());
    }
    assert!(newtypes.len() > 9, "{newtypes:?}");
    newtypes
}

/// The bodies of all items of a keyword, by name.
fn items(keyword: &str) -> Vec<(String, String)> {
    let mut items = Vec::new();
    for source in SOURCES {
        let source = bare(source);
        for item in source.split(&format!("\npub {keyword} ")).skip(1) {
            let Some((head, rest)) = item.split_once(" {\n") else {
                continue;
            };
            if head.contains(';') {
                continue;
            }
            let name = head.split('<').next().unwrap().to_owned();
            items.push((name, rest.split("\n}").next().unwrap().to_owned()));
        }
    }
    items
}

/// A type as the document writes it.
fn wire_type(rust: &str, newtypes: &BTreeMap<String, String>) -> String {
    if let Some((outer, inner)) = rust.strip_suffix('>').and_then(|rust| rust.split_once('<')) {
        let outer = match outer {
            "Option" => "option",
            "Vec" => "list",
            "Record" => "record",
            other => other,
        };
        return format!("{outer}<{}>", wire_type(inner, newtypes));
    }
    if let Some((inner, len)) = rust
        .strip_prefix('[')
        .and_then(|rust| rust.strip_suffix(']')?.split_once("; "))
    {
        return format!("{}[{len}]", wire_type(inner, newtypes));
    }
    match rust {
        "String" => "string".to_owned(),
        "Bytes" => "bytes".to_owned(),
        rust => newtypes.get(rust).cloned().unwrap_or(rust.to_owned()),
    }
}

/// The fields of a struct or of a variant as the document writes them.
fn fields(body: &str, newtypes: &BTreeMap<String, String>) -> String {
    let lines = body.lines().map(str::trim);
    let fields: Vec<String> = lines
        .filter_map(|line| {
            let (name, rust) = line.strip_suffix(',')?.split_once(": ")?;
            let name = name.strip_prefix("pub ").unwrap_or(name);
            Some(format!("{name}: {}", wire_type(rust, newtypes)))
        })
        .collect();
    fields.join(", ")
}

/// The variants of an enum: name and what stands behind it.
fn variants(body: &str) -> Vec<(String, String)> {
    let mut variants: Vec<(String, String)> = Vec::new();
    for line in body.lines() {
        let at_variant = line
            .strip_prefix("    ")
            .filter(|line| line.starts_with(char::is_alphabetic));
        if let Some(line) = at_variant {
            let end = line.find(|c: char| !c.is_alphanumeric()).unwrap();
            variants.push((line[..end].to_owned(), line[end..].to_owned()));
        } else if let Some((_, rest)) = variants.last_mut() {
            *rest += "\n";
            *rest += line;
        }
    }
    variants
}

#[track_caller]
fn says(what: &str) {
    assert!(PROTOCOL.contains(what), "PROTOCOL.md does not say: {what}");
}

#[test]
fn every_struct_has_its_fields_in_order() {
    let newtypes = newtypes();
    let structs = items("struct");
    assert!(structs.len() > 30);
    for (name, body) in structs {
        let fields = fields(&body, &newtypes).replace("Listing<T>", "Listing");
        if name == "Listing" {
            says("`Listing<T>` is `entries: list<record<T>>, next: option<u32>`");
        } else {
            says(&format!("`{fields}`"));
        }
    }
}

#[test]
fn every_message_has_its_number_and_its_fields() {
    let newtypes = newtypes();
    let structs: BTreeMap<_, _> = items("struct").into_iter().collect();
    let enums: BTreeMap<_, _> = items("enum").into_iter().collect();
    for kind in ["Request", "Reply", "Event"] {
        for (number, (name, rest)) in variants(&enums[kind]).into_iter().enumerate() {
            let payload = rest.trim_start_matches('(').trim_end_matches("),");
            let fields = match structs.get(payload) {
                Some(body) => format!("`{}`", fields(body, &newtypes)),
                None if payload.starts_with("Listing<") => format!("`{payload}`"),
                None => "none".to_owned(),
            };
            says(&format!("| {number} | {name} | {fields} |"));
        }
    }
}

#[test]
fn every_enum_has_its_variants_by_number() {
    let newtypes = newtypes();
    for (name, body) in items("enum") {
        if ["Request", "Reply", "Event"].contains(&name.as_str()) {
            continue;
        }
        let mut row = format!("| {name} |");
        for (number, (variant, rest)) in variants(&body).into_iter().enumerate() {
            let payload = if rest.starts_with(" {") {
                format!(" {{{}}}", fields(&rest, &newtypes))
            } else {
                let inner = rest.trim_start_matches('(').trim_end_matches("),");
                match inner {
                    "," => String::new(),
                    inner => format!(" ({inner})"),
                }
            };
            let comma = if number == 0 { "" } else { "," };
            row += &format!("{comma} `{number} {variant}{payload}`");
        }
        says(&format!("{row} |"));
    }
}

#[test]
fn every_error_code_has_its_number_and_word() {
    let mut known = 0;
    for number in 0..1000 {
        let code = ErrorCode::from_number(number);
        if code.word() != "unknown" {
            says(&format!("| {number} | `{}` |", code.word()));
            known += 1;
        }
    }
    let rows = PROTOCOL.split("## Error codes").nth(1).unwrap();
    let rows = rows.split("\n## ").next().unwrap();
    let rows = rows.lines().filter(|line| line.contains(" | `")).count();
    assert_eq!(rows, known);
}

#[test]
fn every_limit_has_its_value() {
    macro_rules! limits {
        ($($name:ident)*) => {
            vec![$((stringify!($name), limits::$name.to_string())),*]
        };
    }
    let known = limits! {
        FRAME_BODY_LEN_MAX NAME_LEN_MAX SENTENCE_LEN_MAX QUEUE_MAX SUBMIT_CREDITS PACKET_CREDITS_MAX
        LEASE_BUFFERS_MAX LEASES_MAX REGIONS_MAX CHANNELS_PER_CLIENT_MAX SUBSCRIPTIONS_MAX READERS_MAX READERS_PER_USER_MAX
        SESSIONS_MAX DESCRIPTORS_MAX RING_HEADER_BYTES NAL_UNITS_MAX USER_DATA_BYTES_MAX PAGE_ENTRIES_MAX
    };
    for (name, value) in &known {
        says(&format!("| `{name}` | {value} |"));
    }
    let source = include_str!("../src/limits.rs");
    assert_eq!(source.matches("\npub const ").count(), known.len());
    says(&format!("{:#x}", ring::MAGIC));
    for offset in [
        ring::offset::MAGIC,
        ring::offset::LAYOUT,
        ring::offset::DATA_BYTES,
        ring::offset::EPOCH,
        ring::offset::CHANNEL,
        ring::offset::TAIL,
        ring::offset::HEAD,
    ] {
        says(&format!("\n| {offset} | "));
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    let bytes = digits.chunks_exact(2).map(|pair| pair[0] * 16 + pair[1]);
    bytes.map(|byte| u8::try_from(byte).unwrap()).collect()
}

/// The lines of the example conversation that hold whole messages, as bytes.
fn conversation() -> Vec<(&'static str, Vec<u8>)> {
    let example = PROTOCOL.split("## A whole conversation").nth(1).unwrap();
    let example = example.split("```").nth(1).unwrap();
    let lines = example.lines().filter(|line| !line.contains("..."));
    lines
        .filter_map(|line| {
            let (side, rest) = line.split_once("  ")?;
            let bytes = rest.split("   ").next()?;
            (!side.is_empty()).then(|| (side, hex(bytes)))
        })
        .collect()
}

#[test]
fn the_example_conversation_is_what_the_code_speaks() {
    let mut said = Vec::new();
    for (side, bytes) in conversation() {
        if bytes.starts_with(b"AVPU") {
            let hello: [u8; 12] = bytes.try_into().unwrap();
            let ours = ClientHello::OURS;
            match side {
                "client" => assert_eq!(ClientHello::decode(hello), Ok(ours)),
                _ => assert_eq!(DaemonHello::decode(hello, ours), Ok(ours.answer())),
            }
            continue;
        }
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        let frame = decoder.next().unwrap();
        let frame = frame.unwrap_or_else(|| panic!("a whole frame in {bytes:02x?}"));
        assert_eq!(frame.body.len() + 8, bytes.len());
        said.push(match frame.header.kind {
            Kind::Request => format!("{:?}", decode::request(frame.body).unwrap()),
            Kind::Reply => format!("{:?}", decode::reply(frame.body).unwrap()),
            Kind::Event => format!("{:?}", decode::event(frame.body).unwrap()),
        });
    }
    let starts = [
        "OpenChannel(OpenChannel { codec: Avc, width: 176, height: 144,",
        "LeaseBuffers(LeaseBuffers { channel: ChannelId(1), count: 1 }",
        "Subscribe(Subscribe { channel: ChannelId(1), name: \"\", join: LastIdr, credits: 0 }",
        "Submit(Submit { channel: ChannelId(1), address: Address(100663296), timestamp: 1000, cookie: 42,",
        "Submitted(Submitted { frame: FrameNumber(0) }",
        "SourceReleased(SourceReleased { channel: ChannelId(1), frame: FrameNumber(0), address: Address(100663296), cookie: 42, end: Encoded",
        "ReleasePackets(ReleasePackets { subscription: SubscriptionId(1), sequence: Sequence(0) }",
    ];
    assert_eq!(said.len(), starts.len(), "{said:#?}");
    for (said, start) in said.iter().zip(starts) {
        assert!(said.starts_with(start), "expected {start}, found {said}");
    }
}
