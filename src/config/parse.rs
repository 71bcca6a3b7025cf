//! YAML text to a tree with places, within bounds that no honest configuration reaches.
//!
//! What YAML offers beyond texts, lists and mappings is refused: aliases and merge keys make a small file large and
//! hide what a key is set to, tags choose types that the sections choose themselves.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput};

use super::findings::{Findings, Mark, quoted};
use super::tree::{Content, Node, Segment, shown};

/// The largest file, in bytes.
pub(super) const MAX_FILE_SIZE: u64 = 1 << 20;
/// The most values in a file.
const MAX_NODES: usize = 100_000;
/// The deepest nesting.
const MAX_DEPTH: usize = 64;
/// The longest key, in bytes: keys are repeated in the path of every value below them.
const MAX_KEY: usize = 256;

/// Why reading a file stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Halt {
    #[error("the file is larger than 1 MiB")]
    TooLarge,
    #[error("the file is not UTF-8 text")]
    NotUtf8(Mark),
    #[error("the nesting is deeper than {MAX_DEPTH} levels")]
    TooDeep(Mark),
    #[error("the file has more than {MAX_NODES} values")]
    TooMany(Mark),
    #[error("the file goes on with a second document")]
    SecondDocument(Mark),
    #[error("the YAML cannot be read here: {0}")]
    Syntax(#[from] ScanError),
}

/// Reads one file. A file without any value is `None`, and so is one whose reading stopped.
pub(super) fn parse(source: usize, bytes: &[u8], findings: &mut Findings) -> Option<Node> {
    let start = Mark { source, line: 1, column: 1 };
    match text_of(source, bytes) {
        Ok(text) => {
            let mut reader = Reader {
                parser: Parser::new_from_str(text),
                source,
                nodes: 0,
                depth: 0,
                has_alias: false,
                path: Vec::new(),
                findings,
            };
            match reader.document() {
                Ok(node) => node,
                Err(halt) => {
                    report(&halt, source, text, findings);
                    None
                }
            }
        }
        Err(halt) => {
            report(&halt, start.source, "", findings);
            None
        }
    }
}

fn text_of(source: usize, bytes: &[u8]) -> Result<&str, Halt> {
    if u64::try_from(bytes.len()).is_ok_and(|size| size > MAX_FILE_SIZE) {
        return Err(Halt::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = valid.split(|&byte| byte == b'\n');
        let column = line.clone().next_back().map_or(0, |last| String::from_utf8_lossy(last).chars().count());
        Halt::NotUtf8(Mark { source, line: line.count(), column: column + 1 })
    })?;
    // Windows editors put a byte order mark in front; it is no part of the first key.
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn report(halt: &Halt, source: usize, text: &str, findings: &mut Findings) {
    let start = Mark { source, line: 1, column: 1 };
    let (mark, remedy) = match halt {
        Halt::TooLarge => (start, "name the gateway's own configuration file"),
        Halt::NotUtf8(mark) => (*mark, "save it as UTF-8"),
        Halt::TooDeep(mark) | Halt::TooMany(mark) => (*mark, "name the gateway's own configuration file"),
        Halt::SecondDocument(mark) => (*mark, "put all keys in one document and remove the `---` between them"),
        Halt::Syntax(error) => {
            let mark = mark_of(source, *error.marker());
            let line = text.lines().nth(mark.line.saturating_sub(1)).unwrap_or_default();
            let message = format!("the YAML cannot be read here: {}", error.info());
            findings.error(mark, String::new(), message, syntax_remedy(error.info(), line));
            return;
        }
    };
    findings.error(mark, String::new(), halt.to_string(), remedy);
}

/// What was most probably meant, from the words of the parser and the line that it stopped at.
fn syntax_remedy(info: &str, line: &str) -> &'static str {
    let value = line.split_once(": ").map_or(line, |(_, value)| value).trim_start_matches(['-', ' ']);
    if line.contains("[::") {
        "put an IPv6 address in quotes: \"[::]:443\""
    } else if info.contains("tab") || line.trim_start_matches(' ').starts_with('\t') {
        "indent with spaces, not with tabs"
    } else if value.starts_with(['*', '&', '@', '%', '`', '!', '{', '[', '|', '>']) {
        "put a text that begins with one of * & @ % ` ! { [ | > in quotes"
    } else if info.contains("quoted scalar") {
        "close the quote on the same line"
    } else if info.contains("mapping values are not allowed") {
        "put a text with `: ` in it in quotes, and give the keys of one section the same indentation"
    } else {
        "check the indentation, quotes and brackets of this line and the one above it"
    }
}

fn mark_of(source: usize, marker: Marker) -> Mark {
    Mark { source, line: marker.line(), column: marker.col() + 1 }
}

struct Reader<'t, 'f> {
    parser: Parser<'t, StrInput<'t>>,
    source: usize,
    nodes: usize,
    depth: usize,
    has_alias: bool,
    path: Vec<Segment>,
    findings: &'f mut Findings,
}

