//! What the sections accept, as their types declare it (JSON Schema, draft 2020-12, as `schemars` writes it).

use schemars::JsonSchema;
use serde_json::Value;

use crate::quantity::{Size, Span};
use crate::yaml::{Content, Node, Segment, quoted, resolve};

/// The schema of a whole configuration.
pub(super) struct Schema(Value);

impl Schema {
    pub(super) fn of<T: JsonSchema>() -> Self {
        Self(schemars::schema_for!(T).to_value())
    }

    pub(super) fn root(&self) -> Shapes<'_> {
        Shapes::new(&self.0, vec![&self.0])
    }
}

/// The forms that a value may take; none of them is a reference or a union.
#[derive(Clone)]
pub(super) struct Shapes<'s> {
    root: &'s Value,
    list: Vec<&'s Value>,
}

impl<'s> Shapes<'s> {
    pub(super) fn new(root: &'s Value, schemas: Vec<&'s Value>) -> Self {
        let mut list = Vec::new();
        for schema in schemas {
            flatten(root, schema, &mut list);
        }
        Self { root, list }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &'s Value> {
        self.list.iter().copied()
    }

    /// Forms of the same document as these.
    pub(super) fn sibling(&self, schema: &'s Value) -> Self {
        Self::new(self.root, vec![schema])
    }

    /// What may stand under a key, or nothing if the key is not known.
    pub(super) fn key(&self, name: &str) -> Option<Self> {
        let named: Vec<_> = self.list.iter().filter_map(|shape| shape.get("properties")?.get(name)).collect();
        let found =
            if named.is_empty() { self.list.iter().filter_map(|shape| other_keys(shape)).collect() } else { named };
        (!found.is_empty()).then(|| Self::new(self.root, found))
    }

    /// What may stand in a list.
    pub(super) fn item(&self) -> Self {
        Self::new(self.root, self.list.iter().filter_map(|shape| shape.get("items")).collect())
    }

    pub(super) fn at(&self, path: &[Segment]) -> Option<Self> {
        path.iter().try_fold(self.clone(), |shapes, segment| match segment {
            Segment::Key(key) => shapes.key(key),
            Segment::Index(_) => Some(shapes.item()),
        })
    }

    /// Whether keys of its own may stand here.
    pub(super) fn has_keys(&self) -> bool {
        self.list.iter().any(|shape| is_free(shape) || has_type(shape, "object"))
    }

    pub(super) fn has_type(&self, name: &str) -> bool {
        self.list.iter().any(|shape| has_type(shape, name))
    }

    pub(super) fn has_format(&self, name: &str) -> bool {
        self.list.iter().any(|shape| format_of(shape) == Some(name))
    }

    /// Every key that has a name, in the order of the fields.
    pub(super) fn known_keys(&self) -> Vec<&'s str> {
        let properties = self.list.iter().filter_map(|shape| shape.get("properties")?.as_object());
        properties.flat_map(serde_json::Map::keys).map(String::as_str).collect()
    }

    /// The keys that must be there, if there is one form with keys and not a choice.
    pub(super) fn required_keys(&self) -> Vec<&'s str> {
        let mut forms = self.list.iter().filter(|shape| has_type(shape, "object"));
        let (Some(form), None) = (forms.next(), forms.next()) else {
            return Vec::new();
        };
        let required = form.get("required").and_then(Value::as_array);
        required.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The words that may stand here, if it is a choice of words.
    pub(super) fn words(&self) -> Vec<&'s str> {
        self.list.iter().flat_map(|shape| constants(shape)).filter_map(Value::as_str).collect()
    }

    /// Whether a value has one of the forms, as far as a schema can tell.
    pub(super) fn admit(&self, node: &Node) -> bool {
        self.list.iter().any(|shape| self.admits(shape, node))
    }

    /// What may stand here, in words.
    pub(super) fn describe(&self) -> String {
        let mut forms: Vec<String> = Vec::new();
        for form in self.list.iter().flat_map(|shape| describe(shape)) {
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
        let or = if forms.iter().any(|form| form.contains(' ')) { ", or" } else { " or" };
        match forms.split_last() {
            Some((last, rest)) if !rest.is_empty() => format!("{}{or} {last}", rest.join(", ")),
            Some((only, _)) => only.clone(),
            None => "anything".to_owned(),
        }
    }

    fn admits(&self, shape: &'s Value, node: &Node) -> bool {
        let form = Self { root: self.root, list: vec![shape] };
        match &node.content {
            Content::Dropped => true,
            _ if is_free(shape) => true,
            Content::Sequence(items) => has_type(shape, "array") && items.iter().all(|item| form.item().admit(item)),
            Content::Mapping(entries) => {
                has_type(shape, "object")
                    && form.required_keys().iter().all(|key| entries.iter().any(|(name, _)| name == key))
                    && entries.iter().all(|(key, child)| form.key(key).is_some_and(|inner| inner.admit(child)))
            }
            Content::Scalar { text, plain: true } => admits_scalar(shape, &resolve(text)),
            Content::Scalar { text, plain: false } => admits_scalar(shape, &text.as_str().into()),
        }
    }
}

