//! JSON against a JSON Schema, as far as `part2part schema` goes: a keyword that this does
//! not know fails the test, and so does a field that the schema does not name.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// A schema, with its definitions.
pub struct Schema(Value);

impl Schema {
    pub fn read(text: &str) -> Self {
        Self(serde_json::from_str(text).expect("a schema is JSON"))
    }

    /// What is wrong with `value`; nothing when it is as described.
    pub fn judge(&self, value: &Value) -> Result<(), String> {
        self.object(&self.0, value, "")?;
        self.names(&self.0, value, "")
    }

    /// The values of `reply` that are described.
    pub fn kinds(&self) -> BTreeSet<String> {
        let kinds = self.0.get("oneOf").and_then(Value::as_array).expect("kinds of replies");
        let name =
            |kind: &Value| kind.pointer("/properties/reply/const")?.as_str().map(str::to_owned);
        kinds.iter().map(|kind| name(kind).expect("a kind has a name")).collect()
    }

    fn resolve<'a>(&'a self, reference: &Value) -> &'a Value {
        let path = reference.as_str().and_then(|path| path.strip_prefix('#'));
        self.0.pointer(path.expect("a reference within")).expect("it leads somewhere")
    }

    fn object(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let Some(keywords) = schema.as_object() else { return Ok(()) };
        for (keyword, rule) in keywords {
            let holds = match keyword.as_str() {
                "$schema" | "$defs" | "title" | "description" | "format" | "default" => true,
                "$ref" => {
                    self.object(self.resolve(rule), value, at)?;
                    true
                }
                "type" => is_one_of(rule, value),
                "const" => rule == value,
                "enum" => rule.as_array().is_some_and(|all| all.contains(value)),
                "minimum" => value.as_f64() >= rule.as_f64() || !value.is_number(),
                "maximum" => value.as_f64() <= rule.as_f64() || !value.is_number(),
                "pattern" => looks_like(rule, value),
                "required" => {
                    let wanted = rule.as_array().into_iter().flatten();
                    let mut missing =
                        wanted.filter(|name| value.get(name.as_str().unwrap_or("")).is_none());
                    match missing.next() {
                        Some(name) => return Err(format!("{at}: {name} is missing")),
                        None => true,
                    }
                }
                "properties" => {
                    let rules = rule.as_object().into_iter().flatten();
                    for (name, rule) in rules {
                        if let Some(inner) = value.get(name) {
                            let at = format!("{at}/{name}");
                            self.object(rule, inner, &at)?;
                            self.names(rule, inner, &at)?;
                        }
                    }
                    true
                }
                "items" => {
                    for (number, inner) in value.as_array().into_iter().flatten().enumerate() {
                        let at = format!("{at}/{number}");
                        self.object(rule, inner, &at)?;
                        self.names(rule, inner, &at)?;
                    }
                    true
                }
                "oneOf" => self.fitting(rule, value).count() == 1,
                "anyOf" => self.fitting(rule, value).next().is_some(),
                "additionalProperties" => true, // seen to by `names`
                other => return Err(format!("{at}: this test does not know '{other}'")),
            };
            if !holds {
                return Err(format!("{at}: {value} against {keyword} {rule}"));
            }
        }
        Ok(())
    }

    fn fitting<'a>(&'a self, all: &'a Value, value: &'a Value) -> impl Iterator<Item = &'a Value> {
        let all = all.as_array().into_iter().flatten();
        all.filter(move |one| self.object(one, value, "").is_ok())
    }

    /// Whether each field of `value` is named somewhere in what describes it.
    fn names(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let Some(fields) = value.as_object() else { return Ok(()) };
        let known = self.known(schema, value);
        match fields.keys().find(|field| !known.contains(*field)) {
            Some(field) => Err(format!("{at}: the schema does not name '{field}'")),
            None => Ok(()),
        }
    }

    fn known(&self, schema: &Value, value: &Value) -> BTreeSet<String> {
        let empty = Map::new();
        let keywords = schema.as_object().unwrap_or(&empty);
        let mut known = BTreeSet::new();
        for (keyword, rule) in keywords {
            match keyword.as_str() {
                "properties" => {
                    known.extend(rule.as_object().into_iter().flatten().map(|(k, _)| k.clone()));
                }
                "$ref" => known.extend(self.known(self.resolve(rule), value)),
                "oneOf" | "anyOf" => {
                    known.extend(self.fitting(rule, value).flat_map(|one| self.known(one, value)));
                }
                _ => {}
            }
        }
        known
    }
}

fn is_one_of(types: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap_or("") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("this test does not know the type {other}"),
    };
    types.as_array().map_or_else(|| is(types), |all| all.iter().any(is))
}

/// The two patterns that ids have.
fn looks_like(pattern: &Value, value: &Value) -> bool {
    let (set, len): (&str, usize) = match pattern.as_str().unwrap_or("") {
        "^[a-z2-7]{52}$" => ("abcdefghijklmnopqrstuvwxyz234567", 52),
        "^[0-9a-f]{64}$" => ("0123456789abcdef", 64),
        other => panic!("this test does not know the pattern {other}"),
    };
    let text = value.as_str();
    text.is_some_and(|text| text.len() == len && text.chars().all(|c| set.contains(c)))
}
