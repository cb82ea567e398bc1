//! A request as a definition writes it, and as it is sent.

use std::fmt;

use http::{HeaderName, HeaderValue, Method};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::{
    engine::no_segment,
    expr::{EvalError, Expr, RenderError, Template, Trouble},
    vars::Vars,
};

/// What is sent, but for the account's base URL.
pub struct Rendered {
    pub method: Method,
    /// Percent-encoded; starts with `/` and may contain a query.
    pub path: String,
    /// Not yet encoded.
    pub query: Vec<(String, SecretString)>,
    pub headers: Vec<(HeaderName, SecretString)>,
    /// User name and password of HTTP Basic, not yet encoded.
    pub basic: Option<(SecretString, SecretString)>,
    pub body: Body,
}

/// The body of a request.
pub enum Body {
    None,
    Json(Value),
    /// Not yet encoded.
    Form(Vec<(String, SecretString)>),
}

/// Paths and bodies hold ids, personal data and secrets: only the outline is shown.
impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Rendered")
            .field("method", &self.method)
            .field("headers", &headers)
            .field("basic", &self.basic.is_some())
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Json(_) => "Json(..)",
            Self::Form(_) => "Form(..)",
        })
    }
}

/// A template that is left out where the optional argument it consists of was not given.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) template: Template,
    pub(super) optional: Option<String>,
}

type Fields = Vec<(String, Field)>;

/// A JSON body: strings of the definition are expressions, tables and arrays are built of them.
#[derive(Debug)]
pub(super) enum JsonTemplate {
    /// The same rule on absent optional arguments as for [`Field`].
    Expr {
        expr: Expr,
        optional: Option<String>,
    },
    Literal(Value),
    Array(Vec<JsonTemplate>),
    Object(Vec<(String, JsonTemplate)>),
}

#[derive(Debug)]
pub(super) enum BodyTemplate {
    None,
    Json(JsonTemplate),
    Form(Fields),
}

/// How an account authenticates.
#[derive(Debug, Clone)]
pub enum Auth {
    /// `Authorization: Bearer …`.
    Bearer(Template),
    Header(Vec<(HeaderName, Template)>),
    /// User name and password.
    Basic(Template, Template),
}

impl Auth {
    /// The variables it refers to, such as `credentials.access_token`.
    pub fn refs(&self) -> impl Iterator<Item = &str> {
        let templates: Vec<&Template> = match self {
            Self::Bearer(token) => vec![token],
            Self::Header(headers) => headers.iter().map(|(_, value)| value).collect(),
            Self::Basic(user, password) => vec![user, password],
        };
        templates.into_iter().flat_map(Template::refs).map(String::as_str)
    }

    /// Adds the authentication to a request.
    pub fn apply(&self, vars: &Vars, request: &mut Rendered) -> Result<(), RenderError> {
        match self {
            Self::Bearer(token) => {
                let value = format!("Bearer {}", header_value(token, vars)?.expose_secret());
                request.headers.push((http::header::AUTHORIZATION, value.into()));
            }
            Self::Header(headers) => request.headers.extend(render_headers(headers, vars)?),
            Self::Basic(user, password) => {
                request.basic = Some(render_basic(user, password, vars)?);
            }
        }
        Ok(())
    }
}

/// A request of a definition, compiled.
#[derive(Debug)]
pub struct RequestTemplate {
    pub(super) method: Method,
    pub(super) path: Template,
    pub(super) query: Fields,
    pub(super) headers: Vec<(HeaderName, Template)>,
    pub(super) basic: Option<(Template, Template)>,
    pub(super) body: BodyTemplate,
}

