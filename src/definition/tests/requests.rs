//! What requests and expressions become.

use proptest::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::*;
use crate::definition::{Body, Trouble};

fn with_args(args: Value) -> Vars {
    Vars::new().args(&object(args))
}

fn path_kind() -> Arc<Kind> {
    kind(
        "shape = \"call\"\nargs = { id = { type = \"string\" }, n = { type = \"integer\", default = 1 } }\n\
         request = { path = \"/a/{{ args.id }}/{% if args.n > 0 %}b{% endif %}/x-{{ args.n }}/\" }",
    )
}

#[test]
fn values_are_encoded_as_one_segment() {
    let kind = path_kind();
    for (id, encoded) in [
        ("plain-1_2.3~", "plain-1_2.3~"),
        ("a/b", "a%2Fb"),
        ("../x", "..%2Fx"),
        ("%2e%2e", "%252e%252e"),
        ("a b?c#d&e=f", "a%20b%3Fc%23d%26e%3Df"),
        ("é\n", "%C3%A9%0A"),
        ("...", "..."),
    ] {
        let path = kind.request.render(&with_args(json!({"id": id, "n": 7}))).unwrap().path;
        assert_eq!(path, format!("/a/{encoded}/b/x-7/"));
    }
}

#[test]
fn values_that_would_change_the_path_are_refused_by_name() {
    let kind = path_kind();
    for id in ["", ".", ".."] {
        let error = kind.request.render(&with_args(json!({"id": id, "n": 7}))).unwrap_err();
        assert_eq!(error.trouble, Trouble::Segment(vec!["args.id".to_owned()]), "{id:?}");
        let text = error.to_string();
        assert!(text.starts_with("jobs.k.request.path: args.id would be empty, `.`"), "{text}");
    }
    for id in [json!(null), json!(["a"]), json!({"a": 1})] {
        let error = kind.request.render(&with_args(json!({"id": id, "n": 7}))).unwrap_err();
        assert_eq!(error.trouble, Trouble::NotScalar, "{id:?}");
    }
    let error = kind.request.render(&with_args(json!({"id": "a", "n": 0}))).unwrap_err();
    assert!(matches!(error.trouble, Trouble::Segment(_)), "an empty segment by the template");
    let error = kind.request.render(&with_args(json!({"n": 0}))).unwrap_err();
    assert_eq!(error.trouble, Trouble::Undefined);
}

proptest! {
    #[test]
    fn no_value_changes_the_number_of_segments(id in any::<String>(), n in any::<i64>()) {
        thread_local!(static KIND: Arc<Kind> = path_kind());
        let n = n.saturating_abs().max(1);
        let vars = with_args(json!({"id": id, "n": n}));
        match KIND.with(|kind| kind.request.render(&vars)) {
            Ok(request) => {
                let segments: Vec<_> = request.path.split('/').collect();
                prop_assert_eq!(segments.len(), 6);
                prop_assert!(request.path.is_ascii() && !request.path.contains(['?', '#', ' ']));
                let decoded = percent_encoding::percent_decode_str(segments[2]).decode_utf8();
                prop_assert_eq!(decoded.unwrap(), id);
            }
            Err(_) => prop_assert!(matches!(id.as_str(), "" | "." | "..")),
        }
    }
}

#[test]
fn json_bodies_keep_their_types() {
    let kind = kind(
        "shape = \"call\"\nargs = { a = { type = \"object\" }, o = { type = \"string\", optional = true } }\n\
         [jobs.k.request]\npath = \"/\"\nmethod = \"POST\"\n\
         json = { a = \"args.a\", o = \"args.o\", word = \"'w'\", n = 5, list = [\"args.a.x\", true, 1.5], sum = \"args.a.x + 1\" }",
    );
    let a = json!({"x": 9_007_199_254_740_993_i64, "u": u64::MAX, "i": i64::MIN, "f": 1.0, "none": null});
    let Body::Json(body) = kind.request.render(&with_args(json!({"a": a}))).unwrap().body else {
        panic!("no JSON")
    };
    let expected = json!({
        "a": a, "word": "w", "n": 5, "list": [9_007_199_254_740_993_i64, true, 1.5],
        "sum": 9_007_199_254_740_994_i64,
    });
    assert_eq!(body, expected, "and `o`, not given, is left out");
    assert_eq!(body.to_string(), expected.to_string());
    let error = kind.request.render(&with_args(json!({"a": {}}))).unwrap_err();
    assert_eq!(
        (error.key.as_str(), error.trouble),
        ("jobs.k.request.json.list[0]", Trouble::Undefined)
    );
}

#[test]
fn a_body_is_whole_or_not_sent() {
    let kind = kind(
        "shape = \"call\"\nargs = { a = { type = \"object\" } }\n\
         request = { path = \"/\", json = \"{'inner': [args.a.missing]}\" }",
    );
    let error = kind.request.render(&with_args(json!({"a": {}}))).unwrap_err();
    assert_eq!(error.trouble, Trouble::Undefined);
}

#[test]
fn optional_fields_are_left_out() {
    let kind = kind(
        "shape = \"call\"\nargs = { q = { type = \"string\", optional = true }, p = { type = \"integer\" } }\n\
         request = { path = \"/\", query = { q = \"{{ args.q }}\", p = \"{{ args.p }}\" } }",
    );
    let query = |args| -> Vec<(String, String)> {
        let query = kind.request.render(&with_args(args)).unwrap().query;
        query.into_iter().map(|(k, v)| (k, v.expose_secret().to_owned())).collect()
    };
    assert_eq!(query(json!({"p": 1})), [("p".to_owned(), "1".to_owned())]);
    assert_eq!(query(json!({"p": 1, "q": "a b"})).len(), 2);
}

