//! A recorded picture against the rebuilt one.

use avpud::hw::cmdlist::fields;
use avpud::picture::Qp;

use super::mask::compared_bits;
use super::rebuild::{Inputs, Rebuilder};
use super::record::{Config, Frame};

/// A word that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordMismatch {
    /// The word's number.
    pub word: usize,
    /// What was rebuilt.
    pub rebuilt: u32,
    /// What was recorded.
    pub recorded: u32,
    /// The bits that were compared.
    pub bits: u32,
}

/// How a picture's list compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListVerdict {
    /// The quantiser the list was rebuilt with.
    pub qp: Qp,
    /// Words compared.
    pub compared: u32,
    /// Words that differ.
    pub mismatches: Vec<WordMismatch>,
}

/// Compares a picture's list; an error says why it cannot be rebuilt.
///
/// The quantiser is an input: the file's `qp`, otherwise word 0x03. Without `qp` the other words
/// that hold it are asked too and the one that explains most of the list is taken, so that damage to
/// word 0x03 is reported there and not everywhere else.
pub fn compare(
    config: &Config,
    rebuilder: &Rebuilder,
    inputs: &Inputs,
    frame: &Frame,
) -> Result<ListVerdict, String> {
    let mut best: Option<ListVerdict> = None;
    let mut failure = None;
    for candidate in candidates(frame) {
        let verdict = Qp::new(candidate)
            .map_err(|error| error.to_string())
            .and_then(|qp| compare_with(config, rebuilder, inputs, frame, qp));
        match verdict {
            Err(reason) => {
                failure.get_or_insert(reason);
            }
            Ok(verdict) => {
                let is_better = best
                    .as_ref()
                    .is_none_or(|best| verdict.mismatches.len() < best.mismatches.len());
                if is_better {
                    best = Some(verdict);
                }
            }
        }
    }
    best.ok_or_else(|| failure.unwrap_or_else(|| "expected a quantiser, found none".to_owned()))
}

fn candidates(frame: &Frame) -> Vec<u32> {
    if let Some(qp) = frame.qp {
        return vec![qp];
    }
    [fields::SLICE_QP, fields::ENTROPY_QP, fields::HWRC_QP]
        .map(|field| field.extract(frame.words[usize::from(field.word())]))
        .to_vec()
}

fn compare_with(
    config: &Config,
    rebuilder: &Rebuilder,
    inputs: &Inputs,
    frame: &Frame,
    qp: Qp,
) -> Result<ListVerdict, String> {
    let list = rebuilder.list(inputs, qp)?;
    let is_idr = inputs.place.index == 0;
    let mut verdict = ListVerdict {
        qp,
        compared: 0,
        mismatches: Vec::new(),
    };
    for (word, (&rebuilt, &recorded)) in list.words().iter().zip(&frame.words).enumerate() {
        let bits = compared_bits(config, word, is_idr);
        if bits == 0 {
            continue;
        }
        verdict.compared += 1;
        if (rebuilt ^ recorded) & bits != 0 {
            verdict.mismatches.push(WordMismatch {
                word,
                rebuilt,
                recorded,
                bits,
            });
        }
    }
    Ok(verdict)
}