impl RequestTemplate {
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path as the definition writes it, to name the request in logs and problems.
    pub fn path_template(&self) -> &'static str {
        self.path.text()
    }

    /// Its path, as the definition writes it.
    pub fn place(&self) -> &'static str {
        self.path.text()
    }

    /// The variables it refers to, such as `secrets.client_id`.
    pub fn refs(&self) -> Vec<&str> {
        let mut refs: Vec<&str> = self.path.refs().iter().map(String::as_str).collect();
        let basic = self.basic.iter().flat_map(|(user, password)| [user, password]);
        let templates = self.headers.iter().map(|(_, value)| value).chain(basic);
        let templates = templates.chain(self.query.iter().map(|(_, field)| &field.template));
        refs.extend(templates.flat_map(Template::refs).map(String::as_str));
        match &self.body {
            BodyTemplate::None => {}
            BodyTemplate::Json(json) => json.add_refs(&mut refs),
            BodyTemplate::Form(fields) => refs.extend(
                fields.iter().flat_map(|(_, field)| field.template.refs()).map(String::as_str),
            ),
        }
        refs.sort_unstable();
        refs.dedup();
        refs
    }

    /// The request with its values filled in.
    pub fn render(&self, vars: &Vars) -> Result<Rendered, RenderError> {
        let basic = self.basic.as_ref();
        Ok(Rendered {
            method: self.method.clone(),
            path: self.render_path(vars)?,
            query: render_fields(&self.query, vars)?,
            headers: render_headers(&self.headers, vars)?,
            basic: basic.map(|(user, password)| render_basic(user, password, vars)).transpose()?,
            body: self.body.render(vars)?,
        })
    }

    fn render_path(&self, vars: &Vars) -> Result<String, RenderError> {
        let path = self.path.render(vars)?;
        // Values cannot do this, but an `{% if %}` in the template can.
        let before_query = path.split('?').next().unwrap_or_default();
        let empty = before_query.strip_suffix('/').unwrap_or(before_query);
        let escapes = empty.split('/').skip(1).any(no_segment);
        if !path.starts_with('/') || escapes {
            return Err(self.path.error(Trouble::Segment(self.path.refs().to_vec())));
        }
        Ok(path)
    }
}

impl BodyTemplate {
    fn render(&self, vars: &Vars) -> Result<Body, RenderError> {
        Ok(match self {
            Self::None => Body::None,
            Self::Json(json) => json.render(vars)?.map_or(Body::None, Body::Json),
            Self::Form(fields) => Body::Form(render_fields(fields, vars)?),
        })
    }
}

impl JsonTemplate {
    fn add_refs<'a>(&'a self, refs: &mut Vec<&'a str>) {
        match self {
            Self::Expr { expr, .. } => refs.extend(expr.refs().iter().map(String::as_str)),
            Self::Literal(_) => {}
            Self::Array(items) => items.iter().for_each(|item| item.add_refs(refs)),
            Self::Object(entries) => entries.iter().for_each(|(_, item)| item.add_refs(refs)),
        }
    }

    /// `None` where it is an optional argument that was not given.
    fn render(&self, vars: &Vars) -> Result<Option<Value>, EvalError> {
        Ok(Some(match self {
            Self::Expr { optional, .. } if absent(optional.as_deref(), vars) => return Ok(None),
            Self::Expr { expr, .. } => expr.eval_defined(vars)?,
            Self::Literal(value) => value.clone(),
            Self::Array(items) => {
                let items = items.iter().map(|item| item.render(vars));
                Value::Array(items.filter_map(Result::transpose).collect::<Result<_, _>>()?)
            }
            Self::Object(entries) => {
                let mut object = Map::new();
                for (key, item) in entries {
                    if let Some(value) = item.render(vars)? {
                        object.insert(key.clone(), value);
                    }
                }
                Value::Object(object)
            }
        }))
    }
}

fn absent(optional: Option<&str>, vars: &Vars) -> bool {
    optional.is_some_and(|reference| !vars.has(reference))
}

fn render_fields(fields: &Fields, vars: &Vars) -> Result<Vec<(String, SecretString)>, RenderError> {
    let given = fields.iter().filter(|(_, field)| !absent(field.optional.as_deref(), vars));
    given.map(|(name, field)| Ok((name.clone(), field.template.render(vars)?.into()))).collect()
}

fn render_headers(
    headers: &[(HeaderName, Template)],
    vars: &Vars,
) -> Result<Vec<(HeaderName, SecretString)>, RenderError> {
    headers.iter().map(|(name, value)| Ok((name.clone(), header_value(value, vars)?))).collect()
}

fn header_value(template: &Template, vars: &Vars) -> Result<SecretString, RenderError> {
    let text = template.render(vars)?;
    match HeaderValue::from_bytes(text.as_bytes()) {
        Ok(_) => Ok(text.into()),
        Err(_) => Err(template.error(Trouble::Header)),
    }
}

fn render_basic(
    user: &Template,
    password: &Template,
    vars: &Vars,
) -> Result<(SecretString, SecretString), RenderError> {
    let name = user.render(vars)?;
    // RFC 7617: the first colon ends the user name.
    if name.contains(':') {
        return Err(user.error(Trouble::BasicUser));
    }
    Ok((name.into(), password.render(vars)?.into()))
}
