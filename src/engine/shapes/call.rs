//! `call`: one request, all pages of it; ends with the response.

use std::collections::HashSet;

use reqwest::Url;
use serde_json::Value;

use super::{Outcome, Run, stopped};
use crate::{
    definition::Pages,
    engine::{answer::Answered, sender::Stopped},
    policy::{
        codes::Code,
        settle::{AttemptEnd, Retry},
    },
};

/// More pages than any list has; an endless chain of `next` ends here.
const MOST_PAGES: usize = 10_000;
/// The largest result of all pages together, in bytes of their bodies.
const LARGEST: usize = 64 << 20;

pub async fn attempt(run: &mut Run<'_>, pages: Option<&Pages>) -> Outcome {
    let vars = run.vars.clone();
    let ask = run.ask();
    let answered = match run.sender.send(ask, &vars, None).await {
        Ok(answered) => answered,
        Err(end) => return stopped(run, end),
    };
    // What was ordered is ordered, whatever the answer lacks.
    let status = answered.seen.clone().map(Result::unwrap_or_default);
    let vars = answered.vars.clone();
    let result = match pages {
        None => Ok(answered.to_result()),
        Some(pages) => all_pages(run, pages, answered).await,
    };
    match result {
        Ok(result) => Outcome {
            result: Some(result),
            status,
            vars: Some(vars),
            ..Outcome::of(AttemptEnd::Done)
        },
        Err(outcome) => *outcome,
    }
}

/// Follows `next` on the same origin until there is none, and collects the items.
async fn all_pages(
    run: &mut Run<'_>,
    pages: &Pages,
    first: Answered,
) -> Result<Value, Box<Outcome>> {
    let unparsable = |words: String| Box::new(Outcome::failed(Code::Unparsable, Retry::Few, words));
    let mut items = vec![];
    let mut answered = first;
    let mut bytes = 0;
    let mut seen = HashSet::new();
    for _ in 0..MOST_PAGES {
        bytes += answered.body.len();
        if bytes > LARGEST {
            return Err(unparsable(format!("the pages have more than {LARGEST} bytes")));
        }
        match pages.items.eval(&answered.vars) {
            Ok(Value::Array(page)) => items.extend(page),
            Ok(_) => return Err(unparsable(format!("`{}` is no list", pages.items.text()))),
            Err(error) => return Err(unparsable(error.to_string())),
        }
        let next =
            pages.next.eval(&answered.vars).map_err(|error| unparsable(error.to_string()))?;
        let Some(next) = next.as_str().filter(|next| !next.is_empty()) else {
            return Ok(Value::Array(items));
        };
        let path = path_of_next(&run.account.base_url, next).map_err(unparsable)?;
        if !seen.insert(path.clone()) {
            return Err(unparsable("the pages go round in circles: one comes again".to_owned()));
        }
        answered = next_page(run, &path).await.map_err(|end| Box::new(stopped(run, end)))?;
    }
    Err(unparsable(format!("there are more than {MOST_PAGES} pages")))
}

async fn next_page(run: &mut Run<'_>, path: &str) -> Result<Answered, Stopped> {
    let vars = run.vars.clone();
    let ask = run.ask();
    run.sender.send(ask, &vars, Some(path)).await
}

/// The path and query of `next` under the account's base URL. It goes with our credential, and so
/// it stays where it is.
fn path_of_next(base: &Url, next: &str) -> Result<String, String> {
    let url = base.join(next).map_err(|error| format!("the next page's URL: {error}"))?;
    if url.origin() != base.origin() {
        return Err("the next page is on another host: not followed".to_owned());
    }
    let path = url
        .path()
        .strip_prefix(base.path().trim_end_matches('/'))
        .filter(|path| path.starts_with('/'))
        .ok_or("the next page is not under the account's base_url: not followed")?;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Ok(format!("{path}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_pages_stay_on_their_origin() {
        let base: Url = "https://api.test/base/".parse().unwrap();
        for (next, expected) in [
            ("https://api.test/base/users/?page=2", Some("/users/?page=2")),
            ("/base/users/?page=2", Some("/users/?page=2")),
            ("?page=2", Some("/?page=2")),
            ("/users/?page=2", None),
            ("/baseless/?page=2", None),
            ("https://evil.test/base/users/?page=2", None),
            ("http://api.test/base/users/?page=2", None),
            ("https://api.test:8443/base/users/", None),
            ("//evil.test/base/x", None),
        ] {
            assert_eq!(path_of_next(&base, next).ok().as_deref(), expected, "{next}");
        }
    }
}
