//! Compiled expressions and templates, and their errors, which never contain a value.

use std::fmt;

use minijinja::{Environment, ErrorKind, Expression, Value, value::ValueKind};

use super::{
    engine::{self, Refused, no_segment},
    read::Node,
    scope::Scope,
    vars::Vars,
};

/// What went wrong in an evaluation. Kinds only: a value may be a secret or personal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// A name that has no value was used: the answer did not have the expected form.
    #[error("a value that is not there was used")]
    Undefined,
    #[error("a null, a list or an object where a text is written")]
    NotScalar,
    /// The names are the variables of the path whose value is refused, where that can be told.
    #[error("{} would be empty, `.` or `..`, which no path may contain", .0.join(" or "))]
    Segment(Vec<String>),
    #[error("the result cannot be written as JSON")]
    NotJson,
    #[error("a value is not allowed in a header (a line break or control character)")]
    Header,
    #[error("a user name for Basic authentication may not contain `:`")]
    BasicUser,
    #[error("it takes too many steps")]
    OutOfFuel,
    /// The kind of a minijinja error, such as `invalid operation`.
    #[error("{0}")]
    Failed(String),
}

/// A failed evaluation of an expression or template of a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {trouble} (in `{text}`)")]
pub struct EvalError {
    /// The dotted key in the definition, such as `jobs.applicant.until`.
    pub key: String,
    /// The expression or template as the definition writes it.
    pub text: String,
    pub trouble: Trouble,
}

/// A failed rendering; the same kinds of trouble.
pub type RenderError = EvalError;

/// What expressions and templates have in common.
#[derive(Clone)]
struct Origin {
    key: String,
    text: &'static str,
    /// The variables it refers to, such as `args.id`, sorted.
    refs: Vec<String>,
}

impl Origin {
    fn error(&self, trouble: Trouble) -> EvalError {
        EvalError { key: self.key.clone(), text: self.text.to_owned(), trouble }
    }

    fn failed(&self, error: &minijinja::Error, vars: &Vars) -> EvalError {
        self.error(match (refusal(error), error.kind()) {
            (Some(Refused::NotScalar), _) => Trouble::NotScalar,
            (Some(Refused::Segment), _) => Trouble::Segment(self.refused_names(vars)),
            (None, ErrorKind::UndefinedError) => Trouble::Undefined,
            (None, ErrorKind::OutOfFuel) => Trouble::OutOfFuel,
            (None, kind) => Trouble::Failed(kind.to_string()),
        })
    }

    /// The variables that are no path segment, or all where it is not one of them alone.
    fn refused_names(&self, vars: &Vars) -> Vec<String> {
        let refused = |name: &&String| vars.text_of(name).is_some_and(|text| no_segment(&text));
        let names: Vec<_> = self.refs.iter().filter(refused).cloned().collect();
        if names.is_empty() { self.refs.clone() } else { names }
    }
}

fn refusal(error: &minijinja::Error) -> Option<Refused> {
    std::error::Error::source(error)?.downcast_ref().copied()
}

/// A compiled expression, such as `response.report_status`.
pub struct Expr {
    origin: Origin,
    compiled: Expression<'static, 'static>,
}

impl Expr {
    /// Compiles a string of the file; problems are reported.
    pub(super) fn read(node: &Node<'_>, scope: &Scope) -> Option<Self> {
        let text = engine::keep(node.text()?);
        let compiled = engine::TEXT.compile_expression(text);
        let compiled = compiled.map_err(|error| syntax_problem(node, &error)).ok()?;
        let refs = scope.check(node, compiled.undeclared_variables(true), &[text])?;
        Some(Self { origin: Origin { key: node.place.key.clone(), text, refs }, compiled })
    }

    /// The variables it refers to, such as `args.id`, sorted.
    pub fn refs(&self) -> &[String] {
        &self.origin.refs
    }

