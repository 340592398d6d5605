//! Which channel a word means that a person typed: the one of that name or, where there is none and the word is a number,
//! the one with that id. One rule for every command of the tools.

use crate::error::ClientError;
use avpu_proto::error::ErrorCode;
#[cfg(feature = "tools")]
use avpu_proto::report::ChannelReport;
use avpu_proto::types::ChannelId;

/// Asks about the channel of this name, then about the one with this id. `ask` is given both halves of a request: the id
/// does not matter where the name is not empty.
pub(crate) fn ask<T>(
    word: &str,
    mut ask: impl FnMut(ChannelId, String) -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let by_name = ask(ChannelId::default(), word.to_owned());
    match (&by_name, word.parse()) {
        (Err(ClientError::Refused(refusal)), Ok(id))
            if refusal.code == ErrorCode::NO_SUCH_CHANNEL =>
        {
            ask(ChannelId::new(id), String::new())
        }
        _ => by_name,
    }
}

/// The channel among those that are open.
#[cfg(feature = "tools")]
pub(crate) fn find<'a>(channels: &'a [ChannelReport], word: &str) -> Option<&'a ChannelReport> {
    let by_name = channels.iter().find(|report| report.name == word);
    by_name.or_else(|| {
        let id = ChannelId::new(word.parse().ok()?);
        channels.iter().find(|report| report.channel == id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use avpu_proto::error::Refusal;

    /// A daemon with the channels 7 "main" and 8 "7", which are asked about by `word`; what was found, and how often
    /// was asked.
    fn found(word: &str) -> (Option<u32>, u32) {
        let mut asked = 0;
        let answer = ask(word, |id, name| {
            asked += 1;
            match (name.as_str(), id.value()) {
                ("main", _) | ("", 7) => Ok(7),
                ("7", _) | ("", 8) => Ok(8),
                _ => Err(ClientError::Refused(Refusal {
                    code: ErrorCode::NO_SUCH_CHANNEL,
                    ..Refusal::default()
                })),
            }
        });
        (answer.ok(), asked)
    }

    #[test]
    fn a_number_is_a_name_first_and_an_id_where_nobody_has_that_name() {
        assert_eq!(found("main"), (Some(7), 1));
        assert_eq!(found("7"), (Some(8), 1));
        assert_eq!(found("8"), (Some(8), 2));
        assert_eq!(found("9"), (None, 2));
        assert_eq!(found("garden"), (None, 1));
    }

    #[test]
    fn another_refusal_is_the_answer() {
        let mut asked = 0;
        let answer: Result<(), _> = ask("7", |_, _| {
            asked += 1;
            Err(ClientError::Refused(Refusal {
                code: ErrorCode::NOT_OWNER,
                ..Refusal::default()
            }))
        });
        assert!(answer.is_err());
        assert_eq!(asked, 1);
    }

    #[cfg(feature = "tools")]
    #[test]
    fn a_list_is_searched_by_the_same_rule() {
        let report = |id, name: &str| ChannelReport {
            channel: ChannelId::new(id),
            name: name.to_owned(),
            ..ChannelReport::default()
        };
        let channels = [report(7, "main"), report(8, "7")];
        let found = |word| find(&channels, word).map(|report| report.channel.value());
        assert_eq!(found("main"), Some(7));
        assert_eq!(found("7"), Some(8));
        assert_eq!(found("8"), Some(8));
        assert_eq!(found("9"), None);
    }
}
