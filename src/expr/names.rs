//! What an expression names: the roots, the fields below them, functions, and what is used as a whole.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue};

use super::FieldPath;

/// What an expression names, collected from its tree.
#[derive(Default)]
pub(super) struct Names {
    pub(super) roots: Vec<String>,
    pub(super) functions: Vec<String>,
    pub(super) reads: Vec<FieldPath>,
    pub(super) whole: Vec<String>,
    pub(super) presence_test: bool,
}

impl Names {
    pub(super) fn walk(&mut self, node: &IdedExpr, bound: &mut Vec<String>) {
        match &node.expr {
            Expr::Ident(name) => {
                self.name(name, bound);
                let own = bound.contains(name) || name.starts_with('@');
                if !own && !self.whole.contains(name) {
                    self.whole.push(name.clone());
                }
            }
            Expr::Select(select) => {
                self.presence_test |= select.test;
                match path(node) {
                    Some(fields) if !bound.contains(&fields[0]) => {
                        self.name(&fields[0], bound);
                        self.reads.push(fields);
                    }
                    _ => self.walk(&select.operand, bound),
                }
            }
            Expr::Call(call) => {
                let is_name = call
                    .func_name
                    .starts_with(|c: char| c.is_ascii_alphabetic());
                if is_name && !self.functions.contains(&call.func_name) {
                    self.functions.push(call.func_name.clone());
                }
                if let Some(fields) = path(node).filter(|fields| !bound.contains(&fields[0])) {
                    self.name(&fields[0], bound);
                    self.reads.push(fields);
                    return;
                }
                if let Some(name) = asked_for_null(call) {
                    return self.name(name, bound);
                }
                for part in call.target.iter().map(|target| &**target).chain(&call.args) {
                    self.walk(part, bound);
                }
            }
            Expr::List(list) => list
                .elements
                .iter()
                .for_each(|element| self.walk(element, bound)),
            Expr::Map(map) => self.walk_map(&map.entries, bound),
            Expr::Comprehension(each) => {
                self.walk(&each.iter_range, bound);
                self.walk(&each.accu_init, bound);
                let outer = bound.len();
                bound.extend([each.iter_var.clone(), each.accu_var.clone()]);
                bound.extend(each.iter_var2.clone());
                for part in [&each.loop_cond, &each.loop_step, &each.result] {
                    self.walk(part, bound);
                }
                bound.truncate(outer);
            }
            Expr::Struct(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn walk_map(&mut self, entries: &[IdedEntryExpr], bound: &mut Vec<String>) {
        for entry in entries {
            if let EntryExpr::MapEntry(entry) = &entry.expr {
                self.walk(&entry.key, bound);
                self.walk(&entry.value, bound);
            }
        }
    }

    fn name(&mut self, name: &str, bound: &[String]) {
        let known = self.roots.iter().any(|n| n == name) || bound.iter().any(|n| n == name);
        if !known && !name.starts_with('@') {
            self.roots.push(name.to_owned());
        }
    }
}

/// How many parts are within one another, at most.
pub(super) fn depth(node: &IdedExpr) -> usize {
    let deepest = |parts: &mut dyn Iterator<Item = &IdedExpr>| parts.map(depth).max().unwrap_or(0);
    let below = match &node.expr {
        Expr::Select(select) => depth(&select.operand),
        Expr::Call(call) => {
            let target = call.target.iter().map(|target| &**target);
            deepest(&mut target.chain(&call.args))
        }
        Expr::List(list) => deepest(&mut list.elements.iter()),
        Expr::Map(map) => {
            let entries = map.entries.iter().filter_map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => Some([&entry.key, &entry.value]),
                EntryExpr::StructField(_) => None,
            });
            deepest(&mut entries.flatten())
        }
        Expr::Comprehension(each) => {
            let parts = [
                &each.iter_range,
                &each.accu_init,
                &each.loop_cond,
                &each.loop_step,
                &each.result,
            ];
            deepest(&mut parts.into_iter())
        }
        Expr::Ident(_) | Expr::Struct(_) | Expr::Literal(_) | Expr::Unspecified => 0,
    };
    1 + below
}

/// The name in `name == null` and `name != null`, which needs none of its fields.
fn asked_for_null(call: &CallExpr) -> Option<&str> {
    let compares = matches!(call.func_name.as_str(), "_==_" | "_!=_");
    let mut named = None;
    let mut null = false;
    for arg in call.args.iter().filter(|_| compares) {
        match &arg.expr {
            Expr::Ident(name) => named = Some(name.as_str()),
            Expr::Literal(LiteralValue::Null) => null = true,
            _ => return None,
        }
    }
    named.filter(|_| null)
}

/// `a.b.c` or `a["b"].c` as its keys; None for anything else.
fn path(node: &IdedExpr) -> Option<FieldPath> {
    match &node.expr {
        Expr::Ident(name) => Some(vec![name.clone()]),
        Expr::Select(select) if !select.test => {
            let mut fields = path(&select.operand)?;
            fields.push(select.field.clone());
            Some(fields)
        }
        Expr::Call(call) if call.func_name == "_[_]" => {
            let [target, key] = call.args.as_slice() else {
                return None;
            };
            let Expr::Literal(LiteralValue::String(key)) = &key.expr else {
                return None;
            };
            let mut fields = path(target)?;
            fields.push(key.inner().to_owned());
            Some(fields)
        }
        _ => None,
    }
}
