//! A destination's named texts: templates that its body uses as `texts.NAME`, so that the same words
//! need not stand in every preset.

use serde_json::{Map, Value};

use super::Fault;
use crate::expr::FieldPath;
use crate::template::{Scope, Template};

/// Compiled texts.
#[derive(Debug)]
pub(super) struct Texts(Vec<Text>);

#[derive(Debug)]
struct Text {
    key: String,
    name: String,
    template: Template,
}

impl Texts {
    pub(super) fn compile(written: &[(String, String)]) -> Result<Self, Vec<Fault>> {
        let mut texts = Vec::new();
        let mut faults = Vec::new();
        for (name, text) in written {
            let key = format!("texts.{name}");
            match Template::text(text) {
                Ok(template) if template.reads().iter().any(|path| path[0] == "texts") => {
                    faults.push(Fault::new(key, "a text cannot use other texts"));
                }
                Ok(template) => texts.push(Text {
                    key,
                    name: name.clone(),
                    template,
                }),
                Err(bad) => faults.push(Fault::template(key, bad)),
            }
        }
        if faults.is_empty() {
            Ok(Self(texts))
        } else {
            Err(faults)
        }
    }

    /// Every text for one delivery; None where there are none.
    pub(super) fn render(&self, scope: &Scope) -> Result<Option<Value>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut all = Map::new();
        for Text {
            key,
            name,
            template,
        } in &self.0
        {
            let text = template.render(scope).map_err(|why| why.at(key))?;
            all.insert(name.clone(), Value::String(text.trim().to_owned()));
        }
        Ok(Some(Value::Object(all)))
    }

    pub(super) fn reads(&self) -> Vec<(&str, &FieldPath)> {
        let each = |text| {
            let Text { key, template, .. }: &Text = text;
            template.reads().iter().map(|path| (key.as_str(), path))
        };
        self.0.iter().flat_map(each).collect()
    }
}
