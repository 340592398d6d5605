//! Would it fit, and if not, what would? The advice in a refusal, and the answer to `Fits`.
//!
//! The nearest channel that fits has the same size and the highest usual frame rate below the one asked for; where
//! there is none, the largest size of the same shape at that rate, in eighths; where there is none either, the largest
//! such size at a lower rate.

use crate::core::admission;
use crate::core::broker::{Answer, Broker};
use crate::core::channel::Channel;
use crate::core::outlook::{self, Need, Outlook, promise_of};
use crate::core::overrun;
use crate::core::parameters::Parameters;
use crate::core::refusal::{self, Refusal};
use crate::core::schedule::Work;
use crate::core::ticket;
use crate::job::ChannelKey;
use avpu_proto::record::Record;
use avpu_proto::reply::{Fit, NearestChannel, Reply};
use avpu_proto::request::{Fits, OpenChannel};
use avpu_proto::types::FrameRate;

impl Broker {
    /// Refuses a channel that does not fit beside all others, with what would. One that is there already, `instead_of`,
    /// keeps its memory.
    pub(super) fn admit(
        &self,
        parameters: &Parameters,
        instead_of: Option<ChannelKey>,
    ) -> Result<(), Refusal> {
        let old = instead_of.and_then(|key| self.channel(key));
        self.admit_into(&self.outlook(instead_of), parameters, old)
    }

    /// Refuses what a channel is to become, with what would fit, where its new memory does not fit beside the old either.
    pub(super) fn admit_rebuilt(
        &self,
        parameters: &Parameters,
        old: &Channel,
    ) -> Result<(), Refusal> {
        let outlook = self.outlook(Some(old.key)).with_other_memory();
        self.admit_into(&outlook, parameters, Some(old))
    }

    fn admit_into(
        &self,
        outlook: &Outlook<'_>,
        parameters: &Parameters,
        old: Option<&Channel>,
    ) -> Result<(), Refusal> {
        let need = outlook.need(parameters)?;
        let lets_go = |old| overrun::lets_go(&promise_of(old), &need.promise);
        let checked = if old.is_some_and(lets_go) {
            outlook.check_memory(&need)
        } else {
            outlook.check(&need)
        };
        checked.map_err(|refusal| self.advise(refusal, outlook, &parameters.wish))
    }

    /// Adds what would fit and who is in the way.
    fn advise(&self, refusal: Refusal, outlook: &Outlook<'_>, wish: &OpenChannel) -> Refusal {
        let nearest = self.nearest(outlook, wish, &mut Work::SET.clone());
        let mut advice: Vec<String> = nearest.iter().map(|(near, _)| would_fit(near)).collect();
        match refusal {
            Refusal::NoCapacity { .. } => advice.extend(
                outlook
                    .largest_loads()
                    .iter()
                    .map(|(name, pid, us)| format!("{name:?} of process {pid} has {us} us")),
            ),
            Refusal::NoMemory { .. } => {
                advice.extend(outlook.largest_tenants().into_iter().map(has_bytes));
            }
            _ => {}
        }
        advised(refusal, &advice)
    }

    /// Says who has most of the memory that there is too little of.
    pub(super) fn name_tenants(&self, refusal: Refusal) -> Refusal {
        let tenants = outlook::largest_tenants(&self.pool);
        let tenants: Vec<String> = tenants.into_iter().map(has_bytes).collect();
        advised(refusal, &tenants)
    }

    /// Says who has most of the channels that there may be no more of.
    pub(super) fn name_owners(&self, refusal: Refusal) -> Refusal {
        let owners = outlook::largest_holders(self.all_channels().map(|c| (c.opener.pid, 1)));
        let owners = owners.into_iter();
        let owners: Vec<String> = owners
            .map(|(pid, count)| format!("process {pid} has {count}"))
            .collect();
        advised(refusal, &owners)
    }

