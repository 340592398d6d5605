//! Which encoder: the device file, or the software model with its options.

use super::value::present;
use std::path::PathBuf;

/// The device file of the video encoder.
const DEVICE_PATH: &str = "/dev/avpu";

/// The encoder that the daemon is to use. It never takes another one by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The hardware behind this device file.
    Hardware {
        /// Path of the device file.
        path: PathBuf,
    },
    /// The software model.
    Model {
        /// Its options, as the model understands them: `body=picture,pace=t31`.
        options: String,
    },
}

impl Default for DeviceChoice {
    fn default() -> Self {
        Self::Hardware {
            path: PathBuf::from(DEVICE_PATH),
        }
    }
}

impl DeviceChoice {
    /// Reads `PATH` or `model[,option=value]...`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = present(text)?;
        if text.starts_with('/') {
            return Ok(Self::Hardware {
                path: PathBuf::from(text),
            });
        }
        let options = match text.strip_prefix("model") {
            Some("") => "",
            Some(rest) => rest.strip_prefix(',').ok_or_else(|| neither(text))?,
            None => return Err(neither(text)),
        };
        Ok(Self::Model {
            options: options.to_owned(),
        })
    }
}

fn neither(text: &str) -> String {
    format!("expected an absolute path or \"model[,option=value]...\", found \"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hardware_is_the_default() {
        let path = PathBuf::from("/dev/avpu");
        assert_eq!(DeviceChoice::default(), DeviceChoice::Hardware { path });
    }

    #[test]
    fn a_path_is_hardware_and_a_word_is_the_model() {
        let model = |options: &str| {
            Ok(DeviceChoice::Model {
                options: options.to_owned(),
            })
        };
        assert_eq!(DeviceChoice::parse("model"), model(""));
        assert_eq!(DeviceChoice::parse("model,pace=free"), model("pace=free"));
        let path = PathBuf::from("/dev/avpu1");
        let hardware = DeviceChoice::Hardware { path };
        assert_eq!(DeviceChoice::parse("/dev/avpu1"), Ok(hardware));
        for wrong in ["", "models", "dev/avpu", "modelpace=free"] {
            assert!(DeviceChoice::parse(wrong).is_err(), "{wrong}");
        }
    }
}
