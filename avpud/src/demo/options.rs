//! The demo's own arguments.

use std::path::{Path, PathBuf};

pub(super) const HELP: &str = "\
Shows one encoder shared by several processes, on the software model.

usage: avpud demo [--input CLIP.y4m] [--seconds N] [--out DIR]
       avpud demo --device PATH [--seconds N] [--out DIR]

  --device PATH      instead of the play, a test of the encoder at this path: two small channels, then a table of
                     what works and what to do about what does not; model for the software model

  --input CLIP.y4m   pictures to encode, scaled and repeated; without it moving ones are drawn
  --seconds N        how long, 2 to 3600; default 10, with --device 5
  --out DIR          where the streams and report.json go; default avpud-demo
";

const SECONDS_DEFAULT: u32 = 10;
/// Of the test of a device.
const SECONDS_DEVICE: u32 = 5;
const SECONDS_MIN: u32 = 2;
const SECONDS_MAX: u32 = 3600;

/// What the demo is to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) input: Option<PathBuf>,
    /// The device that is tested; without one the play is shown.
    pub(super) device: Option<String>,
    pub(super) seconds: u32,
    pub(super) out: PathBuf,
}

impl Options {
    /// Reads the arguments; `None` when the help is asked for.
    pub(super) fn parse(words: &[String]) -> Result<Option<Self>, String> {
        let mut options = Self {
            input: None,
            device: None,
            seconds: SECONDS_DEFAULT,
            out: PathBuf::from("avpud-demo"),
        };
        let mut seconds_given = None;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (flag, attached) = match word.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            if matches!(flag, "-h" | "--help") {
                return Ok(None);
            }
            if !matches!(flag, "--input" | "--device" | "--seconds" | "--out") {
                return Err(format!(
                    "unknown argument \"{flag}\", expected --input, --device, --seconds or --out"
                ));
            }
            let value = attached
                .or_else(|| words.next().cloned())
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("{flag}: expected a value, found none"))?;
            match flag {
                "--input" => options.input = Some(PathBuf::from(value)),
                "--out" => options.out = PathBuf::from(value),
                "--device" => options.device = Some(value),
                _ => seconds_given = Some(seconds(&value)?),
            }
        }
        if options.device.is_some() && options.input.is_some() {
            return Err("expected --device or --input, found both".to_owned());
        }
        options.seconds = match (seconds_given, &options.device) {
            (Some(seconds), _) => seconds,
            (None, Some(_)) => SECONDS_DEVICE,
            (None, None) => SECONDS_DEFAULT,
        };
        Ok(Some(options))
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    /// What to type to see the result.
    pub(super) fn player_line(&self) -> String {
        format!(
            "see it:  ffplay -framerate 25 {}",
            quoted(&self.file("main.h264"))
        )
    }
}

fn seconds(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|seconds| (SECONDS_MIN..=SECONDS_MAX).contains(seconds))
        .ok_or_else(|| {
            format!("--seconds: expected {SECONDS_MIN} to {SECONDS_MAX}, found \"{text}\"")
        })
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Options>, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Options::parse(&words)
    }

    #[test]
    fn ten_seconds_of_drawn_pictures_are_the_default() {
        let options = parse(&[]).unwrap().unwrap();
        assert_eq!((options.seconds, options.input.clone()), (10, None));
        assert_eq!(options.file("main.h264"), Path::new("avpud-demo/main.h264"));
    }

    #[test]
    fn all_arguments_are_understood() {
        let options = parse(&["--input", "a.y4m", "--seconds=3", "--out", "d"]);
        let options = options.unwrap().unwrap();
        assert_eq!(options.input, Some(PathBuf::from("a.y4m")));
        assert_eq!((options.seconds, options.out), (3, PathBuf::from("d")));
        assert_eq!(parse(&["--help"]), Ok(None));
        let options = parse(&["--device", "/dev/avpu"]).unwrap().unwrap();
        assert_eq!(options.device.as_deref(), Some("/dev/avpu"));
        assert_eq!(options.seconds, 5);
        assert!(parse(&["--device", "/dev/avpu", "--input", "a"]).is_err());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, message) in [
            (&["--second", "3"][..], "unknown argument \"--second\""),
            (&["--seconds", "1"], "--seconds: expected 2 to 3600"),
            (&["--out"], "--out: expected a value"),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn the_players_line_can_be_pasted_into_a_shell() {
        assert_eq!(quoted(Path::new("a/b-1.h264")), "a/b-1.h264");
        assert_eq!(quoted(Path::new("a b's")), "'a b'\\''s'");
    }
}
