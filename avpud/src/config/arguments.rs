//! The command line, split into a command and its settings. Nothing is read and nothing is applied here.

use super::keys::{self, KEYS, Setting};
use super::{CONFIG_PATH, ConfigError, Origin};
use core::fmt::Write as _;
use std::path::PathBuf;

/// What the program is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the daemon.
    Serve(Arguments),
    /// Read the configuration, say whether it is good, and end.
    CheckConfig(Arguments),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Show the service with clients; its own arguments follow.
    #[cfg(feature = "demo")]
    Demo(Vec<String>),
    /// Be one of the demo's processes; its own arguments follow.
    #[cfg(feature = "demo")]
    DemoPart(Vec<String>),
    /// Say what this machine has for the encoder, without touching that.
    Probe(Arguments),
    /// Say what fits into how much memory; its own arguments follow.
    Plan(Vec<String>),
}

/// The daemon's arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// The file named by `--config`.
    pub config: Option<PathBuf>,
    /// Settings in the order given.
    pub settings: Vec<(Setting, String)>,
}

/// Splits the arguments, without the program's name.
///
/// # Errors
/// When an argument is unknown or lacks its value.
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Command, ConfigError> {
    let mut words = words.into_iter().peekable();
    #[cfg(feature = "demo")]
    match words.peek().map(String::as_str) {
        Some("demo") => return Ok(Command::Demo(words.skip(1).collect())),
        Some("demo-part") => return Ok(Command::DemoPart(words.skip(1).collect())),
        _ => {}
    }
    let probe = words.next_if(|word| word == "probe").is_some();
    if words.next_if(|word| word == "plan").is_some() {
        return Ok(Command::Plan(words.collect()));
    }
    let mut arguments = Arguments::default();
    let mut check = false;
    while let Some(word) = words.next() {
        let (flag, attached) = match word.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        match (flag.as_str(), &attached) {
            ("-h" | "--help", None) => return Ok(Command::Help),
            ("-V" | "--version", None) => return Ok(Command::Version),
            ("--check-config", None) => check = true,
            _ => {
                let name = known(&flag)?;
                let value = attached.or_else(|| words.next()).ok_or(ConfigError {
                    origin: Origin::Argument(flag),
                    message: "expected a value, found none".to_owned(),
                })?;
                match name {
                    Named::Config => arguments.config = Some(PathBuf::from(value)),
                    Named::Setting(setting) => arguments.settings.push((setting, value)),
                }
            }
        }
    }
    if probe && check {
        return Err(ConfigError {
            origin: Origin::CommandLine,
            message: "expected probe or --check-config, found both".to_owned(),
        });
    }
    Ok(if probe {
        Command::Probe(arguments)
    } else if check {
        Command::CheckConfig(arguments)
    } else {
        Command::Serve(arguments)
    })
}

enum Named {
    Config,
    Setting(Setting),
}

fn known(flag: &str) -> Result<Named, ConfigError> {
    let wrong = |message| ConfigError {
        origin: Origin::CommandLine,
        message,
    };
    let Some(name) = flag.strip_prefix("--") else {
        return Err(wrong(format!("unexpected argument \"{flag}\", try --help")));
    };
    if name == "config" {
        return Ok(Named::Config);
    }
    let others = ["config", "check-config", "help", "version"];
    keys::find(name).map(Named::Setting).map_err(|_| {
        let names = KEYS.iter().map(|key| key.name).chain(others);
        wrong(keys::unknown("argument", name, names))
    })
}

/// The text of `--help`.
#[must_use]
pub fn help() -> String {
    let mut text = String::from(
        "avpud shares one Allegro AVPU video encoder between many processes.\n\n\
         usage: avpud [--SETTING VALUE]...\n\
         \x20      avpud probe [--SETTING VALUE]...\n        \
         what this machine has for the encoder, without touching it\n\
         \x20      avpud plan --ram SIZE --arena SIZE WIDTHxHEIGHT@FPS...\n        \
         what fits into how much memory\n",
    );
    if cfg!(feature = "demo") {
        text.push_str("       avpud demo [--input CLIP.y4m] [--seconds N] [--out DIR]\n");
    }
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "\n  --config PATH\n        settings file, instead of {CONFIG_PATH} where that exists\n  \
         --check-config\n        read the settings, say whether they are good, and end\n  \
         -h, --help\n  -V, --version\n\n\
         Settings, also \"key = value\" under [section] in the file; the command line wins:\n"
    );
    for key in KEYS {
        let _ = write!(
            text,
            "  --{} {}\n        [{}] {}\n",
            key.name, key.value, key.section, key.help
        );
    }
    text.push_str(
        "\nSocket: --socket, else $AVPUD_SOCKET, else /run/avpud/avpud.sock as root, else \
         $XDG_RUNTIME_DIR/avpud.sock.\n\
         Exit status: 0 done, 1 failed, 2 usage, 5 device or socket held by another daemon, \
         6 no memory for the encoder, 75 restart me.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str]) -> Result<Command, String> {
        parse(words.iter().map(|word| (*word).to_owned())).map_err(|error| error.to_string())
    }

    #[test]
    fn values_follow_their_flag_or_an_equals_sign() {
        let expected = Command::Serve(Arguments {
            config: Some(PathBuf::from("/c")),
            settings: vec![
                (Setting::Device, "model,pace=free".to_owned()),
                (Setting::Socket, "/s".to_owned()),
            ],
        });
        let words = [
            "--config",
            "/c",
            "--device=model,pace=free",
            "--socket",
            "/s",
        ];
        assert_eq!(command(&words), Ok(expected));
    }

    #[test]
    fn help_version_and_check_need_no_more() {
        assert_eq!(command(&["--help"]), Ok(Command::Help));
        assert_eq!(command(&["--socket", "/s", "-V"]), Ok(Command::Version));
        assert_eq!(
            command(&["--check-config"]),
            Ok(Command::CheckConfig(Arguments::default()))
        );
    }

    #[test]
    fn other_commands_come_first() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(
            command(&["plan", "--ram", "64M"]),
            Ok(Command::Plan(words(&["--ram", "64M"])))
        );
        let settings = vec![(Setting::Arena, "rmem".to_owned())];
        let arguments = Arguments {
            config: None,
            settings,
        };
        assert_eq!(
            command(&["probe", "--arena", "rmem"]),
            Ok(Command::Probe(arguments))
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases: [(&[&str], &str); 5] = [
            (
                &["probe", "--check-config"],
                "expected probe or --check-config, found both",
            ),
            (
                &["--devise", "x"],
                "unknown argument \"devise\", nearest is \"device\"",
            ),
            (&["serve"], "unexpected argument \"serve\", try --help"),
            (&["--socket"], "--socket: expected a value, found none"),
            (&["-x"], "unexpected argument \"-x\", try --help"),
        ];
        for (words, message) in cases {
            assert_eq!(command(words), Err(message.to_owned()));
        }
    }

    #[test]
    fn the_help_names_every_setting() {
        let text = help();
        for key in KEYS {
            assert!(text.contains(&format!("--{} ", key.name)), "{}", key.name);
        }
    }
}