#[test]
fn headers_take_no_line_breaks_and_authentication_no_null() {
    let provider = acme(
        "secrets = { t = \"T\", u = \"U\" }\nauth = { bearer = \"{{ secrets.t }}\" }\n\
         [jobs.k]\nshape = \"call\"\nrequest = { path = \"/\", headers = { X-A = \"{{ secrets.u }}\" } }\n\
         [jobs.b]\nshape = \"call\"\nauth = { basic = [\"{{ secrets.u }}\", \"{{ secrets.t }}\"] }\nrequest = { path = \"/\" }\n",
    );
    let render = |kind: &str, t: &str, u: &str| {
        let (t, u) = (SecretString::from(t), SecretString::from(u));
        let vars = Vars::new().secrets([("t", &t), ("u", &u)]);
        let kind = &provider.kinds[kind];
        let mut request = kind.request.render(&vars)?;
        kind.auth.as_ref().unwrap().apply(&vars, &mut request)?;
        Ok::<_, crate::definition::RenderError>(request)
    };
    let request = render("k", "tok", "v").unwrap();
    assert_eq!(request.headers[1].0, "authorization");
    assert_eq!(request.headers[1].1.expose_secret(), "Bearer tok");
    for bad in ["a\r\nX: y", "a\n", "\0"] {
        let error = render("k", "tok", bad).unwrap_err();
        assert_eq!(error.trouble, Trouble::Header);
        assert_eq!(render("k", bad, "v").unwrap_err().key, "auth.bearer");
    }
    assert!(render("b", "p:q", "user").unwrap().basic.is_some());
    assert_eq!(render("b", "p", "us:er").unwrap_err().trouble, Trouble::BasicUser);
    let missing = provider.kinds["k"].request.render(&Vars::new()).unwrap_err();
    assert_eq!(missing.trouble, Trouble::Undefined);
}

#[test]
fn nothing_shows_a_value() {
    let secret = SecretString::from("s3cret");
    let kind = kind(
        "shape = \"call\"\nargs = { id = { type = \"string\" } }\nsuccess = \"args.id.x.y\"\n\
         request = { path = \"/{{ args.id }}\", json = { id = \"args.id\" }, headers = { A = \"{{ args.id }}\" } }",
    );
    let vars = with_args(json!({"id": "s3cret"})).secrets([("t", &secret)]).value(&secret);
    let request = kind.request.render(&vars).unwrap();
    let error = kind.success.as_ref().unwrap().test(&vars).unwrap_err();
    let bad = kind.request.render(&with_args(json!({"id": "s3cret\n"}))).unwrap_err();
    for text in [
        format!("{vars:?}"),
        format!("{request:?} {:?}", request.body),
        format!("{error:?} {error}"),
        format!("{bad:?} {bad}"),
        format!("{kind:?}"),
    ] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn what_is_missing_is_null_when_taken_and_trouble_when_used() {
    let kind = kind(
        "shape = \"call\"\nrequest = { path = \"/\" }\nsuccess = \"response.ok\"\n\
         status = \"response.a.b\"\nretry_when = \"response.n > 1\"",
    );
    let (success, status) = (kind.success.as_ref().unwrap(), kind.status.as_ref().unwrap());
    for (body, ok, b) in [
        (json!({"ok": true, "a": {"b": "x"}}), Ok(true), Ok(json!("x"))),
        (json!({"ok": null, "a": {}}), Ok(false), Ok(json!(null))),
        (json!({}), Err(Trouble::Undefined), Err(Trouble::Undefined)),
        (json!([1]), Err(Trouble::Undefined), Err(Trouble::Undefined)),
    ] {
        let vars = answered(&body);
        assert_eq!(success.test(&vars).map_err(|error| error.trouble), ok, "{body}");
        assert_eq!(status.eval(&vars).map_err(|error| error.trouble), b, "{body}");
    }
    let error = kind.retry_when.as_ref().unwrap().test(&answered(&json!({}))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "jobs.k.retry_when: a value that is not there was used (in `response.n > 1`)"
    );
}

#[test]
fn headers_of_an_answer_are_lower_case_and_joined() {
    let kind = kind(
        "shape = \"call\"\nrequest = { path = \"/\" }\nretry_after = \"http.headers['retry-after']\"\n\
         status = \"http.headers.a\"",
    );
    let mut headers = http::HeaderMap::new();
    for (name, value) in [("retry-after", "7"), ("a", "1"), ("a", "2")] {
        headers.append(http::HeaderName::from_static(name), value.parse().unwrap());
    }
    let vars = Vars::new().answer(429, &headers, "", None);
    assert_eq!(kind.retry_after.as_ref().unwrap().eval(&vars).unwrap(), "7");
    assert_eq!(kind.status.as_ref().unwrap().eval(&vars).unwrap(), "1, 2");
}

#[test]
fn a_template_cannot_loop_for_ever() {
    let kind = kind(
        "shape = \"download\"\nrequest = { path = \"/\" }\n\
         artifact = \"{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}\"",
    );
    let crate::definition::Shape::Download { artifact } = &kind.shape else { panic!("{kind:?}") };
    assert_eq!(artifact.render(&Vars::new()).unwrap_err().trouble, Trouble::OutOfFuel);
}

#[test]
fn only_code_is_searched_for_filters_and_tests() {
    let kind = kind(
        "shape = \"download\"\nrequest = { path = \"/\" }\n\
         artifact = \"{a|b is c} {{ 'it\\\\'s|is x' | upper }}{# x|y #}{% if 1 is odd %}.pdf{% endif %}\"",
    );
    let crate::definition::Shape::Download { artifact } = &kind.shape else { panic!("{kind:?}") };
    assert_eq!(artifact.render(&Vars::new()).unwrap(), "{a|b is c} IT'S|IS X.pdf");
}
