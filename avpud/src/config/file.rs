//! The file: `[section]`, `key = value`, `#` to the end of a line that starts with it.

use super::keys::{self, KEYS};
use super::{Config, ConfigError, Origin};
use std::path::Path;

/// Applies every line of `text` to `config`.
///
/// # Errors
/// At the first line that is wrong, naming it.
pub(super) fn apply(config: &mut Config, path: &Path, text: &str) -> Result<(), ConfigError> {
    let mut section = None;
    let mut seen = Vec::new();
    for (index, line) in text.lines().enumerate() {
        apply_line(config, &mut section, &mut seen, line.trim()).map_err(|message| {
            ConfigError {
                origin: Origin::Line(path.to_path_buf(), index + 1),
                message,
            }
        })?;
    }
    Ok(())
}

fn apply_line(
    config: &mut Config,
    section: &mut Option<&'static str>,
    seen: &mut Vec<keys::Setting>,
    line: &str,
) -> Result<(), String> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(());
    }
    if let Some(name) = line.strip_prefix('[') {
        let name = name
            .strip_suffix(']')
            .ok_or_else(|| format!("expected \"]\" at the end of \"{line}\""))?;
        *section = Some(find_section(name.trim())?);
        return Ok(());
    }
    let (key, value) = line
        .split_once('=')
        .ok_or_else(|| format!("expected \"key = value\", found \"{line}\""))?;
    let setting = find_key(*section, key.trim())?;
    if seen.contains(&setting) {
        return Err(format!("expected \"{}\" once, found it again", key.trim()));
    }
    seen.push(setting);
    keys::apply(config, setting, value.trim())
        .map_err(|message| format!("{}: {message}", key.trim()))
}

fn find_section(name: &str) -> Result<&'static str, String> {
    let sections = || KEYS.iter().map(|key| key.section);
    sections()
        .find(|section| *section == name)
        .ok_or_else(|| keys::unknown("section", name, sections()))
}

fn find_key(section: Option<&'static str>, name: &str) -> Result<keys::Setting, String> {
    let setting = keys::find(name)?;
    let Some(row) = KEYS.iter().find(|key| key.setting == setting) else {
        return Err(format!("unknown key \"{name}\""));
    };
    if section != Some(row.section) {
        return Err(format!(
            "expected \"{name}\" in section [{}], found it in {}",
            row.section,
            section.map_or("none".to_owned(), |found| format!("[{found}]"))
        ));
    }
    Ok(setting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogFormat;
    use std::path::PathBuf;

    fn parse(text: &str) -> Result<Config, String> {
        let mut config = Config::default();
        apply(&mut config, Path::new("avpud.conf"), text)
            .map(|()| config)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn sections_keys_comments_and_blanks_are_understood() {
        let text = "# a\n\n[daemon]\n  socket = /run/a b.sock \nlog-format=json\n[device]\ncost-base-ns = 0\n";
        let config = parse(text).unwrap();
        assert_eq!(config.socket, Some(PathBuf::from("/run/a b.sock")));
        assert_eq!(config.log_format, LogFormat::Json);
        assert_eq!(config.cost.base_ns, Some(0));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let cases = [
            (
                "[daemon]\nsoket = /a\n",
                "avpud.conf:2: unknown key \"soket\", nearest is \"socket\"",
            ),
            (
                "[deamon]\n",
                "avpud.conf:1: unknown section \"deamon\", nearest is \"daemon\"",
            ),
            (
                "[device]\n\nsocket = /a\n",
                "avpud.conf:3: expected \"socket\" in section [daemon], found it in [device]",
            ),
            (
                "socket = /a\n",
                "avpud.conf:1: expected \"socket\" in section [daemon], found it in none",
            ),
            (
                "[daemon]\nsocket\n",
                "avpud.conf:2: expected \"key = value\", found \"socket\"",
            ),
            (
                "[daemon\n",
                "avpud.conf:1: expected \"]\" at the end of \"[daemon\"",
            ),
            (
                "[daemon]\nlog-level = loud\n",
                "avpud.conf:2: log-level: expected error, warning, info, debug or trace, found \"loud\"",
            ),
            (
                "[daemon]\nsocket = /a\nsocket = /b\n",
                "avpud.conf:3: expected \"socket\" once, found it again",
            ),
            (
                "[daemon]\nsocket =\n",
                "avpud.conf:2: socket: expected a value, found none",
            ),
            (
                "[limits]\nring-bytes = 3M\n",
                "avpud.conf:2: ring-bytes: expected a power of two from 4096 to 268435456 bytes, found \"3M\"",
            ),
            (
                "[limits]\nload-max-permille = 1001\n",
                "avpud.conf:2: load-max-permille: expected a whole number from 1 to 1000, found \"1001\"",
            ),
            (
                "[limits]\nclient-frames-max = 17\n",
                "avpud.conf:2: client-frames-max: expected a whole number from 1 to 16, found \"17\"",
            ),
            (
                "[limits]\nchannels-max = 0\n",
                "avpud.conf:2: channels-max: expected a whole number from 1 to 65535, found \"0\"",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(parse(text).unwrap_err(), message);
        }
    }
}
