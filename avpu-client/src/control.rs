//! A channel while it runs: changed, drained and let go on, flushed, begun anew; and its parameter sets.

use crate::channel::Channel;
use crate::client::{Client, mismatch};
use crate::error::ClientError;
use avpu_proto::reply::{ParameterSetBytes, Reconfigured, Reply};
use avpu_proto::request::{
    Drain, Flush, OpenChannel, ParameterSets, Reconfigure, Request, Reset, Resume, UserData,
};
use avpu_proto::types::{Bytes, ChannelId, FrameRate};

impl Channel {
    /// Changes the channel while it runs; which one is filled in. What is zero or absent stays. The answer names the
    /// first packet that the change acts on and what is in effect now. After a reconnect the channel is opened as it
    /// was changed to.
    ///
    /// # Errors
    /// When the daemon refuses: then nothing was changed.
    pub fn reconfigure(&self, change: Reconfigure) -> Result<Reconfigured, ClientError> {
        let change = Reconfigure {
            channel: self.id()?,
            name: String::new(),
            ..change
        };
        let asked = change.clone();
        let changed = match self.call(&Request::Reconfigure(change))? {
            Reply::Reconfigured(changed) => changed,
            _ => return Err(mismatch("Reconfigure")),
        };
        self.remember(|request, opened| {
            follow(request, &asked, &changed);
            opened.clone_from(&changed.effective);
        });
        Ok(changed)
    }

    /// Finishes what was accepted and takes nothing more, until [`Channel::resume`]. Readers stay: they get an empty
    /// packet with `meta.last`.
    ///
    /// # Errors
    /// When the daemon refuses or is gone.
    pub fn pause(&self) -> Result<(), ClientError> {
        let channel = self.id()?;
        let keep = true;
        self.done(&Request::Drain(Drain { channel, keep }), "Drain")
    }

    /// Goes on after [`Channel::pause`] where the stream was. [`Channel::reset`] begins one that stands on its own.
    ///
    /// # Errors
    /// When the daemon refuses, as long as the channel has not finished, or is gone.
    pub fn resume(&self) -> Result<(), ClientError> {
        let channel = self.id()?;
        self.done(&Request::Resume(Resume { channel }), "Resume")
    }

    /// Drops every frame that waits. They all have ended when this is done, but for one in the encoder.
    ///
    /// # Errors
    /// When the daemon refuses or is gone.
    pub fn flush(&self) -> Result<(), ClientError> {
        let channel = self.id()?;
        self.done(&Request::Flush(Flush { channel }), "Flush")
    }

    /// Drops every frame that waits and begins a stream that stands on its own; also after [`Channel::pause`].
    ///
    /// # Errors
    /// When the daemon refuses or is gone.
    pub fn reset(&self) -> Result<(), ClientError> {
        let channel = self.id()?;
        self.done(&Request::Reset(Reset { channel }), "Reset")
    }

    /// User data (unregistered, SEI) before the next picture that is submitted, or before every IDR from now on. An
    /// empty payload: none any more. Where that picture is dropped or lost it goes with the next one, unless that has its
    /// own. That of every IDR is said again after a reconnect.
    ///
    /// # Errors
    /// When it is longer than `limits::USER_DATA_BYTES_MAX`, or the daemon is gone.
    pub fn user_data(
        &self,
        uuid: [u8; 16],
        payload: &[u8],
        every_idr: bool,
    ) -> Result<(), ClientError> {
        let request = UserData {
            channel: self.id()?,
            uuid: Bytes(uuid.to_vec()),
            payload: Bytes(payload.to_vec()),
            every_idr,
        };
        self.done(&Request::UserData(request.clone()), "UserData")?;
        if payload.is_empty() {
            self.remember_idr_data(None);
        } else if every_idr {
            self.remember_idr_data(Some(request));
        }
        Ok(())
    }

    /// The parameter sets that the next IDR will have, for a container or a session description.
    ///
    /// # Errors
    /// When the daemon is gone.
    pub fn parameter_sets(&self) -> Result<ParameterSetBytes, ClientError> {
        let request = ParameterSets {
            channel: self.id()?,
            name: String::new(),
        };
        sets(self.call(&Request::ParameterSets(request))?)
    }
}

impl Client {
    /// Changes a channel by its id or name: of another client only as the same user or as super-user.
    ///
    /// # Errors
    /// When the daemon refuses: then nothing was changed.
    pub fn reconfigure(&self, change: Reconfigure) -> Result<Reconfigured, ClientError> {
        match self.call(&Request::Reconfigure(change))? {
            Reply::Reconfigured(changed) => Ok(changed),
            _ => Err(mismatch("Reconfigure")),
        }
    }

    /// Drops every frame of a channel that waits: of another client only as the same user or as super-user.
    ///
    /// # Errors
    /// When the daemon refuses or is gone.
    pub fn flush(&self, channel: ChannelId) -> Result<(), ClientError> {
        match self.call(&Request::Flush(Flush { channel }))? {
            Reply::Done => Ok(()),
            _ => Err(mismatch("Flush")),
        }
    }

    /// Begins a channel's stream anew: of another client only as the same user or as super-user.
    ///
    /// # Errors
    /// When the daemon refuses or is gone.
    pub fn reset(&self, channel: ChannelId) -> Result<(), ClientError> {
        match self.call(&Request::Reset(Reset { channel }))? {
            Reply::Done => Ok(()),
            _ => Err(mismatch("Reset")),
        }
    }

    /// The parameter sets of a channel, one's own or another client's; by its id where the name is empty.
    ///
    /// # Errors
    /// When the daemon refuses or is gone.
    pub fn parameter_sets(
        &self,
        channel: ChannelId,
        name: &str,
    ) -> Result<ParameterSetBytes, ClientError> {
        let name = name.to_owned();
        sets(self.call(&Request::ParameterSets(ParameterSets { channel, name }))?)
    }
}

fn sets(reply: Reply) -> Result<ParameterSetBytes, ClientError> {
    match reply {
        Reply::ParameterSets(sets) => Ok(sets),
        _ => Err(mismatch("ParameterSets")),
    }
}

/// What to ask for to get the channel as it is now.
fn follow(request: &mut OpenChannel, asked: &Reconfigure, changed: &Reconfigured) {
    let effective = &changed.effective;
    request.rate_control = effective.rate_control;
    request.fps = effective.fps;
    request.fps_out = if effective.fps_out == effective.fps {
        FrameRate::default()
    } else {
        effective.fps_out
    };
    if asked.gop_length != 0 {
        request.gop_length = effective.gop_length;
    }
    request.ip_qp_delta = asked.ip_qp_delta.or(request.ip_qp_delta);
    request.picture_bytes_max = effective.picture_bytes_max;
    request.profile = effective.profile;
    request.class = effective.class;
    request.weight = effective.weight;
    request.overload = effective.overload;
    request.deadline_us = effective.deadline_us;
    if asked.width != 0 {
        (request.width, request.height) = (changed.width, changed.height);
    }
}
