//! `avpuctl fits`: would these channels fit?

use super::options::UsageError;
use super::table::Table;
use avpu_proto::reply::Fit;
use avpu_proto::request::OpenChannel;
use avpu_proto::types::{Class, FrameRate};

/// Parses a channel as people write it: `1920x1080@25`, `640x360@15/2:live`.
pub(crate) fn channel(text: &str) -> Result<OpenChannel, UsageError> {
    let wrong = || UsageError::Channel(text.to_owned());
    let (shape, class) = match text.split_once(':') {
        Some((shape, word)) => (shape, class(word).ok_or_else(wrong)?),
        None => (text, Class::default()),
    };
    let (size, fps) = match shape.split_once('@') {
        Some((size, fps)) => (size, frame_rate(fps).ok_or_else(wrong)?),
        None => (shape, FrameRate::default()),
    };
    let (width, height) = size.split_once('x').ok_or_else(wrong)?;
    Ok(OpenChannel {
        width: width.parse().map_err(|_| wrong())?,
        height: height.parse().map_err(|_| wrong())?,
        fps,
        class,
        ..OpenChannel::default()
    })
}

fn class(word: &str) -> Option<Class> {
    CLASSES.iter().find(|(name, _)| *name == word).map(|c| c.1)
}

fn frame_rate(text: &str) -> Option<FrameRate> {
    let (num, den) = text.split_once('/').unwrap_or((text, "1"));
    let (num, den) = (num.parse().ok()?, den.parse().ok()?);
    (num > 0 && den > 0).then_some(FrameRate { num, den })
}

/// The answer, for a person.
pub(crate) fn show(wishes: &[OpenChannel], fit: &Fit) -> String {
    let mut text = format!(
        "{}: {} us of {} us of encoder time a second, {} KiB of {} KiB of memory\n",
        if fit.fits { "fits" } else { "does not fit" },
        fit.needed_us,
        fit.free_us,
        fit.needed_bytes.div_ceil(1024),
        fit.free_bytes / 1024,
    );
    if fit.fits {
        let mut table = Table::new(&["SIZE", "FPS>", "CLASS", "LONGEST WAIT us>"]);
        for (wish, ticket_us) in wishes.iter().zip(&fit.tickets_us) {
            let class = CLASSES.iter().find(|c| c.1 == wish.class);
            table.push(vec![
                format!("{}x{}", wish.width, wish.height),
                fraction(wish.fps),
                class.map_or("", |c| c.0).to_owned(),
                match ticket_us {
                    0 => "-".to_owned(),
                    us => us.to_string(),
                },
            ]);
        }
        return text + &table.render();
    }
    text += &format!("{}\n", fit.obstacle);
    if !fit.nearest.is_empty() {
        let channels = fit.nearest.iter().map(|near| {
            let near = near.0;
            format!(" {}x{}@{}", near.width, near.height, fraction(near.fps))
        });
        text += &format!("would fit:{}\n", channels.collect::<String>());
    }
    text
}

fn fraction(fps: FrameRate) -> String {
    match (fps.num, fps.den) {
        (0, 0) => "25".to_owned(),
        (num, 1) => num.to_string(),
        (num, den) => format!("{num}/{den}"),
    }
}

const CLASSES: [(&str, Class); 4] = [
    ("live", Class::Live),
    ("record", Class::Record),
    ("snapshot", Class::Snapshot),
    ("best-effort", Class::BestEffort),
];

#[cfg(test)]
mod tests {
    use super::*;
    use avpu_proto::record::Record;
    use avpu_proto::reply::NearestChannel;

    #[test]
    fn a_channel_is_a_size_a_rate_and_a_class() {
        let parsed = channel("1920x1080@30000/1001:live").unwrap();
        let fps = FrameRate {
            num: 30000,
            den: 1001,
        };
        assert_eq!((parsed.width, parsed.height), (1920, 1080));
        assert_eq!((parsed.fps, parsed.class), (fps, Class::Live));
        let short = channel("640x360").unwrap();
        assert_eq!(short.fps, FrameRate::default());
        assert_eq!(short.class, Class::BestEffort);
        let wrong = [
            "",
            "640",
            "640x",
            "x360",
            "640x360@",
            "640x360@0",
            "640x360@25/0",
            "640x360:urgent",
            "640x360@25@30",
            "-1x4",
            "99999x4",
        ];
        for text in wrong {
            assert!(channel(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_would() {
        let wish = channel("1920x1080@25:live").unwrap();
        let near = NearestChannel {
            width: 1280,
            height: 720,
            fps: FrameRate { num: 15, den: 1 },
        };
        let fit = Fit {
            obstacle: "expected less".to_owned(),
            nearest: vec![Record(near)],
            ..Fit::default()
        };
        let text = show(std::slice::from_ref(&wish), &fit);
        assert!(text.contains("does not fit") && text.contains("expected less"));
        assert!(text.contains("would fit: 1280x720@15"), "{text}");
        let fit = Fit {
            fits: true,
            tickets_us: vec![27120],
            ..Fit::default()
        };
        let text = show(&[wish], &fit);
        assert!(
            text.contains("1920x1080") && text.contains("27120"),
            "{text}"
        );
    }
}
