//! `avpuctl idr`: asks one channel or all for an IDR. Only a reader may ask, so it becomes one for a moment.

use crate::{Client, ClientError};
use avpu_proto::reply::IdrPromised;
use avpu_proto::types::Join;
use serde_json::{Value, json};

/// What a channel answered.
pub(super) struct Asked {
    name: String,
    answer: Result<IdrPromised, ClientError>,
}

impl Asked {
    /// Why it was refused.
    pub(super) fn refusal(&self) -> Option<String> {
        let error = self.answer.as_ref().err()?;
        Some(format!("{}: {error}", self.name))
    }

    fn line(&self) -> Option<String> {
        let promised = self.answer.as_ref().ok()?;
        let (name, sequence) = (&self.name, promised.sequence.value());
        Some(match promised.wait_us {
            0 => format!("{name}: packet {sequence} will be an IDR\n"),
            wait_us => format!(
                "{name}: there was an IDR on request lately; the next one is not before packet {sequence} and {} ms\n",
                wait_us.div_ceil(1000)
            ),
        })
    }

    fn value(&self) -> Value {
        match &self.answer {
            Ok(promised) => json!({
                "name": self.name,
                "sequence": promised.sequence.value(),
                "wait_us": promised.wait_us,
            }),
            Err(error) => json!({ "name": self.name, "refused": error.to_string() }),
        }
    }
}

/// What to print of those that did not refuse.
pub(super) fn lines(asked: &[Asked]) -> String {
    asked.iter().filter_map(Asked::line).collect()
}

/// The same for programs, with those that refused.
pub(super) fn value(asked: &[Asked]) -> Value {
    let channels: Vec<Value> = asked.iter().map(Asked::value).collect();
    json!({ "channels": channels })
}

/// Asks a channel, by name or, where none has that name, by id; all of them without one. One that refuses does not keep
/// the others from being asked.
///
/// # Errors
/// When the daemon is gone, or there is no such channel.
pub(super) fn ask(client: &Client, channel: Option<&str>) -> Result<Vec<Asked>, ClientError> {
    if let Some(channel) = channel {
        let reader = client.subscribe_name_or_id(channel, Join::NextIdr)?;
        let answer = Ok(reader.request_idr()?);
        let name = reader.subscribed()?.name;
        return Ok(vec![Asked { name, answer }]);
    }
    let mut asked = Vec::new();
    for channel in client.channels() {
        let channel = channel?;
        let reader = client.subscribe_id(channel.channel, Join::NextIdr);
        let answer = match reader.and_then(|reader| reader.request_idr()) {
            Err(gone) if !matches!(gone, ClientError::Refused(_)) => return Err(gone),
            answer => answer,
        };
        let name = channel.name;
        asked.push(Asked { name, answer });
    }
    Ok(asked)
}
