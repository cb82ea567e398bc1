//! The names in a route's path.

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::{Kind, Problem};
use crate::{engine::enqueue::parse_id, types::JobId};

fn no_such(words: String) -> Problem {
    Problem::new(Kind::NotFound, words)
}

/// Names, percent-decoded. What is no text names nothing.
#[derive(Debug)]
pub struct Named<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(names) = Path::from_request_parts(parts, state)
            .await
            .map_err(|error| no_such(error.body_text()))?;
        Ok(Self(names))
    }
}

/// The id of a job, first in its path. What is no id names no job.
#[derive(Debug, Clone, Copy)]
pub struct Id(pub JobId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Named(names) = Named::<Vec<(String, String)>>::from_request_parts(parts, state).await?;
        let text = names.first().map_or("", |(_, text)| text);
        parse_id(text).map(Self).map_err(no_such)
    }
}