impl<'t> Reader<'t, '_> {
    fn document(&mut self) -> Result<Option<Node>, Halt> {
        let mut document = None;
        while let Some((event, mark)) = self.next()? {
            match event {
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd => {
                    if document.is_some() {
                        return Err(Halt::SecondDocument(mark));
                    }
                    document = Some(self.node(event, mark, mark)?);
                }
            }
        }
        Ok(document.filter(|node: &Node| !node.is_null()))
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Mark)>, Halt> {
        let Some(next) = self.parser.next_event() else {
            return Ok(None);
        };
        let (event, span) = next?;
        Ok(Some((event, mark_of(self.source, span.start))))
    }

    /// Reads the value that an event begins; `at` is the event's place and `mark` the one to remember.
    fn node(&mut self, event: Event<'t>, at: Mark, mark: Mark) -> Result<Node, Halt> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Halt::TooMany(at));
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Halt::TooDeep(at));
        }
        let tag = match &event {
            Event::Scalar(_, _, _, tag) | Event::SequenceStart(_, tag) | Event::MappingStart(_, tag) => tag.as_ref(),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::Alias(_)
            | Event::SequenceEnd
            | Event::MappingEnd => None,
        };
        let tagged = tag.is_some();
        if let Some(tag) = tag {
            let name = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
            let message = format!("the tag {} is not supported", quoted(&name));
            self.refuse(at, message, "remove it, or put a text that begins with `!` in quotes");
        }
        let content = match event {
            Event::Scalar(text, style, _, _) => {
                Content::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }
            }
            Event::SequenceStart(..) => self.sequence()?,
            Event::MappingStart(..) => self.mapping()?,
            Event::Alias(_) => {
                // Once is enough: whoever uses one uses many.
                if !std::mem::replace(&mut self.has_alias, true) {
                    let remedy = "write the values out, or put a text that begins with `*` in quotes";
                    self.refuse(at, "aliases are not supported", remedy);
                }
                Content::Dropped
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => Content::Dropped,
        };
        self.depth -= 1;
        Ok(Node { mark, content: if tagged { Content::Dropped } else { content } })
    }

    fn sequence(&mut self) -> Result<Content, Halt> {
        let mut items = Vec::new();
        while let Some((event, mark)) = self.next()? {
            if event == Event::SequenceEnd {
                break;
            }
            self.path.push(Segment::Index(items.len()));
            items.push(self.node(event, mark, mark)?);
            self.path.pop();
        }
        Ok(Content::Sequence(items))
    }

    fn mapping(&mut self) -> Result<Content, Halt> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut lines = BTreeMap::new();
        while let Some((event, mark)) = self.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let key = self.key(event, mark)?;
            let Some((event, at)) = self.next()? else {
                break;
            };
            let Some(key) = key else {
                // One problem is enough for a key and what is below it.
                let told = self.findings.count();
                self.node(event, at, mark)?;
                self.findings.truncate(told);
                entries.push((String::new(), Node { mark, content: Content::Dropped }));
                continue;
            };
            self.path.push(Segment::Key(key.clone()));
            let node = self.node(event, at, mark)?;
            if let Some(line) = lines.get(&key) {
                self.refuse(mark, format!("is set a second time, after line {line}"), "remove one of the two");
            } else {
                lines.insert(key.clone(), mark.line);
                entries.push((key, node));
            }
            self.path.pop();
        }
        Ok(Content::Mapping(entries))
    }

    /// Reads a key; one that cannot be used is reported, and its value is read over.
    fn key(&mut self, event: Event<'t>, mark: Mark) -> Result<Option<String>, Halt> {
        let node = self.node(event, mark, mark)?;
        let refusal = match node.content {
            Content::Scalar { text, plain: true } if text == "<<" => {
                ("merge keys are not supported", "write the keys out")
            }
            Content::Scalar { text, .. } if text.is_empty() => ("a key is empty", "write a name before the `:`"),
            Content::Scalar { text, .. } if text.len() > MAX_KEY => {
                ("a key is longer than 256 bytes", "check the quotes of this line")
            }
            Content::Scalar { text, .. } if text.contains(char::is_control) => {
                ("a key has control characters", "check the quotes of this line")
            }
            Content::Scalar { text, .. } => return Ok(Some(text)),
            Content::Sequence(_) | Content::Mapping(_) => {
                ("a key is a list or a mapping", "put a text that begins with `[` or `{` in quotes")
            }
            // Reported where it was dropped.
            Content::Dropped => return Ok(None),
        };
        self.refuse(mark, refusal.0, refusal.1);
        Ok(None)
    }

    fn refuse(&mut self, mark: Mark, message: impl Into<String>, remedy: &str) {
        let path = shown(&self.path);
        self.findings.error(mark, path, message, remedy);
    }
}