fn admits_scalar(shape: &Value, value: &serde_yaml::Value) -> bool {
    let constants = constants(shape);
    if !constants.is_empty() {
        return constants.into_iter().any(|constant| serde_yaml::to_value(constant).is_ok_and(|known| known == *value));
    }
    match value {
        // `key:` is a section or a list without anything in it.
        serde_yaml::Value::Null => ["null", "object", "array"].iter().any(|name| has_type(shape, name)),
        serde_yaml::Value::Bool(_) => has_type(shape, "boolean"),
        serde_yaml::Value::Number(number) => {
            let (least, most) = bounds(shape);
            let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
            let in_range =
                |number: i128| least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most);
            has_type(shape, "number") || (has_type(shape, "integer") && whole.is_some_and(in_range))
        }
        serde_yaml::Value::String(text) => match format_of(shape) {
            Some("size") => text.parse::<Size>().is_ok(),
            Some("duration") => text.parse::<Span>().is_ok(),
            Some(_) | None => has_type(shape, "string"),
        },
        serde_yaml::Value::Sequence(_) | serde_yaml::Value::Mapping(_) | serde_yaml::Value::Tagged(_) => false,
    }
}

fn flatten<'s>(root: &'s Value, schema: &'s Value, list: &mut Vec<&'s Value>) {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|name| root.pointer(name.strip_prefix('#')?));
    let choices = ["anyOf", "oneOf", "allOf"].iter().filter_map(|word| schema.get(word)?.as_array());
    let inner: Vec<_> = target.into_iter().chain(choices.flatten()).collect();
    if inner.is_empty() {
        list.push(schema);
    }
    for schema in inner {
        flatten(root, schema, list);
    }
}

fn has_type(shape: &Value, name: &str) -> bool {
    match shape.get("type") {
        Some(Value::String(one)) => one == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => false,
    }
}

/// Whether the schema leaves all open, as that of a free-form value does.
fn is_free(shape: &Value) -> bool {
    let speaks = ["type", "const", "enum", "properties", "not"].iter().any(|word| shape.get(word).is_some());
    !speaks && *shape != Value::Bool(false)
}

fn other_keys(shape: &Value) -> Option<&Value> {
    if is_free(shape) {
        return Some(shape);
    }
    match shape.get("additionalProperties") {
        Some(Value::Bool(false)) => None,
        Some(schema) => Some(schema),
        None => has_type(shape, "object").then_some(&Value::Bool(true)),
    }
}

fn constants(shape: &Value) -> Vec<&Value> {
    let several = shape.get("enum").and_then(Value::as_array).into_iter().flatten();
    shape.get("const").into_iter().chain(several).collect()
}

/// The forms in words, but for the absence of a value: that is the default of an optional key.
fn describe(shape: &Value) -> Vec<String> {
    let constants = constants(shape);
    if !constants.is_empty() {
        let word = |value: &&Value| value.as_str().map_or_else(|| quoted(&value.to_string()), quoted);
        return constants.iter().filter(|value| !value.is_null()).map(word).collect();
    }
    match format_of(shape) {
        Some("size") => return vec!["a size such as 4096, 10KiB or 50M".to_owned()],
        Some("duration") => return vec!["a duration such as 500ms, 60s or 1m 30s".to_owned()],
        Some(_) | None => {}
    }
    let words = [
        ("boolean", "true or false".to_owned()),
        ("integer", format!("a whole number{}", range(shape))),
        ("number", "a number".to_owned()),
        ("string", "a text".to_owned()),
        ("array", "a list".to_owned()),
        ("object", "a section with keys of its own".to_owned()),
    ];
    words.into_iter().filter(|(name, _)| has_type(shape, name)).map(|(_, words)| words).collect()
}

fn range(shape: &Value) -> String {
    match bounds(shape) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(", {least} or more"),
        (None, Some(most)) => format!(" up to {most}"),
        (None, None) => String::new(),
    }
}

/// The least and the most that a whole number may be. Numbers of 64 bits have no bound that anybody meets.
fn bounds(shape: &Value) -> (Option<i128>, Option<i128>) {
    let declared = |word| shape.get(word).and_then(Value::as_i64).map(i128::from);
    let (least, most) = match format_of(shape) {
        Some("uint8") => (Some(0), Some(i128::from(u8::MAX))),
        Some("uint16") => (Some(0), Some(i128::from(u16::MAX))),
        Some("uint32") => (Some(0), Some(i128::from(u32::MAX))),
        Some("int32") => (Some(i128::from(i32::MIN)), Some(i128::from(i32::MAX))),
        Some(_) | None => (None, None),
    };
    (declared("minimum").or(least), declared("maximum").or(most))
}

fn format_of(shape: &Value) -> Option<&str> {
    shape.get("format").and_then(Value::as_str)
}
