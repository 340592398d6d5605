//! The reports as JSON whose keys end in their unit.

use serde_json::{Map, Value};

/// Keys of the wire whose unit does not stand at their end.
const RENAMED: [(&str, &str); 1] = [("bytes_out", "out_bytes")];

/// A report as a value.
pub(crate) fn value(report: impl serde::Serialize) -> Result<Value, serde_json::Error> {
    Ok(renamed(serde_json::to_value(report)?))
}

fn renamed(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| {
                let new = RENAMED.iter().find(|(old, _)| *old == key);
                (
                    new.map_or(key, |(_, new)| (*new).to_owned()),
                    renamed(value),
                )
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(renamed).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use avpu_proto::reply::MemoryReport;
    use avpu_proto::report::{ChannelReport, ClientReport, LeaseReport, StatusReport};

    fn keys(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    into.push(key.clone());
                    keys(value, into);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| keys(value, into)),
            _ => {}
        }
    }

    #[test]
    fn units_stand_at_the_end_of_keys_only() {
        let reports = [
            value(StatusReport::default()).unwrap(),
            value(ChannelReport::default()).unwrap(),
            value(ClientReport::default()).unwrap(),
            value(LeaseReport::default()).unwrap(),
            value(MemoryReport::default()).unwrap(),
        ];
        let mut found = Vec::new();
        reports.iter().for_each(|report| keys(report, &mut found));
        assert!(found.contains(&"uptime_us".to_owned()));
        assert!(found.contains(&"out_bytes".to_owned()));
        for key in found {
            let words: Vec<&str> = key.split('_').collect();
            let (last, rest) = words.split_last().unwrap();
            let units = ["us", "ns", "ms", "bytes", "bps"];
            assert!(!rest.iter().any(|word| units.contains(word)), "{key}");
            assert!(!["bitrate", "len", "uptime"].contains(last), "{key}");
        }
    }
}
