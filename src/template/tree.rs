//! A structured template: a table whose text leaves are templates, so that whatever they render to, the
//! result is valid JSON. A leaf that is one `{{ expression }}` keeps its type: a number stays a number,
//! a list a list, null null.
//!
//! A table with the key `"$when"`, a condition without braces, is left out of the list or table that
//! holds it where the condition is false. A key that ends with `?` is left out, without that mark, where
//! its value is null. Other keys are literal.

use serde_json::{Map, Value as Json};

use super::{BadTemplate, Scope, Template, Unrendered};
use crate::expr::FieldPath;

/// Most that one tree may render to, in bytes of text.
const TREE_BYTES: usize = 2 * 1024 * 1024;
const WHEN: &str = "$when";

/// A compiled structured template.
#[derive(Debug)]
pub struct Tree {
    root: Node,
}

/// A mistake in one leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFault {
    /// Where the leaf stands, such as `body.blocks[1].text`.
    pub key: String,
    pub bad: BadTemplate,
}

/// A leaf that could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFailure {
    pub key: String,
    pub why: Unrendered,
}

#[derive(Debug)]
enum Node {
    Literal(Json),
    Leaf(Leaf),
    List(Vec<Node>),
    Table {
        when: Option<Leaf>,
        fields: Vec<Field>,
    },
}

#[derive(Debug)]
struct Field {
    name: String,
    /// It is left out where it is null.
    optional: bool,
    node: Node,
}

#[derive(Debug)]
struct Leaf {
    key: String,
    template: Template,
}

impl Tree {
    /// Compiles `value`, whose place in the configuration is `key`.
    pub fn compile(value: &Json, key: &str) -> Result<Self, Vec<TreeFault>> {
        let mut faults = Vec::new();
        let root = compile(value, key, &mut faults);
        if let Node::Table {
            when: Some(leaf), ..
        } = &root
        {
            let message = "the whole body cannot be left out".to_owned();
            let hint = Some("use `when` of the route instead".to_owned());
            let bad = BadTemplate {
                message,
                line: None,
                hint,
            };
            faults.push(TreeFault {
                key: leaf.key.clone(),
                bad,
            });
        }
        if faults.is_empty() {
            Ok(Self { root })
        } else {
            Err(faults)
        }
    }

    /// Renders every leaf that is not left out.
    pub fn render(&self, scope: &Scope) -> Result<Json, TreeFailure> {
        let mut budget = TREE_BYTES;
        let rendered = render(&self.root, scope, &mut budget)?;
        Ok(rendered.unwrap_or(Json::Null))
    }

    /// Every leaf's key with the fields that it reads.
    pub fn reads(&self) -> Vec<(&str, &FieldPath)> {
        let mut found = Vec::new();
        collect(&self.root, &mut found);
        found
    }
}

fn compile(value: &Json, key: &str, faults: &mut Vec<TreeFault>) -> Node {
    match value {
        Json::String(text) if super::has_tags(text) => {
            leaf(Template::typed(text), key, faults).map_or(Node::Literal(Json::Null), Node::Leaf)
        }
        Json::Array(items) => {
            let nodes = items.iter().enumerate();
            Node::List(
                nodes
                    .map(|(at, item)| compile(item, &format!("{key}[{at}]"), faults))
                    .collect(),
            )
        }
        Json::Object(fields) => table(fields, key, faults),
        literal => Node::Literal(literal.clone()),
    }
}

fn table(fields: &Map<String, Json>, key: &str, faults: &mut Vec<TreeFault>) -> Node {
    let mut when = None;
    let mut nodes = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        let below = format!("{key}.{name}");
        match value {
            Json::String(condition) if name == WHEN => {
                when = leaf(Template::condition(condition), &below, faults);
            }
            _ if name == WHEN => faults.push(TreeFault {
                key: below,
                bad: BadTemplate {
                    message: "a condition is written as text".to_owned(),
                    line: None,
                    hint: Some("write \"result.score is not none\"".to_owned()),
                },
            }),
            _ => {
                let bare = name.strip_suffix('?');
                nodes.push(Field {
                    name: bare.unwrap_or(name).to_owned(),
                    optional: bare.is_some(),
                    node: compile(value, &below, faults),
                });
            }
        }
    }
    Node::Table {
        when,
        fields: nodes,
    }
}

fn leaf(
    compiled: Result<Template, BadTemplate>,
    key: &str,
    faults: &mut Vec<TreeFault>,
) -> Option<Leaf> {
    let key = key.to_owned();
    match compiled {
        Ok(template) => Some(Leaf { key, template }),
        Err(bad) => {
            faults.push(TreeFault { key, bad });
            None
        }
    }
}

/// None where the node is left out.
fn render(node: &Node, scope: &Scope, budget: &mut usize) -> Result<Option<Json>, TreeFailure> {
    match node {
        Node::Literal(value) => Ok(Some(value.clone())),
        Node::Leaf(leaf) => leaf.value(scope, budget).map(Some),
        Node::List(items) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                list.extend(render(item, scope, budget)?);
            }
            Ok(Some(Json::Array(list)))
        }
        Node::Table { when, fields } => {
            if !when.as_ref().map_or(Ok(true), |leaf| leaf.holds(scope))? {
                return Ok(None);
            }
            let mut table = Map::with_capacity(fields.len());
            for field in fields {
                let value = render(&field.node, scope, budget)?;
                if let Some(value) = value.filter(|value| !(field.optional && value.is_null())) {
                    table.insert(field.name.clone(), value);
                }
            }
            Ok(Some(Json::Object(table)))
        }
    }
}

impl Leaf {
    fn value(&self, scope: &Scope, budget: &mut usize) -> Result<Json, TreeFailure> {
        let value = self.template.value(scope).map_err(|why| self.failed(why))?;
        let size = match &value {
            Json::String(text) => text.len(),
            Json::Array(_) | Json::Object(_) => value.to_string().len(),
            _ => 0,
        };
        *budget = budget.checked_sub(size).ok_or_else(|| {
            let message = "the body becomes larger than it may be".to_owned();
            self.failed(Unrendered {
                message,
                line: None,
            })
        })?;
        Ok(value)
    }

    fn holds(&self, scope: &Scope) -> Result<bool, TreeFailure> {
        self.template.holds(scope).map_err(|why| self.failed(why))
    }

    fn failed(&self, why: Unrendered) -> TreeFailure {
        TreeFailure {
            key: self.key.clone(),
            why,
        }
    }
}

fn collect<'a>(node: &'a Node, found: &mut Vec<(&'a str, &'a FieldPath)>) {
    let mut leaf_reads = |leaf: &'a Leaf| {
        found.extend(
            leaf.template
                .reads()
                .iter()
                .map(|path| (leaf.key.as_str(), path)),
        );
    };
    match node {
        Node::Literal(_) => {}
        Node::Leaf(leaf) => leaf_reads(leaf),
        Node::List(items) => {
            for item in items {
                collect(item, found);
            }
        }
        Node::Table { when, fields } => {
            when.iter().for_each(leaf_reads);
            for field in fields {
                collect(&field.node, found);
            }
        }
    }
}
