//! What goes with pictures beside their slice data: user data inside the stream, parameter sets outside of it.
//!
//! Who marks one picture in a recording wants the mark in the file: where the picture is dropped or lost, the mark goes
//! with the next one. Who marks each of them wants no mark at another picture: so the newer one stays.

use crate::codec::avc::Prefix;
use crate::codec::sei::UserData;
use crate::core::broker::{Answer, Broker};
use crate::core::channel::{Channel, Frame};
use crate::core::event::SessionKey;
use crate::core::intake::{ENCODES, wrong_state};
use crate::core::refusal::Refusal;
use crate::job::ChannelKey;
use crate::picture::PictureKind;
use avpu_proto::limits::USER_DATA_BYTES_MAX;
use avpu_proto::reply::{ParameterSetBytes, Reply};
use avpu_proto::request;
use avpu_proto::types::{Bytes, FrameNumber};

/// User data that a channel still has to say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct UserDataDue {
    /// With the next picture that is submitted.
    next: Option<UserData>,
    /// With every IDR.
    every_idr: Option<UserData>,
}

const _: () = assert!(UserData::PAYLOAD_LEN_MAX_BYTES == USER_DATA_BYTES_MAX);

impl Broker {
    pub(super) fn user_data(&mut self, session: SessionKey, wish: request::UserData) -> Answer {
        self.check_serving()?;
        let id = wish.channel;
        let key = self.owned(session, id)?;
        let channel = self.channel_mut(key).ok_or(Refusal::NoSuchChannel(id))?;
        if channel.has_ended() {
            return Err(wrong_state(channel, ENCODES));
        }
        if wish.payload.0.is_empty() {
            channel.user_data = UserDataDue::default();
            return Ok(Some(Reply::Done));
        }
        let data = UserData::new(&wish.uuid.0, &wish.payload.0).ok_or_else(|| {
            Refusal::Invalid(format!(
                "expected a uuid of {} bytes and at most {USER_DATA_BYTES_MAX} bytes of user data, found {} and {}",
                UserData::UUID_LEN_BYTES,
                wish.uuid.0.len(),
                wish.payload.0.len()
            ))
        })?;
        if wish.every_idr {
            channel.user_data.every_idr = Some(data);
        } else {
            channel.user_data.next = Some(data);
        }
        Ok(Some(Reply::Done))
    }

    /// The parameter sets that the channel's next IDR will have.
    pub(super) fn parameter_sets(&self, wish: request::ParameterSets) -> Answer {
        let key = self.named(wish.channel, wish.name)?;
        let gone = Refusal::NoSuchChannel(wish.channel);
        let headers = self.channel(key).ok_or(gone)?.headers();
        let internal = |error: crate::codec::avc::HeaderError| Refusal::Internal(error.to_string());
        let annex_b = headers.parameter_sets().map_err(internal)?.to_vec();
        let avcc = headers.configuration_record().map_err(internal)?;
        Ok(Some(Reply::ParameterSets(ParameterSetBytes {
            annex_b: Bytes(annex_b),
            avcc: Bytes(avcc),
        })))
    }
}

impl Broker {
    /// A frame will not be in the stream, by no wish of its submitter: the user data that was meant for it goes with the
    /// next one, unless that has its own.
    pub(super) fn hand_on_user_data(&mut self, key: ChannelKey, frame: &Frame) {
        if let (Some(data), Some(channel)) = (frame.user_data, self.channel_mut(key)) {
            channel.hand_on(data, frame.number);
        }
    }
}

impl Channel {
    /// Frames come in this order: the queue, those that wait for room in it, the one that is submitted next.
    fn hand_on(&mut self, data: UserData, from: FrameNumber) {
        let follows = |frame: &&mut Frame| {
            let distance = frame.number.value().wrapping_sub(from.value());
            (1..=u32::MAX / 2).contains(&distance)
        };
        match self.queue.iter_mut().find(follows) {
            Some(frame) => {
                frame.user_data.get_or_insert(data);
            }
            None => self.keep_user_data(data),
        }
    }

    /// Keeps user data for the next frame that comes into the queue.
    pub(super) fn keep_user_data(&mut self, data: UserData) {
        let next = match self.held.front_mut() {
            Some(held) => held.user_data_mut(),
            None => &mut self.user_data.next,
        };
        next.get_or_insert(data);
    }

    /// The user data that was meant for the frame that is submitted now.
    pub(super) const fn take_user_data(&mut self) -> Option<UserData> {
        self.user_data.next.take()
    }

    /// Gives the frame that came in last the user data that was meant for it.
    pub(super) fn give_user_data(&mut self) {
        let data = self.take_user_data();
        if let Some(frame) = self.queue.back_mut() {
            frame.user_data = data;
        }
    }

    /// The user data of every IDR.
    pub(super) const fn idr_data(&self) -> Option<UserData> {
        self.user_data.every_idr
    }

    /// What stands before the next picture, which is of this kind and made of this frame.
    pub(super) fn prefix(&self, kind: PictureKind, frame: &Frame) -> Prefix {
        let idr_data = self.idr_data();
        Prefix {
            delimiter: self.parameters.wish.access_unit_delimiters,
            user_data: [
                idr_data.filter(|_| kind == PictureKind::Idr),
                frame.user_data,
            ],
        }
    }
}