    pub fn text(&self) -> &'static str {
        self.origin.text
    }

    fn value(&self, vars: &Vars) -> Result<Value, EvalError> {
        self.compiled.eval(vars.context()).map_err(|error| self.origin.failed(&error, vars))
    }

    fn json(&self, value: &Value) -> Result<serde_json::Value, EvalError> {
        to_json(value).map_err(|trouble| self.origin.error(trouble))
    }

    /// The value, with its JSON type. What is not there is null.
    pub fn eval(&self, vars: &Vars) -> Result<serde_json::Value, EvalError> {
        let value = self.value(vars)?;
        if value.is_undefined() { Ok(serde_json::Value::Null) } else { self.json(&value) }
    }

    /// The value, with its JSON type. What is not there is an error; null is not.
    pub fn eval_defined(&self, vars: &Vars) -> Result<serde_json::Value, EvalError> {
        let value = self.value(vars)?;
        self.json(&value)
    }

    /// Whether the predicate holds: null, false, zero and empty values are false. What is not
    /// there is an error, because the answer did not have the expected form.
    pub fn test(&self, vars: &Vars) -> Result<bool, EvalError> {
        let value = self.value(vars)?;
        if value.is_undefined() {
            return Err(self.origin.error(Trouble::Undefined));
        }
        Ok(value.is_true())
    }
}

/// Unlike serde, this does not turn what is missing within a list or object into null: a request
/// is sent whole or not at all.
fn to_json(value: &Value) -> Result<serde_json::Value, Trouble> {
    match value.kind() {
        ValueKind::Undefined => Err(Trouble::Undefined),
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter().map_err(|_| Trouble::NotJson)?.map(|item| to_json(&item)).collect()
        }
        ValueKind::Map => {
            let keys = value.try_iter().map_err(|_| Trouble::NotJson)?;
            let entries = keys.map(|key| {
                let entry = value.get_item(&key).map_err(|_| Trouble::NotJson)?;
                Ok((key.to_string(), to_json(&entry)?))
            });
            entries.collect()
        }
        ValueKind::None | ValueKind::Bool | ValueKind::Number | ValueKind::String => {
            serde_json::to_value(value).map_err(|_| Trouble::NotJson)
        }
        _ => Err(Trouble::NotJson),
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expr({:?})", self.origin.text)
    }
}

/// A compiled template, such as `report.{{ args.format }}`.
#[derive(Clone)]
pub struct Template {
    origin: Origin,
    compiled: minijinja::Template<'static, 'static>,
}

impl Template {
    /// Compiles a string of the file that becomes a text.
    pub(super) fn read(node: &Node<'_>, scope: &Scope) -> Option<Self> {
        Self::read_in(&engine::TEXT, node, scope)
    }

    /// Compiles a string of the file that becomes a path: each value becomes one segment of it.
    pub(super) fn read_path(node: &Node<'_>, scope: &Scope) -> Option<Self> {
        Self::read_in(&engine::PATH, node, scope)
    }

    fn read_in(env: &'static Environment<'static>, node: &Node<'_>, scope: &Scope) -> Option<Self> {
        let text = engine::keep(node.text()?);
        let compiled = env.template_from_str(text);
        let compiled = compiled.map_err(|error| syntax_problem(node, &error)).ok()?;
        let code = super::scope::code_of(text);
        let refs = scope.check(node, compiled.undeclared_variables(true), &code)?;
        Some(Self { origin: Origin { key: node.place.key.clone(), text, refs }, compiled })
    }

    /// The variables it refers to, such as `secrets.client_id`, sorted.
    pub fn refs(&self) -> &[String] {
        &self.origin.refs
    }

    pub fn text(&self) -> &'static str {
        self.origin.text
    }

    pub fn render(&self, vars: &Vars) -> Result<String, RenderError> {
        self.compiled.render(vars.context()).map_err(|error| self.origin.failed(&error, vars))
    }

    pub(super) fn error(&self, trouble: Trouble) -> RenderError {
        self.origin.error(trouble)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({:?})", self.origin.text)
    }
}

/// At load there are no values yet, so minijinja's own words can be shown.
fn syntax_problem(node: &Node<'_>, error: &minijinja::Error) {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    node.problem(format!("{}{detail}", error.kind()));
}
