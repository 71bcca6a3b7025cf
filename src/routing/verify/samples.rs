//! Paths that a regular expression of Synapse's stands for.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

/// More than any path of Synapse's stands for.
const MOST: usize = 256;
/// What is put in place of a parameter.
const ANYTHING: u8 = b'x';
/// A dot that somebody forgot to escape is meant.
const DOT: u8 = b'.';

/// A regular expression cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub enum SamplesError {
    /// It is none.
    #[error("it is not a regular expression as they are known here")]
    Syntax(#[source] Box<regex_syntax::Error>),
    /// It stands for too much.
    #[error("it has more than {MOST} forms")]
    TooMany,
    /// It stands for what is no text, or for nothing.
    #[error("it matches no path")]
    NoPath,
}

/// Samples of the paths that a regular expression matches: each alternative, what is optional and what is not, and for a
/// parameter one that is not empty.
pub(super) fn of(pattern: &str) -> Result<Vec<String>, SamplesError> {
    // By bytes, since Synapse matches paths before they are decoded.
    let mut parser = ParserBuilder::new().unicode(false).utf8(false).build();
    let parsed = parser.parse(pattern).map_err(|error| SamplesError::Syntax(Box::new(error)))?;
    let mut samples = forms(&parsed)?
        .into_iter()
        .map(|bytes| String::from_utf8(bytes).ok().filter(|path| path.starts_with('/')))
        .collect::<Option<Vec<_>>>()
        .filter(|samples| !samples.is_empty())
        .ok_or(SamplesError::NoPath)?;
    samples.sort_unstable();
    samples.dedup();
    Ok(samples)
}

fn forms(hir: &Hir) -> Result<Vec<Vec<u8>>, SamplesError> {
    Ok(match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![Vec::new()],
        HirKind::Literal(literal) => vec![literal.0.to_vec()],
        HirKind::Class(class) => letters(class).into_iter().map(|letter| vec![letter]).collect(),
        HirKind::Repetition(repetition) => repeated(repetition)?,
        HirKind::Capture(capture) => forms(&capture.sub)?,
        HirKind::Concat(parts) => {
            let mut all = vec![Vec::new()];
            for part in parts {
                let next = forms(part)?;
                bounded(all.len().saturating_mul(next.len()))?;
                all =
                    all.iter().flat_map(|start| next.iter().map(move |end| [start.as_slice(), end].concat())).collect();
            }
            all
        }
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(forms(part)?);
                bounded(all.len())?;
            }
            all
        }
    })
}

fn bounded(forms: usize) -> Result<(), SamplesError> {
    if forms > MOST { Err(SamplesError::TooMany) } else { Ok(()) }
}

/// What may be left out is left out once. What may be there any number of times is there: an empty segment is nobody's
/// name, and the table takes it for none. Where it may go on behind a slash, it does that too.
fn repeated(repetition: &Repetition) -> Result<Vec<Vec<u8>>, SamplesError> {
    let Repetition { min, max, sub, .. } = repetition;
    if let HirKind::Class(class) = sub.kind()
        && *max != Some(1)
    {
        let letter = if has(class, ANYTHING) { Some(ANYTHING) } else { letters(class).first().copied() };
        let letter = letter.ok_or(SamplesError::NoPath)?;
        let count = usize::try_from(*min).map_err(|_| SamplesError::TooMany)?.max(1);
        bounded(count)?;
        let once = vec![letter; count];
        let further = (max.is_none() && has(class, b'/')).then(|| [once.as_slice(), b"/", &once].concat());
        return Ok([once].into_iter().chain(further).collect());
    }
    let mut all = Vec::new();
    if *min == 0 && *max == Some(1) {
        all.push(Vec::new());
    }
    let times = usize::try_from(*min).map_err(|_| SamplesError::TooMany)?.max(1);
    bounded(times)?;
    all.extend(forms(sub)?.into_iter().map(|form| form.repeat(times)));
    bounded(all.len())?;
    Ok(all)
}

/// The letters of a class: all of a small one, such as an alternative between two letters becomes.
fn letters(class: &Class) -> Vec<u8> {
    if has(class, DOT) && has(class, ANYTHING) {
        return vec![DOT];
    }
    let all: Vec<u8> = (b'!'..=b'~').filter(|letter| has(class, *letter)).collect();
    if all.len() > 8 { all.into_iter().filter(u8::is_ascii_alphanumeric).take(1).collect() } else { all }
}

fn has(class: &Class, letter: u8) -> bool {
    match class {
        Class::Bytes(class) => class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&letter)),
        Class::Unicode(class) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&char::from(letter)))
        }
    }
}
