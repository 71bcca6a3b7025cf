//! YAML text to a tree with places, within bounds that no honest configuration reaches.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag};

use super::Dialect;
use super::findings::{Findings, Mark, quoted};
use super::tree::{Content, Node, Segment, shown};
use crate::problem::Severity;

/// The largest file, in bytes.
pub(crate) const MAX_FILE_SIZE: u64 = 1 << 20;
/// The most values in a file, those that aliases repeat included.
const MAX_NODES: usize = 100_000;
/// The deepest nesting.
const MAX_DEPTH: usize = 64;
/// The longest key, in bytes: keys are repeated in the path of every value below them.
const MAX_KEY: usize = 256;

/// Why reading a file stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Halt {
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
pub(crate) fn parse(source: usize, bytes: &[u8], dialect: Dialect, findings: &mut Findings) -> Option<Node> {
    let start = Mark { source, line: 1, column: 1 };
    match text_of(source, bytes) {
        Ok(text) => {
            let mut reader = Reader {
                parser: Parser::new_from_str(text),
                source,
                dialect,
                nodes: 0,
                depth: 0,
                has_alias: false,
                anchored: BTreeMap::new(),
                path: Vec::new(),
                findings,
            };
            match reader.document() {
                Ok(node) => node,
                Err(halt) => {
                    report(&halt, source, text, dialect, findings);
                    None
                }
            }
        }
        Err(halt) => {
            report(&halt, start.source, "", dialect, findings);
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

fn report(halt: &Halt, source: usize, text: &str, dialect: Dialect, findings: &mut Findings) {
    let start = Mark { source, line: 1, column: 1 };
    let (mark, remedy) = match halt {
        Halt::TooLarge => (start, format!("name {}", dialect.owner())),
        Halt::NotUtf8(mark) => (*mark, "save it as UTF-8".to_owned()),
        Halt::TooDeep(mark) | Halt::TooMany(mark) => (*mark, format!("name {}", dialect.owner())),
        Halt::SecondDocument(mark) => {
            (*mark, "put all keys in one document and remove the `---` between them".to_owned())
        }
        Halt::Syntax(error) => {
            let mark = mark_of(source, *error.marker());
            let line = text.lines().nth(mark.line.saturating_sub(1)).unwrap_or_default();
            let info = match dialect {
                Dialect::Gateway => error.info(),
                // What the parser quotes is of the file.
                Dialect::Synapse => error.info().split([':', '`']).next().unwrap_or_default(),
            };
            let message = format!("the YAML cannot be read here: {info}");
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
    dialect: Dialect,
    nodes: usize,
    depth: usize,
    has_alias: bool,
    /// What aliases stand for, by the parser's numbers.
    anchored: BTreeMap<usize, Node>,
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
        self.count(1, at)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Halt::TooDeep(at));
        }
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag) | Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                (*anchor, tag.as_deref())
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::Alias(_)
            | Event::SequenceEnd
            | Event::MappingEnd => (0, None),
        };
        let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        let tagged = tag.is_some_and(|tag| self.refuses_tag(tag, at));
        let content = match event {
            Event::Scalar(text, style, _, _) => {
                Content::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain && !is_text }
            }
            Event::SequenceStart(..) => self.sequence()?,
            Event::MappingStart(..) => self.mapping()?,
            Event::Alias(anchor) => self.alias(anchor, at)?,
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => Content::Dropped,
        };
        self.depth -= 1;
        let node = Node { mark, content: if tagged { Content::Dropped } else { content } };
        if anchor != 0 && self.dialect == Dialect::Synapse {
            self.count(node.size(), at)?;
            self.anchored.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn count(&mut self, more: usize, at: Mark) -> Result<(), Halt> {
        self.nodes += more;
        if self.nodes > MAX_NODES { Err(Halt::TooMany(at)) } else { Ok(()) }
    }

    /// Python knows the tags of YAML itself, which say what the value shows anyway.
    fn refuses_tag(&mut self, tag: &Tag, at: Mark) -> bool {
        match self.dialect {
            Dialect::Synapse if tag.is_yaml_core_schema() => return false,
            Dialect::Synapse => self.refuse(at, "the tag here is not known to Synapse", "remove it"),
            Dialect::Gateway => {
                let name = if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
                let message = format!("the tag {} is not supported", quoted(&name));
                self.refuse(at, message, "remove it, or put a text that begins with `!` in quotes");
            }
        }
        true
    }

    fn alias(&mut self, anchor: usize, at: Mark) -> Result<Content, Halt> {
        match self.dialect {
            Dialect::Synapse => {
                let content = self.anchored.get(&anchor).map(|node| (node.size(), node.content.clone()));
                // An alias within what it stands for is one that nothing has been read for yet.
                let Some((size, content)) = content else {
                    self.refuse(at, "the alias here stands for itself", "write the values out");
                    return Ok(Content::Dropped);
                };
                self.count(size, at)?;
                Ok(content)
            }
            Dialect::Gateway => {
                // Once is enough: whoever uses one uses many.
                if !std::mem::replace(&mut self.has_alias, true) {
                    let remedy = "write the values out, or put a text that begins with `*` in quotes";
                    self.refuse(at, "aliases are not supported", remedy);
                }
                Ok(Content::Dropped)
            }
        }
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
        let mut merged: Vec<(String, Node)> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
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
            if self.dialect == Dialect::Synapse && key == "<<" {
                merged.extend(self.merged(node, at));
            } else if let Some(first) = places.get(&key).and_then(|place| entries.get_mut(*place)) {
                let line = first.1.mark.line;
                if self.dialect == Dialect::Synapse {
                    first.1 = node;
                }
                self.refuse_second(mark, line);
            } else {
                places.insert(key.clone(), entries.len());
                entries.push((key, node));
            }
            self.path.pop();
        }
        for (key, node) in merged {
            if !places.contains_key(&key) {
                places.insert(key.clone(), entries.len());
                entries.push((key, node));
            }
        }
        Ok(Content::Mapping(entries))
    }

    fn refuse_second(&mut self, mark: Mark, line: usize) {
        let remedy = "remove one of the two";
        match self.dialect {
            Dialect::Gateway => self.refuse(mark, format!("is set a second time, after line {line}"), remedy),
            Dialect::Synapse => {
                let message = format!("the key here is set a second time, after line {line}, and holds in place of it");
                self.findings.add(Severity::Warning, mark, String::new(), message, remedy.to_owned());
            }
        }
    }

    /// What a merge key adds where the mapping itself has nothing; of several mappings the first holds.
    fn merged(&mut self, node: Node, at: Mark) -> Vec<(String, Node)> {
        let mappings = match node.content {
            Content::Sequence(items) => items,
            content @ (Content::Mapping(_) | Content::Scalar { .. } | Content::Dropped) => {
                vec![Node { mark: node.mark, content }]
            }
        };
        let mut merged = Vec::new();
        for mapping in mappings {
            match mapping.content {
                Content::Mapping(entries) => merged.extend(entries),
                Content::Dropped => {}
                Content::Scalar { .. } | Content::Sequence(_) => {
                    self.refuse(at, "only mappings can be merged here", "write the keys out");
                }
            }
        }
        merged
    }

    /// Reads a key; one that cannot be used is reported, and its value is read over.
    fn key(&mut self, event: Event<'t>, mark: Mark) -> Result<Option<String>, Halt> {
        let node = self.node(event, mark, mark)?;
        let refusal = match node.content {
            Content::Scalar { text, plain: true } if text == "<<" && self.dialect == Dialect::Gateway => {
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
        let path = match self.dialect {
            Dialect::Gateway => shown(&self.path),
            Dialect::Synapse => String::new(),
        };
        self.findings.error(mark, path, message, remedy);
    }
}
