//! `avpuctl idr`: asks one channel or all for an IDR. Only a reader may ask, so it becomes one for a moment.

use crate::{Client, ClientError};
use avpu_proto::error::ErrorCode;
use avpu_proto::reply::IdrPromised;
use avpu_proto::types::{ChannelId, Join};
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
        return Ok(vec![ask_one(client, channel)?]);
    }
    let mut asked = Vec::new();
    for channel in client.channels() {
        let channel = channel?;
        let answer = match promised(client, "", channel.channel) {
            Ok((_, promised)) => Ok(promised),
            Err(refused @ ClientError::Refused(_)) => Err(refused),
            Err(gone) => return Err(gone),
        };
        let name = channel.name;
        asked.push(Asked { name, answer });
    }
    Ok(asked)
}

fn ask_one(client: &Client, channel: &str) -> Result<Asked, ClientError> {
    let id = channel.parse().map(ChannelId::new);
    let answered = match (promised(client, channel, ChannelId::default()), id) {
        (Err(ClientError::Refused(refusal)), Ok(id))
            if refusal.code == ErrorCode::NO_SUCH_CHANNEL =>
        {
            promised(client, "", id)
        }
        (by_name, _) => by_name,
    };
    let (name, promised) = answered?;
    let answer = Ok(promised);
    Ok(Asked { name, answer })
}

fn promised(
    client: &Client,
    name: &str,
    id: ChannelId,
) -> Result<(String, IdrPromised), ClientError> {
    let reader = if name.is_empty() {
        client.subscribe_id(id, Join::NextIdr)?
    } else {
        client.subscribe(name, Join::NextIdr)?
    };
    let promised = reader.request_idr()?;
    Ok((reader.subscribed()?.name, promised))
}