    /// Answers whether channels would fit, opened one after the other.
    pub(super) fn fits(&self, question: Fits) -> Answer {
        let mut outlook = if question.alone {
            self.outlook_alone()
        } else {
            self.outlook(None)
        };
        let mut fit = Fit {
            fits: true,
            free_us: clamped(outlook.free_us()),
            free_bytes: clamped(outlook.free_bytes()),
            ..Fit::default()
        };
        let (mut needed_ns, mut needed_bytes) = (0_u64, 0_u64);
        let mut nearest = Some(Vec::new());
        let mut advice = Work::SET;
        for Record(wish) in question.channels {
            let parameters = Parameters::new(wish.clone(), &self.config)?;
            let need = outlook.need(&parameters)?;
            needed_ns = needed_ns.saturating_add(admission::load_ns(&need.promise));
            needed_bytes += u64::from(need.memory.value());
            fit.tickets_us.push(ticket::ticket_us(&need.promise));
            let as_asked = (as_it_is(&parameters), need);
            let chosen = match outlook.check(&need) {
                Ok(()) => Some(as_asked),
                Err(refusal) => {
                    if fit.fits {
                        fit.obstacle = refusal::bounded(refusal.to_string());
                    }
                    fit.fits = false;
                    // Where one was found no place for there is no advice at all.
                    let has_advice = nearest.is_some();
                    has_advice
                        .then(|| self.nearest(&outlook, &wish, &mut advice))
                        .flatten()
                }
            };
            let placed = chosen.filter(|(_, need)| outlook.place(need).is_ok());
            match (placed, &mut nearest) {
                (Some((near, _)), Some(list)) => list.push(Record(near)),
                _ => nearest = None,
            }
        }
        fit.needed_us = clamped(needed_ns.div_ceil(1000));
        fit.needed_bytes = clamped(needed_bytes);
        if !fit.fits {
            fit.tickets_us.clear();
            fit.nearest = nearest.unwrap_or_default();
        }
        Ok(Some(Reply::Fit(fit)))
    }

    /// The nearest channel that would fit, and what it needs, as far as it is found with this much work: advice must not
    /// keep the encoder waiting.
    fn nearest(
        &self,
        outlook: &Outlook<'_>,
        wish: &OpenChannel,
        work: &mut Work,
    ) -> Option<(NearestChannel, Need)> {
        let asked = Parameters::new(wish.clone(), &self.config).ok()?.fps;
        let at_rate = |fps: FrameRate, eighths: u16| OpenChannel {
            fps,
            width: scaled(wish.width, eighths),
            height: scaled(wish.height, eighths),
            name: String::new(),
            ..wish.clone()
        };
        let is_lower = |fps: &u32| u64::from(*fps) * u64::from(asked.den) < u64::from(asked.num);
        let lower = |from: &'static [u32]| {
            let rates = from.iter().copied().filter(is_lower);
            rates.map(|num| FrameRate { num, den: 1 })
        };
        let sizes = || (1..8).rev();
        let slower = lower(&USUAL_FPS).map(|fps| at_rate(fps, 8));
        let smaller = sizes().map(|eighths| at_rate(asked, eighths));
        let both = sizes().flat_map(|eighths| {
            let rates = lower(&COARSE_FPS);
            rates.map(move |fps| (fps, eighths))
        });
        let both = both.map(|(fps, eighths)| at_rate(fps, eighths));
        slower.chain(smaller).chain(both).find_map(|candidate| {
            work.spend_on_channel()?;
            let parameters = Parameters::new(candidate, &self.config).ok()?;
            let need = outlook.need(&parameters).ok()?;
            outlook.check_within(&need, work).ok()?;
            Some((as_it_is(&parameters), need))
        })
    }
}

fn has_bytes((pid, bytes): (u32, u64)) -> String {
    format!("process {pid} has {bytes} bytes")
}

fn advised(refusal: Refusal, advice: &[String]) -> Refusal {
    if advice.is_empty() {
        return refusal;
    }
    Refusal::Advised(Box::new(refusal), advice.join("; "))
}

fn as_it_is(parameters: &Parameters) -> NearestChannel {
    let size = parameters.setup.geometry.visible();
    NearestChannel {
        width: u16::try_from(size.width()).unwrap_or(u16::MAX),
        height: u16::try_from(size.height()).unwrap_or(u16::MAX),
        fps: parameters.fps,
    }
}

fn would_fit(near: &NearestChannel) -> String {
    let FrameRate { num, den } = near.fps;
    let (width, height) = (near.width, near.height);
    match den {
        1 => format!("{width}x{height}@{num} would fit"),
        _ => format!("{width}x{height}@{num}/{den} would fit"),
    }
}

/// So many eighths of a length, even.
fn scaled(len: u16, eighths: u16) -> u16 {
    let part = u32::from(len) * u32::from(eighths) / 8;
    u16::try_from(part & !1).unwrap_or(len)
}

fn clamped(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Frame rates that cameras have.
const USUAL_FPS: [u32; 14] = [60, 50, 30, 25, 20, 15, 12, 10, 8, 6, 5, 3, 2, 1];
/// Frame rates tried together with smaller sizes.
const COARSE_FPS: [u32; 4] = [15, 10, 5, 1];
